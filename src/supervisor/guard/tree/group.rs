//! The processes of a server on any Unix: its process group, and what was seen below it outside of that.
//!
//! What macOS runs. There is no reaper of descendants outside Linux and the BSDs, so a process that left the group is
//! found only as long as its parents live: it is noted when the end of the server begins, and before each signal. One
//! whose parents were gone by then belongs to nobody and stays.

use std::collections::HashMap;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group,
    test_kill_process_group, waitpid,
};

use super::lineage::with_descendants;
use super::process_table::ProcessTable;

/// The server's process group, which bears its pid, and its descendants in other groups.
pub(in crate::supervisor::guard) struct ProcessGroup {
    group: Pid,
    /// The descendants outside of the group, each with the time of its start.
    outside: HashMap<Pid, u64>,
    /// The group was seen empty. Its number is the system's to give away from then on, and a group that bears it a
    /// stranger's.
    is_gone: bool,
}

impl ProcessGroup {
    pub(super) fn of(server: Pid) -> Self {
        Self {
            group: server,
            outside: HashMap::new(),
            is_gone: false,
        }
    }

    /// Notes the descendants outside of the group.
    pub(super) fn look(&mut self) {
        let table = ProcessTable::of_all();
        self.forget_ended(&table);
        let is_gone = self.is_group_empty();
        let is_inside = |pid: Pid| !is_gone && is_in_group(pid, self.group);
        // Also those members of the group whose parents are gone.
        let mut roots: Vec<Pid> = table.pids().filter(|pid| is_inside(*pid)).collect();
        roots.extend(self.outside.keys());
        let found = with_descendants(roots, &table.parents());
        let outside = found.into_iter().filter(|pid| !is_inside(*pid));
        self.outside = outside
            .filter_map(|pid| Some((pid, table.get(pid)?.started)))
            .collect();
    }

    /// Forgets those that have ended, whoever has their pid now.
    fn forget_ended(&mut self, table: &ProcessTable) {
        self.outside.retain(|pid, started| {
            let now = table.get(*pid);
            now.is_some_and(|process| process.started == *started)
        });
    }

    /// Sends these signals to the group, and to the descendants outside of it. As long as a process is in the group no
    /// other can get its number.
    pub(super) fn signal(&mut self, signals: &[Signal]) {
        self.look();
        for signal in signals {
            if !self.is_group_empty() {
                let _ = kill_process_group(self.group, *signal);
            }
            // What belongs to another user cannot be ended, and is not waited for.
            let is_ours = |pid: Pid| kill_process(pid, *signal) != Err(Errno::PERM);
            self.outside.retain(|pid, _started| is_ours(*pid));
        }
    }

    /// Reaps the server, and gives how it has ended, once: what is left of the group is what it left behind, and init
    /// reaps that.
    pub(super) fn reap(&self) -> Option<WaitStatus> {
        let ended = waitpid(Some(self.group), WaitOptions::NOHANG);
        ended.ok().flatten().map(|(_server, status)| status)
    }

    /// Nothing is left in the group, and nothing that was noted outside of it.
    pub(super) fn is_empty(&mut self) -> bool {
        if !self.is_group_empty() {
            return false;
        }
        if !self.outside.is_empty() {
            let table = ProcessTable::of(self.outside.keys().copied());
            self.forget_ended(&table);
        }
        self.outside.is_empty()
    }

    /// Nothing is left in the group: the server, too, was reaped.
    fn is_group_empty(&mut self) -> bool {
        self.is_gone = self.is_gone || test_kill_process_group(self.group).is_err();
        self.is_gone
    }
}

/// Whether a process is in this group.
fn is_in_group(process: Pid, group: Pid) -> bool {
    let raw = |pid: Pid| nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    // Not by rustix, which panics at the group 0: that of kernel threads, and any that is outside of our pid namespace.
    nix::unistd::getpgid(Some(raw(process))).is_ok_and(|found| found == raw(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_of_the_machine_can_be_asked_for_its_group() {
        let own = rustix::process::getpgrp();
        let table = ProcessTable::of_all();
        let members = table.pids().filter(|pid| is_in_group(*pid, own));
        assert!(members.count() >= 1);
    }
}
