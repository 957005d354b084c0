//! The processes below the guard: all of them on Linux, elsewhere the server's process group and what is found below it.

#[cfg(target_os = "linux")]
mod descendants;
mod group;
mod lineage;
mod process_table;

use std::collections::HashMap;
use std::io;

use rustix::process::{Pid, Signal, WaitStatus};

#[cfg(target_os = "linux")]
pub(in crate::supervisor) use descendants::{Stat, stat};
pub(in crate::supervisor) use lineage::{children_of, with_descendants};
pub(in crate::supervisor) use process_table::ProcessTable;

#[cfg(target_os = "linux")]
use crate::supervisor::platform;

/// Makes orphaned descendants children of the guard, where the system can.
#[cfg_attr(
    not(target_os = "linux"),
    expect(clippy::unnecessary_wraps, reason = "it fails on Linux only")
)]
pub(super) fn adopt_descendants() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        return descendants::adopt();
    }
    Ok(())
}

/// Every process of the machine and its parent.
pub(in crate::supervisor) fn parents() -> HashMap<Pid, Pid> {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        return descendants::parents();
    }
    ProcessTable::of_all().parents()
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

    /// Notes the processes of the tree before the server begins to end, for the system that loses sight of them then.
    pub(super) fn look(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Descendants(_) => {}
            Self::Group(group) => group.look(),
        }
    }

    /// Sends these signals to every process of the tree.
    pub(super) fn signal(&mut self, signals: &[Signal]) {
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
    pub(super) fn is_empty(&mut self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::Descendants(tree) => tree.is_empty(),
            Self::Group(group) => group.is_empty(),
        }
    }
}
