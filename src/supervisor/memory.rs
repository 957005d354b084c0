//! The resident memory of a server: its own process and everything that it started.
//!
//! A launcher such as `npx` is a small part of the server that it starts. Only Linux tells without a foreign-function
//! call; elsewhere the answer is "unknown".

use std::collections::HashMap;

#[cfg(target_os = "linux")]
use rustix::process::Pid;

#[cfg(target_os = "linux")]
use super::guard::{children_of, parents, with_descendants};
#[cfg(target_os = "linux")]
use super::platform;

/// Resident memory of servers in bytes, by the pid of each server's own process.
///
/// It is the sum over all processes below the guard, which inherits what the server leaves behind. A server that is gone is
/// left out.
///
/// Reads all of `/proc`, once for all servers, in a thread of its own. Where the system grants no thread, nothing is
/// known.
#[cfg(target_os = "linux")]
pub async fn resident_bytes(servers: Vec<u32>) -> HashMap<u32, u64> {
    if servers.is_empty() || !platform::finds_descendants() {
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

/// Resident memory of servers in bytes: unknown here.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unused_async, reason = "its twin for Linux waits")]
pub async fn resident_bytes(_servers: Vec<u32>) -> HashMap<u32, u64> {
    HashMap::new()
}

#[cfg(target_os = "linux")]
fn sample(servers: &[u32]) -> HashMap<u32, u64> {
    let parents = parents();
    let gateway = rustix::process::getpid();
    let sum = |server: u32| {
        let server = Pid::from_raw(server.try_into().ok()?)?;
        let guard = *parents.get(&server)?;
        // Any other parent than a guard has children that are not the server's.
        let roots = if parents.get(&guard) == Some(&gateway) {
            children_of(guard, &parents)
        } else {
            vec![server]
        };
        let tree = with_descendants(roots, &parents);
        tree.into_iter()
            .filter_map(of_process)
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_memory_is_known_and_that_of_nobody_is_not() {
        if !platform::finds_descendants() {
            return;
        }
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
