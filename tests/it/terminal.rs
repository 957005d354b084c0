//! A gateway that was started in a terminal: what the end of the terminal means to it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::wait::blocks_until;
use crate::support::{Gateway, places, process};

const SOON: Duration = Duration::from_secs(20);

/// A program in a session of its own that a new terminal controls.
struct Terminal {
    program: Child,
    /// Closes the terminal when it is dropped; a thread reads from another descriptor of it.
    master: OwnedFd,
    written: Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || {
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
            let opened = rustix::fs::open(name.as_str(), flags, rustix::fs::Mode::empty());
            Stdio::from(opened.unwrap())
        };
        let program = Command::new("setsid")
            .arg("--ctty")
            .arg(places::gateway())
            .args(arguments)
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("setsid of util-linux");
        rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK).unwrap();
        let reader = master.try_clone().unwrap();
        let (tell, written) = channel();
        std::thread::spawn(move || read(File::from(reader), |chunk| tell.send(chunk).is_ok()));
        Self {
            program,
            master,
            written,
            text: String::new(),
        }
    }

    fn shows(&mut self, words: &str) {
        let shown = blocks_until(SOON, || {
            for chunk in self.written.try_iter() {
                self.text += &String::from_utf8_lossy(&chunk);
            }
            self.text.contains(words)
        });
        assert!(shown, "{words:?} in {}", self.text);
    }

    /// Closes the terminal, and waits for the end of the program that was in it.
    fn close(self) {
        let Self {
            mut program,
            master,
            written,
            text,
        } = self;
        // The thread that reads lets go of its descriptor with the next chunk that nobody takes.
        drop(written);
        drop(master);
        let ended = blocks_until(SOON, || program.try_wait().unwrap().is_some());
        if !ended {
            let _ = program.kill();
        }
        let status = program.wait().unwrap();
        assert!(ended && status.success(), "{status} after {text}");
    }
}

/// Reads until the terminal is closed or nobody takes what was read.
fn read(mut from: File, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                if !take(chunk[..count].to_vec()) {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // An empty chunk asks whether anybody still takes what is read.
                if !take(Vec::new()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(_closed) => return,
        }
    }
}

/// RC06: the gateway of a closed terminal ends; before that, SIGHUP has it reload.
#[test]
fn a_gateway_ends_with_its_terminal_and_reloads_at_any_other_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let config = Gateway::builder().write(folder.path());
    let mut terminal = Terminal::start(&["--config", config.to_str().unwrap()]);
    terminal.shows("listening");
    process::signal(terminal.program.id(), Signal::HUP);
    terminal.shows("config reloaded");
    terminal.close();
}

/// RC06: the demo is for the terminal that shows it.
#[test]
fn a_demo_ends_with_its_terminal() {
    let mut terminal = Terminal::start(&["demo"]);
    terminal.shows("A gateway is running on");
    terminal.close();
}
