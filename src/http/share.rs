//! What one token may have under way at a time.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::{AdmissionConfig, LimitsConfig};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::types::PrincipalId;

/// The shares of every principal, known from the start.
#[derive(Debug)]
pub(super) struct Shares(HashMap<PrincipalId, Share>);

#[derive(Debug)]
struct Share {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// A part of a share, given back when dropped.
pub(super) type Permit = OwnedSemaphorePermit;

impl Shares {
    /// One share for each principal of the tokens.
    pub(super) fn new(admission: &AdmissionConfig, limits: &LimitsConfig) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let share = || Share {
            requests: semaphore(limits.max_in_flight_per_token),
            streams: semaphore(limits.max_streams_per_token),
        };
        let principals = admission.tokens.iter().map(|token| token.principal.id);
        Self(principals.map(|id| (id, share())).collect())
    }

    /// Takes one request out of the share.
    pub(super) fn request(&self, principal: PrincipalId) -> Result<Permit, Fault> {
        let share = self.0.get(&principal).map(|share| &share.requests);
        take(share, "too many requests under way for this token")
    }

    /// Takes one event stream out of the share.
    pub(super) fn stream(&self, principal: PrincipalId) -> Result<Permit, Fault> {
        let share = self.0.get(&principal).map(|share| &share.streams);
        take(share, "too many event streams open for this token")
    }
}

fn take(share: Option<&Arc<Semaphore>>, message: &'static str) -> Result<Permit, Fault> {
    share
        .and_then(|share| Arc::clone(share).try_acquire_owned().ok())
        .ok_or_else(|| Fault::new(FaultKind::RateLimited, message).delivered(Delivered::No))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;

    #[test]
    fn a_share_is_of_one_principal_and_comes_back() {
        let mut config = fixture::config();
        config.limits.max_in_flight_per_token = 2;
        let shares = Shares::new(&config.admission, &config.limits);
        let (one, two) = (PrincipalId(1), PrincipalId(2));
        let first = shares.request(one).unwrap();
        let _second = shares.request(one).unwrap();
        assert_eq!(
            shares.request(one).unwrap_err().kind,
            FaultKind::RateLimited
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
