//! Processes as Linux shows them, in the files below `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

use super::super::places::MARKER;
use super::{Footprint, Process};

pub(super) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `pid (name) state ppid pgrp session …`; the name may itself hold spaces and brackets.
pub(super) fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        state,
        name: name.to_owned(),
    })
}

pub(super) fn marked(marker: &str) -> Vec<Process> {
    let exact = format!("{MARKER}={marker}");
    let below = format!("{exact}.");
    let mut processes = all();
    processes.retain(|process| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == exact.as_bytes() || entry.starts_with(below.as_bytes()))
    });
    processes
}

pub(super) fn footprint(pid: u32) -> Option<Footprint> {
    Some(Footprint {
        descriptors: descriptors(pid)?,
        threads: status_number(pid, "Threads:")?,
        resident_kib: status_number(pid, "VmRSS:")?,
        anonymous_kib: status_number(pid, "RssAnon:")?,
    })
}

pub(super) fn peak_kib(pid: u32) -> Option<usize> {
    status_number(pid, "VmHWM:")
}

fn status_number(pid: u32, key: &str) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime`, the fields 14 and 15 of `stat`, which Linux counts in hundredths of a second.
pub(super) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The fields behind the name begin with the third.
    let (_, rest) = stat.rsplit_once(") ")?;
    let ticks = rest.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse().unwrap_or(0)).sum();
    Some(Duration::from_millis(ticks * 10))
}

/// How many descriptors a process has. Those of the gateway only root may list, because it is not dumpable;
/// since Linux 6.2 everybody may see their number, which is the size of the folder.
fn descriptors(pid: u32) -> Option<usize> {
    let folder = format!("/proc/{pid}/fd");
    match fs::read_dir(&folder) {
        Ok(entries) => Some(entries.count()),
        Err(_) => usize::try_from(fs::metadata(folder).ok()?.len())
            .ok()
            .filter(|count| *count > 0),
    }
}

pub(super) fn command_line(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    words.trim_end().to_owned()
}

#[test]
fn a_process_name_with_brackets_is_read() {
    let process = parse_stat("12 (a) b (c) S 1 12 11 0 -1").unwrap();
    assert_eq!(
        (process.pid, process.parent, process.group, process.session),
        (12, 1, 12, 11)
    );
    assert_eq!((process.state, process.name.as_str()), ('S', "a) b (c"));
}
