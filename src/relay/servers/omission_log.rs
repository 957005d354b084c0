//! The log of a server's being left out of the lists of all servers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::types::{Principal, ServerId};

/// Every list that a client asks for may lack the server, so clients could fill the log with it.
const INTERVAL: Duration = Duration::from_mins(1);

/// Writes one line a minute, and counts the others.
#[derive(Debug, Default)]
pub(in crate::relay) struct OmissionLog(Mutex<Omissions>);

#[derive(Debug, Default)]
struct Omissions {
    logged: Option<Instant>,
    /// How many were not logged since.
    suppressed: u64,
}

impl OmissionLog {
    /// Logs that a principal is served without a server, or counts it.
    pub(in crate::relay) fn note(&self, server: &ServerId, principal: &Principal, reason: &str) {
        if let Some(suppressed) = self.pass(Instant::now()) {
            let principal = &*principal.name;
            tracing::warn!(server_id = %server, principal, reason, suppressed, "{principal} is served without server {server}: {reason}");
        }
    }

    /// `None` where nothing is to be logged now, or how many were not since the last line.
    fn pass(&self, now: Instant) -> Option<u64> {
        let mut omissions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if omissions
            .logged
            .is_some_and(|logged| now < logged + INTERVAL)
        {
            omissions.suppressed += 1;
            return None;
        }
        omissions.logged = Some(now);
        Some(std::mem::take(&mut omissions.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_written_a_minute_and_says_how_many_were_not() {
        let (log, start) = (OmissionLog::default(), Instant::now());
        assert_eq!(log.pass(start), Some(0));
        assert_eq!(log.pass(start), None);
        assert_eq!(log.pass(start + INTERVAL / 2), None);
        assert_eq!(log.pass(start + INTERVAL), Some(2));
        assert_eq!(log.pass(start + INTERVAL), None);
        assert_eq!(log.pass(start + INTERVAL * 3), Some(1));
    }
}
