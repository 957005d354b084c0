//! The processes below the guard: all of them on Linux, the server's process group elsewhere.

#[cfg(target_os = "linux")]
mod descendants;
mod group;

use std::io;

use rustix::process::{Pid, Signal, WaitStatus};

#[cfg(target_os = "linux")]
pub(in crate::supervisor) use descendants::{Stat, children_of, parents, stat, with_descendants};

use crate::supervisor::platform;

/// Makes orphaned descendants children of the guard, where the system can.
pub(super) fn adopt_descendants() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        return descendants::adopt();
    }
    Ok(())
}

/// The server and what it started, as far as the system can find it.
pub(super) enum Tree {
    #[cfg(target_os = "linux")]
    Descendants(descendants::Descendants),
    Group(group::ProcessGroup),
}

impl Tree {
    /// The tree of a server that has just been started in a process group of its own.
    pub(super) fn of(server: Pid) -> Self {
        #[cfg(target_os = "linux")]
        if platform::finds_descendants() {
            return Self::Descendants(descendants::Descendants::of(server));
        }
        Self::Group(group::ProcessGroup::of(server))
    }

    /// Sends these signals to every process of the tree.
    pub(super) fn signal(&self, signals: &[Signal]) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Descendants(tree) => tree.signal(signals),
            Self::Group(group) => group.signal(signals),
        }
    }

    /// Reaps the dead; gives how the server has ended, once.
    pub(super) fn reap(&self) -> Option<WaitStatus> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Descendants(tree) => tree.reap(),
            Self::Group(group) => group.reap(),
        }
    }

    /// Whether no process of the tree is left.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Descendants(tree) => tree.is_empty(),
            Self::Group(group) => group.is_empty(),
        }
    }
}
