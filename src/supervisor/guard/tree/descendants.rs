//! The processes below the guard, on Linux: all of them, whatever they did to get away.
//!
//! As the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`) the guard inherits every orphan below
//! it, also one that made a session of its own, so that the descendants in `/proc` are complete.

use std::collections::HashMap;
use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process, wait, waitid,
};

use super::lineage::{children_of, with_descendants};

/// Makes orphaned descendants children of the guard, and the end of the gateway wake a guard that a server has stopped
/// (SIGSTOP): it finds its control socket closed then. The signal comes with the end of any thread that was the guard's
/// parent, and does nothing to a guard that is awake.
pub(super) fn adopt() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    Ok(rustix::process::set_child_subreaper(Some(getpid()))?)
}

/// The server and everything that it started.
pub(in crate::supervisor::guard) struct Descendants {
    server: Pid,
}

impl Descendants {
    pub(super) fn of(server: Pid) -> Self {
        Self { server }
    }

    /// Sends these signals to every process below the guard.
    #[expect(clippy::unused_self, reason = "its twin, the process group, needs it")]
    pub(super) fn signal(&self, signals: &[Signal]) {
        for pid in descendants() {
            for signal in signals {
                // It may be gone by now; a child of ours cannot have been replaced, because we reap it.
                let _ = kill_process(pid, *signal);
            }
        }
    }

    /// Reaps the dead, the server and what the guard inherited; gives how the server has ended, once.
    pub(super) fn reap(&self) -> Option<WaitStatus> {
        let mut server = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.server {
                server = Some(status);
            }
        }
        server
    }

    /// Nothing is left below the guard: whoever has a descendant has a child, and what has lost its parent is a child of
    /// the guard. The system is asked and not `/proc`, which costs milliseconds on a busy machine and is asked for
    /// forty times a second while a server takes its time to end.
    #[expect(clippy::unused_self, reason = "its twin, the process group, needs it")]
    pub(super) fn is_empty(&self) -> bool {
        let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::All, any), Err(Errno::CHILD))
    }
}

fn descendants() -> Vec<Pid> {
    let parents = parents();
    with_descendants(children_of(getpid(), &parents), &parents)
}

/// Every process of the machine and its parent.
pub(in crate::supervisor) fn parents() -> HashMap<Pid, Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let pid = Pid::from_raw(pid)?;
            Some((pid, Pid::from_raw(stat(pid, Stat::Parent)?)?))
        })
        .collect()
}

/// A field of `/proc/PID/stat`, by its place behind the name (`proc_pid_stat`(5)).
#[derive(Clone, Copy, Debug)]
pub(in crate::supervisor) enum Stat {
    Parent = 1,
    Session = 3,
}

/// One field of a process that is there.
pub(in crate::supervisor) fn stat(process: Pid, field: Stat) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the state follows the last one.
    let fields = text.rsplit_once(") ")?.1;
    fields.split(' ').nth(field as usize)?.parse().ok()
}
