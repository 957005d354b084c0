//! What a lost guard leaves behind, where there is no reaper of descendants: what left the server's process group is
//! init's and out of reach.

use std::future::{Ready, ready};
use std::io;

use rustix::process::Pid;
use tokio::process::Child;

/// Starts a guard.
pub(super) fn start_guard(start: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    start()
}

/// A guard was waited for.
pub(super) fn forget_guard(_guard: Option<Pid>) {}

/// Nothing can be found.
pub(super) fn end() -> Ready<()> {
    ready(())
}
