//! What the service manager is told (`sd_notify(3)`), by the socket that it names.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(20);
/// In microseconds.
const WATCHDOG: &str = "200000";

/// The manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    /// Reads on until it is told this.
    fn is_told(&self, what: &str) {
        let mut said = [0; 4096];
        loop {
            let length = self.0.recv(&mut said).expect(what);
            let said = String::from_utf8_lossy(&said[..length]);
            if said.lines().any(|line| line == what) {
                return;
            }
        }
    }
}

/// The watchdog is fed while every thread that carries messages has its turns.
#[tokio::test]
async fn it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").autostart())
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", WATCHDOG)
        .start();
    tokio::task::spawn_blocking(move || {
        manager.is_told("READY=1");
        for _ in 0..3 {
            manager.is_told("WATCHDOG=1");
        }
        gateway.signal(Signal::TERM);
        manager.is_told("STOPPING=1");
        gateway
    })
    .await
    .unwrap();
}
