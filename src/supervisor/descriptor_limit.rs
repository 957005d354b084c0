//! The number of descriptors that a process may open: raised for the gateway, and what it was for its servers.
//!
//! macOS gives a process 256 outside of launchd, and many a Linux 1024, while the system would allow more. A server keeps
//! the lower limit: one that uses `select`(2) must not get a descriptor over 1023.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that macOS lets a process have whatever its hard limit says (`OPEN_MAX`).
const MOST: u64 = 10_240;

/// The soft limit that this process was started with; `None` is without a limit.
static INHERITED: OnceLock<Option<u64>> = OnceLock::new();

/// The soft limit that this process was started with.
pub(super) fn inherited() -> Option<u64> {
    *INHERITED.get_or_init(|| getrlimit(Resource::Nofile).current)
}

/// Raises the soft limit of this process. Where the system refuses that, the limit stays as it is.
pub fn raise() {
    inherited();
    let limit = getrlimit(Resource::Nofile);
    if let Some(raised) = raised(limit)
        && let Err(error) = set(limit, Some(raised))
    {
        tracing::debug!(%error, raised, "cannot raise the limit of open descriptors: {error}");
    }
}

/// Sets the soft limit of this process to what it was before [`raise`] in the gateway, as far as the hard limit allows.
pub(super) fn restore(inherited: Option<u64>) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = inherited.map(|inherited| limit.maximum.unwrap_or(u64::MAX).min(inherited));
    if wanted.is_some() && limit.current != wanted {
        // A server with too high a limit is better than none.
        let _ = set(limit, wanted);
    }
}

fn set(limit: Rlimit, current: Option<u64>) -> rustix::io::Result<()> {
    setrlimit(Resource::Nofile, Rlimit { current, ..limit })
}

/// The soft limit to set, unless this one is as high already.
fn raised(limit: Rlimit) -> Option<u64> {
    let most = limit.maximum.map_or(MOST, |maximum| maximum.min(MOST));
    limit.current.filter(|current| *current < most)?;
    Some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_to_what_the_system_allows_and_never_lowered() {
        for (current, maximum, expected) in [
            (Some(256), None, Some(MOST)),
            (Some(256), Some(4096), Some(4096)),
            (Some(1024), Some(1 << 20), Some(MOST)),
            (Some(64), Some(64), None),
            (Some(1 << 20), Some(1 << 20), None),
            (None, None, None),
        ] {
            let limit = Rlimit { current, maximum };
            assert_eq!(raised(limit), expected, "{current:?} of {maximum:?}");
        }
    }
}
