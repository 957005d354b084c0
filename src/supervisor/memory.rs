//! The resident memory of a server: its own process and everything that it started.
//!
//! A launcher such as `npx` is a small part of the server that it starts.

use std::collections::HashMap;

use rustix::process::Pid;

use super::guard::{ProcessTable, children_of, with_descendants};
#[cfg(target_os = "linux")]
use super::platform;

/// Resident memory of servers in bytes, by the pid of each server's own process.
///
/// It is the sum over all processes below the guard, which on Linux inherits what the server leaves behind. A server that
/// is gone is left out.
///
/// Looks at all processes of the machine, once for all servers, in a thread of its own. Where the system grants no
/// thread, nothing is known.
pub async fn resident_bytes(servers: Vec<u32>) -> HashMap<u32, u64> {
    if servers.is_empty() {
        return HashMap::new();
    }
    match crate::shards::in_thread("memory", move || sample(&servers)) {
        Ok(sampled) => sampled.await.unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "cannot start the thread that samples memory: {error}");
            HashMap::new()
        }
    }
}

fn sample(servers: &[u32]) -> HashMap<u32, u64> {
    #[cfg(target_os = "linux")]
    if platform::finds_descendants() {
        return sum(servers, &super::guard::parents(), of_process);
    }
    let table = ProcessTable::with_memory();
    let of_process = |process| table.get(process).map(|entry| entry.memory);
    sum(servers, &table.parents(), of_process)
}

/// The sums of servers, given the parent of every process and the memory of one.
fn sum(
    servers: &[u32],
    parents: &HashMap<Pid, Pid>,
    of_process: impl Fn(Pid) -> Option<u64>,
) -> HashMap<u32, u64> {
    let gateway = rustix::process::getpid();
    let sum = |server: u32| {
        let server = Pid::from_raw(server.try_into().ok()?)?;
        let guard = *parents.get(&server)?;
        // Any other parent than a guard has children that are not the server's.
        let roots = if parents.get(&guard) == Some(&gateway) {
            children_of(guard, parents)
        } else {
            vec![server]
        };
        let tree = with_descendants(roots, parents);
        tree.into_iter()
            .filter_map(&of_process)
            .reduce(u64::saturating_add)
    };
    servers
        .iter()
        .filter_map(|&server| Some((server, sum(server)?)))
        .collect()
}

/// Resident memory of one process in bytes; `None` for a process that is gone, or a zombie.
///
/// `VmRSS` of `/proc/<pid>/status` is in kibibytes whatever the page size (`proc_pid_status(5)`).
#[cfg(target_os = "linux")]
fn of_process(process: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_memory_is_known_and_that_of_nobody_is_not() {
        let own = std::process::id();
        let known = resident_bytes(vec![own, u32::MAX]).await;
        assert_eq!(known.keys().collect::<Vec<_>>(), [&own]);
        assert!(
            (64 * 1024..1 << 40).contains(&known[&own]),
            "{} bytes",
            known[&own]
        );
    }
}
