//! The signals that the gateway knows.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was installed, from the moment on in which a signal means something.
pub(super) struct Signals {
    pub(super) ends: Ends,
    /// From an operator who wants a reload (`systemctl reload`), or a terminal that was closed.
    pub(super) hangup: Signal,
}

/// The signals that mean the end.
pub(super) struct Ends {
    /// From systemd, launchd, or `kill`.
    terminate: Signal,
    /// From a terminal, Ctrl-C.
    interrupt: Signal,
}

impl Signals {
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            ends: Ends {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that means the end, while a reload would come too late. Cancel safe.
    pub(super) async fn asked_to_end_at_once(&mut self) {
        loop {
            tokio::select! {
                () = self.ends.asked() => return,
                Some(()) = self.hangup.recv() => {
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
