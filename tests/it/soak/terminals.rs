//! Terminals in which other gateways run, and which are closed while those serve.

use std::sync::Arc;
use std::time::Duration;

use super::book::Finding;
use super::scene::Scene;
use crate::support::terminal::Terminal;
use crate::support::wait::blocks_until;
use crate::support::{Gateway, Server, process};

/// Between two of them.
const EVERY: Duration = Duration::from_secs(4);
/// From the start of a gateway to that of its server, and from its end to that of its last process.
const SOON: Duration = Duration::from_secs(10);

/// Opens terminals and closes them until the callers stop.
pub(super) async fn open_and_close(scene: Arc<Scene>) {
    while scene.goes_on() {
        tokio::time::sleep(EVERY).await;
        let closed = tokio::task::spawn_blocking(one).await;
        scene.book.fault("terminal closed".to_owned());
        if let Err(fault) = closed.expect("a terminal that does not panic") {
            scene.book.find(Finding::Leftover, fault);
        }
    }
}

/// Closes the terminal of a gateway that serves: it ends with its server.
fn one() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|fault| fault.to_string())?;
    let config = Gateway::builder()
        .set("state_dir", "state")
        .server(Server::gremlin("g1").autostart())
        .write(folder.path());
    let config = config.to_str().ok_or("a path that is not UTF-8")?;
    let mut terminal = Terminal::start(&["--config", config]);
    let pid = terminal.pid();
    if !terminal.shows("listening") {
        return Err(format!("a gateway does not listen: {}", terminal.text()));
    }
    // A guard and its server.
    let serves = blocks_until(SOON, || process::descendants(pid).len() >= 2);
    let below = process::descendants(pid);
    let text = terminal.text().to_owned();
    let status = terminal.close();
    if !serves || !status.is_some_and(|status| status.success()) {
        return Err(format!(
            "a gateway in a terminal ended with {status:?} after {text}"
        ));
    }
    let ended = blocks_until(SOON, || below.iter().all(|one| !process::is_alive(one.pid)));
    if !ended {
        return Err(format!("left of a closed terminal: {below:?}"));
    }
    Ok(())
}
