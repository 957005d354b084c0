//! The processes below the guard, on any Unix: the server's process group.
//!
//! What macOS runs. A process that leaves the group is not seen here: there is no reaper of
//! descendants outside Linux and the BSDs.

use std::io;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};

/// Nothing to be done.
#[expect(clippy::unnecessary_wraps, reason = "its twin for Linux can fail")]
pub(super) fn adopt_descendants() -> io::Result<()> {
    Ok(())
}

/// The server's process group, which bears its pid.
pub(super) struct Tree {
    group: Pid,
}

impl Tree {
    pub(super) fn new(server: Pid) -> Self {
        Self { group: server }
    }

    /// Signals the group. As long as a process is in it no other can get its number.
    pub(super) fn signal(&self, signal: Signal) {
        if !self.is_empty() {
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// Reaps the server: what is left of the group is what it left behind.
    pub(super) fn server_ended(&self) {
        let _ = waitid(
            WaitId::Pid(self.group),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
    }

    /// The orphans of the group are reaped by init.
    #[expect(clippy::unused_self, reason = "its twin for Linux needs it")]
    pub(super) fn reap(&self) {}

    /// Nothing is left in the group.
    pub(super) fn is_empty(&self) -> bool {
        test_kill_process_group(self.group).is_err()
    }
}
