//! A gateway that was started in a terminal: what the end of the terminal means to it.

use rustix::process::Signal;

use crate::support::terminal::Terminal;
use crate::support::{Gateway, process};

fn shows(terminal: &mut Terminal, words: &str) {
    assert!(terminal.shows(words), "{words:?} in {}", terminal.text());
}

fn ends_when_closed(terminal: Terminal) {
    let text = terminal.text().to_owned();
    let status = terminal.close();
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?} after {text}"
    );
}

/// RC06: the gateway of a closed terminal ends; before that, SIGHUP has it reload.
#[test]
fn a_gateway_ends_with_its_terminal_and_reloads_at_any_other_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let config = Gateway::builder().write(folder.path());
    let mut terminal = Terminal::start(&["--config", config.to_str().unwrap()]);
    shows(&mut terminal, "listening");
    process::signal(terminal.pid(), Signal::HUP);
    shows(&mut terminal, "config reloaded");
    ends_when_closed(terminal);
}

/// RC06: the demo is for the terminal that shows it.
#[test]
fn a_demo_ends_with_its_terminal() {
    let mut terminal = Terminal::start(&["demo"]);
    shows(&mut terminal, "A gateway is running on");
    ends_when_closed(terminal);
}
