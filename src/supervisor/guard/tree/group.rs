//! The processes below the guard, on any Unix: the server's process group.
//!
//! What macOS runs. A process that leaves the group is not seen here: there is no reaper of
//! descendants outside Linux and the BSDs.

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process_group, test_kill_process_group, waitpid,
};

/// The server's process group, which bears its pid.
pub(in crate::supervisor::guard) struct ProcessGroup {
    group: Pid,
}

impl ProcessGroup {
    pub(super) fn of(server: Pid) -> Self {
        Self { group: server }
    }

    /// Sends these signals to the group. As long as a process is in it no other can get its number.
    pub(super) fn signal(&self, signals: &[Signal]) {
        for signal in signals {
            if !self.is_empty() {
                let _ = kill_process_group(self.group, *signal);
            }
        }
    }

    /// Reaps the server, and gives how it has ended, once: what is left of the group is what it left behind, and init
    /// reaps that.
    pub(super) fn reap(&self) -> Option<WaitStatus> {
        let ended = waitpid(Some(self.group), WaitOptions::NOHANG);
        ended.ok().flatten().map(|(_server, status)| status)
    }

    /// Nothing is left in the group.
    pub(super) fn is_empty(&self) -> bool {
        test_kill_process_group(self.group).is_err()
    }
}
