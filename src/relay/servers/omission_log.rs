//! The log of a server's being left out of the lists of all servers.

use std::sync::Arc;

use tokio::time::Instant;

use crate::minute_counts::MinuteCounts;
use crate::types::{Principal, PrincipalId, ServerId};

/// Principals that are counted at a time; one more takes the place of the one that was logged first.
const MAX_PRINCIPALS: usize = 256;

/// Writes one line a minute and principal, and counts the others: every list that a client asks for may lack the server, so
/// clients could fill the log with it.
#[derive(Debug)]
pub(in crate::relay) struct OmissionLog(MinuteCounts<(PrincipalId, Arc<str>)>);

impl Default for OmissionLog {
    fn default() -> Self {
        Self(MinuteCounts::new(MAX_PRINCIPALS))
    }
}

impl OmissionLog {
    /// Logs that a principal is served without a server, or counts it; and for every principal whose minute is over, how
    /// many were only counted.
    pub(in crate::relay) fn note(&self, server: &ServerId, principal: &Principal, reason: &str) {
        let (is_first, suppressed) = self.pass(principal.id, &principal.name, Instant::now());
        for (principal, suppressed) in suppressed {
            let principal = &*principal;
            tracing::warn!(server_id = %server, principal, suppressed, "{principal} was served without server {server} {suppressed} more times");
        }
        if is_first {
            let principal = &*principal.name;
            tracing::warn!(server_id = %server, principal, reason, "{principal} is served without server {server}: {reason}");
        }
    }

    /// Whether a line is to be written now, and the principals whose minute is over, with how many were suppressed for each.
    fn pass(&self, id: PrincipalId, name: &Arc<str>, now: Instant) -> (bool, Vec<(Arc<str>, u32)>) {
        let counted = self.0.count((id, Arc::clone(name)), now);
        // The first one was logged.
        let ended = counted.ended.into_iter();
        let suppressed = ended.map(|((_, name), count)| (name, count.saturating_sub(1)));
        let suppressed = suppressed.filter(|(_, count)| *count > 0).collect();
        (counted.count == 1, suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minute_counts::WINDOW;

    #[test]
    fn one_line_is_written_a_minute_and_principal_and_says_later_how_many_were_not() {
        let (log, start) = (OmissionLog::default(), Instant::now());
        let pass = |id: u32, now| {
            let (is_first, suppressed) = log.pass(PrincipalId(id), &"name".into(), now);
            let counts = suppressed.into_iter().map(|(_, count)| count);
            (is_first, counts.collect::<Vec<_>>())
        };
        assert_eq!(pass(1, start), (true, vec![]));
        assert_eq!(pass(1, start), (false, vec![]));
        assert_eq!(pass(2, start), (true, vec![]), "one's own first");
        assert_eq!(pass(1, start + WINDOW / 2), (false, vec![]));
        assert_eq!(pass(3, start + WINDOW), (true, vec![2]));
        assert_eq!(pass(1, start + WINDOW), (true, vec![]));
        assert_eq!(pass(1, start + WINDOW), (false, vec![]));
        assert_eq!(pass(1, start + WINDOW * 3), (true, vec![1]));
    }
}
