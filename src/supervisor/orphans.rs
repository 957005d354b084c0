//! Processes that a lost guard leaves behind, and their end.
//!
//! Only Linux can find all of them. Elsewhere those that left the server's process group are init's and out of reach once
//! the guard is lost.

#[cfg(target_os = "linux")]
mod linux;

use std::io;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;

use super::guard::{children_of, parents, with_descendants};
use super::platform;
use crate::shards::in_thread;

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

/// Kills a guard that does not end its server, and everything below it: first what is below, as far as it can be seen
/// now. What is started meanwhile is left to [`end`].
pub(super) async fn kill_guard(guard: Pid, server: Option<Pid>) {
    let kill = move || {
        let parents = parents();
        let below = with_descendants(children_of(guard, &parents), &parents);
        if let Some(server) = server.filter(|_| !platform::finds_descendants()) {
            // The guard has not inherited those of the group whose parents are gone.
            let _ = kill_process_group(server, Signal::KILL);
        }
        for pid in below {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = kill_process(guard, Signal::KILL);
    };
    match in_thread("guard-kill", kill) {
        Ok(killed) => {
            // Nothing is told but that it is done.
            let _done = killed.await;
        }
        Err(_no_thread) => kill(),
    }
}

/// Kills what lost guards have left, until nothing of it is there.
#[cfg_attr(
    not(target_os = "linux"),
    expect(clippy::unused_async, reason = "it waits on Linux only")
)]
pub(super) async fn end() {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        linux::end().await;
    }
}
