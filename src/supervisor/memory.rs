//! How much memory a process has resident.
//!
//! Only Linux tells without a foreign-function call; elsewhere the answer is "unknown".

use super::platform;

/// Resident memory of a process in bytes; `None` for a process that is gone and where the system does not tell.
///
/// `VmRSS` of `/proc/<pid>/status` is in kibibytes whatever the page size (`proc_pid_status(5)`). The
/// file is made in memory by the kernel, so reading it does not wait for a disk.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    if !platform::finds_descendants() {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_is_known_and_that_of_nobody_is_not() {
        if platform::finds_descendants() {
            let own = resident_bytes(std::process::id()).unwrap();
            assert!((64 * 1024..1 << 40).contains(&own), "{own} bytes");
        } else {
            assert_eq!(resident_bytes(std::process::id()), None);
        }
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
