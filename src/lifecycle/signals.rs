//! The signals that the gateway knows.

use std::fs::File;
use std::io::{self, IsTerminal};

use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was installed, from the moment on in which a signal means something.
pub(super) struct Signals {
    pub(super) ends: Ends,
    pub(super) hangup: Hangup,
}

/// The signals that mean the end.
pub(super) struct Ends {
    /// From systemd, launchd, or `kill`.
    terminate: Signal,
    /// From a terminal, Ctrl-C.
    interrupt: Signal,
}

/// SIGHUP: from an operator who wants a reload (`systemctl reload`), or from a terminal that was closed.
pub(super) struct Hangup {
    signal: Signal,
    /// A terminal controls the process, and is its input or takes its output. A process that was detached from all
    /// three (`nohup`) is to outlive the terminal.
    has_terminal: bool,
}

impl Signals {
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            ends: Ends {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: Hangup {
                signal: signal(SignalKind::hangup())?,
                has_terminal: is_on_terminal() && open_terminal().is_ok(),
            },
        })
    }

    /// Waits for a signal that means the end, while a reload would come too late. Cancel safe.
    pub(super) async fn asked_to_end_at_once(&mut self) {
        loop {
            tokio::select! {
                () = self.ends.asked() => return,
                true = self.hangup.recv() => {
                    tracing::warn!(signal = "SIGHUP", "asked to reload while stopping: ignored");
                }
            }
        }
    }
}

impl Ends {
    /// Waits for a signal that means the end. Cancel safe.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!(signal = "SIGTERM", "asked to stop"),
            _ = self.interrupt.recv() => tracing::info!(signal = "SIGINT", "asked to stop"),
        }
    }
}

impl Hangup {
    /// Waits for the signal; `false` where none can come any more. Cancel safe.
    pub(super) async fn recv(&mut self) -> bool {
        self.signal.recv().await.is_some()
    }

    /// Whether the terminal that the gateway was started from is there no more. A process has lost its controlling
    /// terminal by the time it gets the SIGHUP for that.
    pub(super) fn is_terminal_gone(&self) -> bool {
        let gone = |error: io::Error| error.raw_os_error() == Some(Errno::NXIO.raw_os_error());
        self.has_terminal && open_terminal().is_err_and(gone)
    }
}

fn is_on_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// Opens the controlling terminal of this process, whatever its name.
fn open_terminal() -> io::Result<File> {
    File::open("/dev/tty")
}
