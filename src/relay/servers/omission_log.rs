//! The log of a server's being left out of the lists of all servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::types::{Principal, PrincipalId, ServerId};

/// Every list that a client asks for may lack the server, so clients could fill the log with it.
const INTERVAL: Duration = Duration::from_mins(1);
/// Principals that are counted at a time; one more takes the place of the one that was logged first.
const MAX_PRINCIPALS: usize = 256;

/// Writes one line a minute and principal, and counts the others.
#[derive(Debug, Default)]
pub(in crate::relay) struct OmissionLog(Mutex<FxHashMap<PrincipalId, Omissions>>);

/// The omissions of one principal since its line.
#[derive(Debug)]
struct Omissions {
    principal: Arc<str>,
    logged: Instant,
    /// How many were not logged since.
    suppressed: u64,
}

impl OmissionLog {
    /// Logs that a principal is served without a server, or counts it; and for every principal whose minute is over, how
    /// many were only counted.
    pub(in crate::relay) fn note(&self, server: &ServerId, principal: &Principal, reason: &str) {
        let (is_first, ended) = self.pass(principal.id, &principal.name, Instant::now());
        for Omissions {
            principal,
            suppressed,
            logged: _,
        } in ended
        {
            let principal = &*principal;
            tracing::warn!(server_id = %server, principal, suppressed, "{principal} was served without server {server} {suppressed} more times");
        }
        if is_first {
            let principal = &*principal.name;
            tracing::warn!(server_id = %server, principal, reason, "{principal} is served without server {server}: {reason}");
        }
    }

    /// Whether a line is to be written now, and what was suppressed of those whose minute is over.
    fn pass(&self, id: PrincipalId, name: &Arc<str>, now: Instant) -> (bool, Vec<Omissions>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended: Vec<_> = all
            .extract_if(|_, omissions| omissions.logged + INTERVAL <= now)
            .map(|(_, omissions)| omissions)
            .collect();
        let is_first = if let Some(omissions) = all.get_mut(&id) {
            omissions.suppressed += 1;
            false
        } else {
            if all.len() >= MAX_PRINCIPALS {
                let oldest = all.iter().min_by_key(|(_, omissions)| omissions.logged);
                let oldest = oldest.map(|(id, _)| *id);
                ended.extend(oldest.and_then(|id| all.remove(&id)));
            }
            let omissions = Omissions {
                principal: Arc::clone(name),
                logged: now,
                suppressed: 0,
            };
            all.insert(id, omissions);
            true
        };
        ended.retain(|omissions| omissions.suppressed > 0);
        (is_first, ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(log: &OmissionLog, id: u32, now: Instant) -> (bool, Vec<(String, u64)>) {
        let (is_first, ended) = log.pass(PrincipalId(id), &id.to_string().into(), now);
        let ended = ended.into_iter();
        let ended = ended.map(|one| (one.principal.to_string(), one.suppressed));
        (is_first, ended.collect())
    }

    #[test]
    fn one_line_is_written_a_minute_and_principal_and_says_later_how_many_were_not() {
        let (log, start) = (OmissionLog::default(), Instant::now());
        assert_eq!(pass(&log, 1, start), (true, vec![]));
        assert_eq!(pass(&log, 1, start), (false, vec![]));
        assert_eq!(pass(&log, 2, start), (true, vec![]), "one's own first");
        assert_eq!(pass(&log, 1, start + INTERVAL / 2), (false, vec![]));
        let counted = vec![("1".to_owned(), 2)];
        assert_eq!(pass(&log, 3, start + INTERVAL), (true, counted));
        assert_eq!(pass(&log, 1, start + INTERVAL), (true, vec![]));
        assert_eq!(pass(&log, 1, start + INTERVAL), (false, vec![]));
        let counted = vec![("1".to_owned(), 1)];
        assert_eq!(pass(&log, 1, start + INTERVAL * 3), (true, counted));
    }

    #[test]
    fn principals_are_counted_up_to_a_bound() {
        let (log, now) = (OmissionLog::default(), Instant::now());
        pass(&log, 0, now);
        pass(&log, 0, now);
        for id in 1..=u32::try_from(MAX_PRINCIPALS).unwrap() {
            let later = now + Duration::from_millis(1);
            let ended = pass(&log, id, later).1;
            let is_last = id == u32::try_from(MAX_PRINCIPALS).unwrap();
            assert_eq!(!ended.is_empty(), is_last, "{id}: {ended:?}");
        }
        assert_eq!(log.0.lock().unwrap().len(), MAX_PRINCIPALS);
    }
}
