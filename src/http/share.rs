//! What one token may have under way at a time.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::LimitsConfig;
use crate::fault::{Fault, FaultKind};
use crate::types::{Principal, PrincipalId, QuotaPermit};

/// Requests under way of one token, above which they are a crowd that keeps the requests of others waiting. Clients
/// that one person uses have fewer.
const CROWD: usize = 8;

/// The shares of every principal.
#[derive(Debug)]
pub(super) struct Shares(FxHashMap<PrincipalId, Share>);

#[derive(Clone, Debug)]
struct Share {
    /// Requests that may be under way.
    size: usize,
    requests: Arc<Semaphore>,
    /// Event streams that may be open.
    streams_size: usize,
    streams: Arc<Semaphore>,
}

/// A part of a share, given back when dropped.
pub(super) type Permit = OwnedSemaphorePermit;

impl Shares {
    /// One share for each principal.
    pub(super) fn new<'p>(
        principals: impl Iterator<Item = &'p Principal>,
        limits: &LimitsConfig,
    ) -> Self {
        Self(principals.map(|one| (one.id, Share::new(limits))).collect())
    }

    /// The shares by another config. Who was there keeps what it has, unless the size of a share has changed
    /// (`limits` from `before`): then all begin anew, and what is under way is not counted.
    pub(super) fn succeeded_by<'p>(
        &self,
        principals: impl Iterator<Item = &'p Principal>,
        limits: &LimitsConfig,
        before: &LimitsConfig,
    ) -> Self {
        let sizes = |of: &LimitsConfig| (of.max_in_flight_per_token, of.max_streams_per_token);
        if sizes(limits) != sizes(before) {
            return Self::new(principals, limits);
        }
        let kept = |one: &Principal| {
            let kept = self.0.get(&one.id).cloned();
            (one.id, kept.unwrap_or_else(|| Share::new(limits)))
        };
        Self(principals.map(kept).collect())
    }

    /// Several principals share the gateway.
    pub(super) fn is_divided(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether a principal has so many requests under way that they keep those of others waiting.
    pub(super) fn is_crowd(&self, principal: PrincipalId) -> bool {
        let share = self.0.get(&principal);
        share.is_some_and(|share| share.size - share.requests.available_permits() >= CROWD)
    }

    /// Takes one request out of the share.
    pub(super) fn request(&self, principal: PrincipalId) -> Result<QuotaPermit, Fault> {
        let share = self.0.get(&principal);
        let permit = take(share.map(|share| &share.requests));
        permit.map(QuotaPermit::new).ok_or_else(|| {
            let most = share.map_or(0, |share| share.size);
            used_up(format!(
                "too many requests under way for this token: max_in_flight_per_token ({most}) is reached"
            ))
        })
    }

    /// Takes one event stream out of the share.
    pub(super) fn stream(&self, principal: PrincipalId) -> Result<Permit, Fault> {
        let share = self.0.get(&principal);
        take(share.map(|share| &share.streams)).ok_or_else(|| {
            let most = share.map_or(0, |share| share.streams_size);
            used_up(format!(
                "too many event streams open for this token: max_streams_per_token ({most}) is reached"
            ))
        })
    }
}

impl Share {
    fn new(limits: &LimitsConfig) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            size: limits.max_in_flight_per_token.min(Semaphore::MAX_PERMITS),
            requests: semaphore(limits.max_in_flight_per_token),
            streams_size: limits.max_streams_per_token,
            streams: semaphore(limits.max_streams_per_token),
        }
    }
}

fn take(share: Option<&Arc<Semaphore>>) -> Option<Permit> {
    share.and_then(|share| Arc::clone(share).try_acquire_owned().ok())
}

fn used_up(text: String) -> Fault {
    Fault::new(FaultKind::RateLimited, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;

    #[test]
    fn a_share_is_of_one_principal_and_comes_back() {
        let mut config = fixture::config();
        config.limits.max_in_flight_per_token = 2;
        let tokens = &config.admission.tokens;
        let principals = || tokens.iter().map(|token| &token.principal);
        let shares = Shares::new(principals(), &config.limits);
        let (one, two) = (PrincipalId(1), PrincipalId(2));
        assert!(shares.is_divided() && !shares.is_crowd(one));
        let first = shares.request(one).unwrap();
        let _second = shares.request(one).unwrap();
        let refused = shares.request(one).unwrap_err();
        assert_eq!(refused.kind, FaultKind::RateLimited);
        assert!(
            refused.message.contains("max_in_flight_per_token (2)"),
            "{refused}"
        );
        assert!(shares.request(two).is_ok(), "another token is not affected");
        assert!(shares.stream(one).is_ok(), "streams are counted apart");
        drop(first);
        assert!(shares.request(one).is_ok());
        assert!(
            shares.request(PrincipalId(99)).is_err(),
            "unknown principals have no share"
        );
    }
}
