//! Processes as `ps` of macOS shows them; sessions and descriptors it does not tell.

use std::process::Command;

use super::super::places::MARKER;
use super::Process;

fn ps(arguments: &[&str]) -> String {
    let output = Command::new("ps").args(arguments).output().expect("ps");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn all() -> Vec<Process> {
    let listed = ps(&["-axww", "-o", "pid=,ppid=,pgid=,state=,ucomm="]);
    listed.lines().filter_map(parse_line).collect()
}

pub(super) fn parse_line(line: &str) -> Option<Process> {
    let mut words = line.split_whitespace();
    Some(Process {
        pid: words.next()?.parse().ok()?,
        parent: words.next()?.parse().ok()?,
        group: words.next()?.parse().ok()?,
        session: 0,
        state: words.next()?.chars().next()?,
        name: words.collect::<Vec<_>>().join(" "),
    })
}

/// `-E` puts the environment behind the command.
pub(super) fn marked(marker: &str) -> Vec<Process> {
    let exact = format!("{MARKER}={marker}");
    let below = format!("{exact}.");
    let listed = ps(&["-axwwE", "-o", "pid=,command="]);
    let pids: Vec<u32> = listed
        .lines()
        .filter(|line| {
            line.split_whitespace()
                .any(|word| word == exact || word.starts_with(&below))
        })
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let mut processes = all();
    processes.retain(|process| pids.contains(&process.pid));
    processes
}

pub(super) fn command_line(pid: u32) -> String {
    ps(&["-ww", "-p", &pid.to_string(), "-o", "command="])
        .trim_end()
        .to_owned()
}

#[test]
fn a_line_of_ps_is_read() {
    let process = parse_line("  501     1   501 Ss   launchd agent").unwrap();
    assert_eq!((process.pid, process.parent, process.group), (501, 1, 501));
    assert_eq!(
        (process.state, process.name.as_str()),
        ('S', "launchd agent")
    );
}
