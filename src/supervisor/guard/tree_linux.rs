//! The processes below the guard, on Linux: all of them, whatever they did to get away.
//!
//! As the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`) the guard inherits every orphan below
//! it, also one that made a session of its own, so that the descendants in `/proc` are complete.

use std::collections::HashMap;
use std::io;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

/// Makes orphaned descendants children of the guard.
pub(super) fn adopt_descendants() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

/// The server and everything that it started.
pub(super) struct Tree {
    server: Pid,
}

impl Tree {
    pub(super) fn new(server: Pid) -> Self {
        Self { server }
    }

    /// Signals every process below the guard.
    #[expect(clippy::unused_self, reason = "its twin for any Unix needs it")]
    pub(super) fn signal(&self, signal: Signal) {
        for pid in descendants() {
            // It may be gone by now; a child of ours cannot have been replaced, because we reap it.
            let _ = kill_process(pid, signal);
        }
    }

    /// The server is a zombie, which keeps its pid until `reap`.
    pub(super) fn server_ended(&self) {
        // Waited for on purpose: from here on the server is one of the dead to be reaped.
        let _ = waitid(
            WaitId::Pid(self.server),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
    }

    /// Reaps the dead that the guard inherited.
    pub(super) fn reap(&self) {
        for child in children_of(getpid(), &parents()) {
            if child != self.server {
                let _ = waitid(
                    WaitId::Pid(child),
                    WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
                );
            }
        }
    }

    /// Nothing is left below the guard.
    #[expect(clippy::unused_self, reason = "its twin for any Unix needs it")]
    pub(super) fn is_empty(&self) -> bool {
        descendants().is_empty()
    }
}

fn descendants() -> Vec<Pid> {
    let parents = parents();
    with_descendants(children_of(getpid(), &parents), &parents)
}

/// These processes, and behind them everything below them.
pub(in crate::supervisor) fn with_descendants(
    mut found: Vec<Pid>,
    parents: &HashMap<Pid, Pid>,
) -> Vec<Pid> {
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children_of(pid, parents));
        next += 1;
    }
    found
}

/// The processes whose parent this one is.
pub(in crate::supervisor) fn children_of(parent: Pid, parents: &HashMap<Pid, Pid>) -> Vec<Pid> {
    parents
        .iter()
        .filter(|(_, of)| **of == parent)
        .map(|(&pid, _)| pid)
        .collect()
}

/// Every process of the machine and its parent.
pub(in crate::supervisor) fn parents() -> HashMap<Pid, Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name, in parentheses, may hold anything; state and parent follow the last one.
            let parent: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((Pid::from_raw(pid)?, Pid::from_raw(parent)?))
        })
        .collect()
}
