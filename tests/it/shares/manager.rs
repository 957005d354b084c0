//! A service manager that notes when the watchdog is fed.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// Listens on the socket that a gateway finds in `NOTIFY_SOCKET`.
pub(super) struct Manager {
    path: String,
    fed: Arc<Mutex<Vec<Instant>>>,
    _folder: tempfile::TempDir,
}

impl Manager {
    /// Listens until the test ends.
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let fed = Arc::<Mutex<Vec<Instant>>>::default();
        let times = Arc::clone(&fed);
        // Ends with the process of the test, which is one for each test.
        std::thread::spawn(move || {
            let mut told = [0; 4096];
            while let Ok(length) = socket.recv(&mut told) {
                let told = String::from_utf8_lossy(&told[..length]);
                if told.lines().any(|line| line == "WATCHDOG=1") {
                    times.lock().expect("no panic").push(Instant::now());
                }
            }
        });
        Self {
            path: path.to_str().expect("UTF-8").to_owned(),
            fed,
            _folder: folder,
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The longest time for which the watchdog was not fed, from its first feeding until now.
    pub(super) fn longest_gap(&self) -> Duration {
        let fed = self.fed.lock().expect("no panic");
        assert!(!fed.is_empty(), "the watchdog was never fed");
        let gaps = fed.windows(2).map(|two| two[1] - two[0]);
        let since = fed.last().map(Instant::elapsed);
        gaps.chain(since).max().unwrap_or_default()
    }
}
