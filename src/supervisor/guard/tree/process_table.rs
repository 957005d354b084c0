//! The processes of the machine, as every supported system lists them.
//!
//! Linux reads `/proc` itself, which is cheaper; this is for the systems that have none.

use std::collections::HashMap;

use rustix::process::Pid;
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// One process.
#[derive(Clone, Copy, Debug)]
pub(in crate::supervisor) struct ProcessEntry {
    pub(in crate::supervisor) parent: Option<Pid>,
    /// In seconds since 1970. A process is known by its pid and this time, because pids are used again.
    pub(in crate::supervisor) started: u64,
    /// Resident memory in bytes; 0 where it was not asked for.
    pub(in crate::supervisor) memory: u64,
}

/// The processes that were alive when they were listed. Zombies are left out.
#[derive(Debug)]
pub(in crate::supervisor) struct ProcessTable(HashMap<Pid, ProcessEntry>);

impl ProcessTable {
    /// All processes, without their memory.
    pub(in crate::supervisor) fn of_all() -> Self {
        Self::read(ProcessesToUpdate::All, ProcessRefreshKind::nothing())
    }

    /// All processes with their memory.
    pub(in crate::supervisor) fn with_memory() -> Self {
        let kind = ProcessRefreshKind::nothing().with_memory();
        Self::read(ProcessesToUpdate::All, kind)
    }

    /// Those of these processes that there are.
    pub(in crate::supervisor) fn of(pids: impl Iterator<Item = Pid>) -> Self {
        let raw = |pid: Pid| u32::try_from(pid.as_raw_nonzero().get()).ok();
        let pids: Vec<_> = pids.filter_map(raw).map(sysinfo::Pid::from_u32).collect();
        let some = ProcessesToUpdate::Some(&pids);
        Self::read(some, ProcessRefreshKind::nothing())
    }

    fn read(which: ProcessesToUpdate<'_>, kind: ProcessRefreshKind) -> Self {
        let mut system = System::new();
        system.refresh_processes_specifics(which, true, kind.without_tasks());
        let entries = system.processes().iter();
        let alive = entries.filter(|(_, process)| process.status() != ProcessStatus::Zombie);
        let entry = |(pid, process): (&sysinfo::Pid, &sysinfo::Process)| {
            let entry = ProcessEntry {
                parent: process.parent().and_then(pid_of),
                started: process.start_time(),
                memory: process.memory(),
            };
            Some((pid_of(*pid)?, entry))
        };
        Self(alive.filter_map(entry).collect())
    }

    pub(in crate::supervisor) fn get(&self, process: Pid) -> Option<&ProcessEntry> {
        self.0.get(&process)
    }

    /// The pids of all.
    pub(in crate::supervisor) fn pids(&self) -> impl Iterator<Item = Pid> {
        self.0.keys().copied()
    }

    /// Every process and its parent.
    pub(in crate::supervisor) fn parents(&self) -> HashMap<Pid, Pid> {
        let entries = self.0.iter();
        entries
            .filter_map(|(&pid, entry)| Some((pid, entry.parent?)))
            .collect()
    }
}

fn pid_of(pid: sysinfo::Pid) -> Option<Pid> {
    Pid::from_raw(pid.as_u32().try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_parent_are_listed() {
        let own = rustix::process::getpid();
        let table = ProcessTable::with_memory();
        let entry = table.get(own).expect("this process");
        assert_eq!(entry.parent, rustix::process::getppid());
        assert!((64 * 1024..1 << 40).contains(&entry.memory), "{entry:?}");
        let alone = ProcessTable::of([own].into_iter());
        assert_eq!(alone.pids().collect::<Vec<_>>(), [own]);
        assert_eq!(
            alone.get(own).map(|entry| entry.started),
            Some(entry.started)
        );
    }
}
