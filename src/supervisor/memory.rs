//! How much memory a process has resident.
//!
//! Only Linux tells without a foreign-function call; elsewhere the answer is "unknown".

/// Resident memory of a process in bytes, where the system tells; `None` for a process that is gone.
///
/// `VmRSS` of `/proc/<pid>/status` is in kibibytes whatever the page size (`proc_pid_status(5)`). The
/// file is made in memory by the kernel, so reading it does not wait for a disk.
#[cfg(all(target_os = "linux", not(feature = "plain-unix")))]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Resident memory of a process in bytes: unknown here.
#[cfg(not(all(target_os = "linux", not(feature = "plain-unix"))))]
pub fn resident_bytes(_pid: u32) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux", not(feature = "plain-unix")))]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_is_known_and_that_of_nobody_is_not() {
        let own = resident_bytes(std::process::id()).unwrap();
        assert!((64 * 1024..1 << 40).contains(&own), "{own} bytes");
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
