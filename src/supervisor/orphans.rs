//! Processes that a lost guard leaves behind, and their end.
//!
//! Only Linux can find them. Elsewhere those that left the server's process group are init's and out of reach.

#[cfg(target_os = "linux")]
mod linux;

use std::io;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

#[cfg(target_os = "linux")]
use super::platform;

/// Starts a guard, and tells it from an orphan from its first moment on.
pub(super) fn start_guard(start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        return linux::start_guard(start);
    }
    start()
}

/// Takes a guard that was waited for out of the list of guards.
pub(super) fn forget_guard(guard: Option<Pid>) {
    #[cfg(target_os = "linux")]
    linux::forget_guard(guard);
    #[cfg(not(target_os = "linux"))]
    let _ = guard;
}

/// Kills a guard that does not end its server, and everything below it; where that cannot be found, the process group of
/// the server.
pub(super) async fn kill_guard(guard: Pid, server: Option<Pid>) {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        return linux::kill_guard(guard).await;
    }
    if let Some(server) = server {
        let _ = kill_process_group(server, Signal::KILL);
    }
    let _ = kill_process(guard, Signal::KILL);
}

/// Kills what lost guards have left, until nothing of it is there.
pub(super) async fn end() {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        linux::end().await;
    }
}
