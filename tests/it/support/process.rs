//! Eyes on processes: who is there, whose child, in which session, and what one holds.

mod proc_files;
mod ps;

use std::ffi::OsString;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::blocks_until;

/// One process, as the system lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// 0 where the system does not tell (macOS).
    pub(crate) session: u32,
    /// `R`, `S`, `T`, `Z`, … as in `ps`.
    pub(crate) state: char,
    pub(crate) name: String,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) resident_kib: usize,
    /// The part of it that is no file's: heaps and stacks.
    pub(crate) anonymous_kib: usize,
}

/// Selects the portable process code in a gateway of a debug build (`supervisor::platform`).
const PLAIN_UNIX: &str = "HMG_PLAIN_UNIX";

/// The variable with which a gateway takes the process code that this run is about.
pub(crate) fn plain_unix() -> Option<(&'static str, OsString)> {
    std::env::var_os(PLAIN_UNIX).map(|value| (PLAIN_UNIX, value))
}

/// Whether the gateways of this run find every descendant of a server: on Linux, unless this run is about the portable
/// code.
pub(crate) fn finds_descendants() -> bool {
    cfg!(target_os = "linux") && plain_unix().is_none()
}

/// Every process that can be seen.
pub(crate) fn all() -> Vec<Process> {
    if cfg!(target_os = "linux") {
        proc_files::all()
    } else {
        ps::all()
    }
}

/// One process, unless it is gone. A zombie is still there.
pub(crate) fn find(pid: u32) -> Option<Process> {
    all().into_iter().find(|process| process.pid == pid)
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    find(pid).is_some_and(|process| process.state != 'Z')
}

/// Everything that descends from a process, itself not included, nearest first.
pub(crate) fn descendants(root: u32) -> Vec<Process> {
    let everyone = all();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in everyone.iter().filter(|process| process.parent == parent) {
            if !found.iter().any(|known| known.pid == child.pid) {
                parents.push(child.pid);
                found.push(child.clone());
            }
        }
    }
    found
}

/// Everything in a session.
pub(crate) fn in_session(session: u32) -> Vec<Process> {
    let mut members = all();
    members.retain(|process| process.session == session);
    members
}

/// Every live process whose environment carries this marker, or one below it (`marker.…`).
pub(crate) fn marked(marker: &str) -> Vec<Process> {
    if cfg!(target_os = "linux") {
        proc_files::marked(marker)
    } else {
        ps::marked(marker)
    }
}

/// What a process holds; `None` where the system does not tell (macOS) or the process is gone.
pub(crate) fn footprint(pid: u32) -> Option<Footprint> {
    cfg!(target_os = "linux")
        .then(|| proc_files::footprint(pid))
        .flatten()
}

/// The most memory that a process ever had resident, in KiB; `None` likewise.
pub(crate) fn peak_kib(pid: u32) -> Option<usize> {
    cfg!(target_os = "linux")
        .then(|| proc_files::peak_kib(pid))
        .flatten()
}

/// The time that all threads of a process have spent on a processor; `None` likewise.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    cfg!(target_os = "linux")
        .then(|| proc_files::cpu_time(pid))
        .flatten()
}

/// The command line of a process, its words joined by spaces; empty when it is gone.
pub(crate) fn command_line(pid: u32) -> String {
    if cfg!(target_os = "linux") {
        proc_files::command_line(pid)
    } else {
        ps::command_line(pid)
    }
}

/// Whether this machine lets a program be started by this command. A container may leave root without the
/// users and the rights that `setpriv` needs; what a test would prove by them it cannot prove there, and
/// says so on stderr.
pub(crate) fn can_run_by(command: &[&str]) -> bool {
    let tried = std::process::Command::new(command[0])
        .args(&command[1..])
        .arg("true")
        .output()
        .unwrap_or_else(|fault| panic!("{}: {fault}; it is a part of util-linux", command[0]));
    if !tried.status.success() {
        let fault = String::from_utf8_lossy(&tried.stderr);
        eprintln!("not proven here, {command:?} is not to be had: {fault}");
    }
    tried.status.success()
}

/// Sends a signal; one that is gone already is left in peace.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Kills whatever carries the marker and gives what had to be killed.
pub(crate) fn kill_marked(marker: &str) -> Vec<Process> {
    let mut killed: Vec<Process> = Vec::new();
    blocks_until(Duration::from_secs(5), || {
        let left = marked(marker);
        for process in &left {
            signal(process.pid, Signal::KILL);
        }
        let done = left.is_empty();
        killed.extend(left);
        done
    });
    killed.sort_by_key(|process| process.pid);
    killed.dedup_by_key(|process| process.pid);
    killed
}
