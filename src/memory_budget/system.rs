//! The memory that the system has for this process.

use std::path::Path;
use std::sync::OnceLock;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::control_group;

/// The part of the system's memory that the budget is by default: servers, and whatever else runs there, need the rest.
const DEFAULT_SHARE: u64 = 4;
/// The least default: below it the bounds of single requests would not fit.
const LEAST_DEFAULT: u64 = 64 * 1024 * 1024;

/// The limit of the budget where the config names none, in bytes: a quarter of what the machine has, or what the
/// control groups around this process may use.
///
/// The system is asked once, because a control group seldom changes and the config is read again at each reload.
pub fn default_limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(kind);
        let group =
            control_group::limit(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
        share(system.total_memory(), group)
    })
}

fn share(machine: u64, group: Option<u64>) -> usize {
    // 0 where the system does not tell.
    let known = [group, Some(machine)].into_iter().flatten();
    let available = known.filter(|bytes| *bytes > 0).min().unwrap_or_default();
    let share = (available / DEFAULT_SHARE).max(LEAST_DEFAULT);
    usize::try_from(share).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_quarter_of_the_machine_or_of_the_control_group() {
        const GIB: u64 = 1 << 30;
        for (machine, group, expected) in [
            (16 * GIB, None, 4 * GIB),
            (16 * GIB, Some(2 * GIB), GIB / 2),
            (16 * GIB, Some(64 * GIB), 4 * GIB),
            (16 * GIB, Some(0), 4 * GIB),
            (GIB / 8, None, LEAST_DEFAULT),
            (0, None, LEAST_DEFAULT),
            (0, Some(2 * GIB), GIB / 2),
        ] {
            let expected = usize::try_from(expected).unwrap();
            assert_eq!(share(machine, group), expected, "{machine} {group:?}");
        }
        assert!(default_limit() >= usize::try_from(LEAST_DEFAULT).unwrap());
    }
}
