//! Requests as they are submitted: clients' ones, and those of the gateway's own.

use std::time::Duration;

use super::{FrameClass, Owner, Submission};
use crate::supervisor::config::RequestConfig;

/// Longer than any gateway runs, and short enough to be added to a time.
const STANDING: Duration = Duration::from_hours(24 * 365 * 30);

impl Submission {
    /// A request of the gateway's own, with the server's own timeout.
    pub fn own() -> Self {
        Self {
            origin: None,
            observer: None,
            record: None,
            exclusive: false,
            timeout: None,
            standing: false,
            sponsor: Owner::Server,
            quota: None,
        }
    }

    /// A request of the gateway's own that somebody else is the cause of, and has to wait for.
    pub fn own_for(sponsor: Owner) -> Self {
        Self {
            sponsor,
            ..Self::own()
        }
    }

    /// A request of the gateway's own that stands open for as long as the server lives.
    pub fn standing(sponsor: Owner) -> Self {
        Self {
            standing: true,
            ..Self::own_for(sponsor)
        }
    }

    /// Where its frame waits.
    pub(super) fn class(&self) -> FrameClass {
        if self.exclusive {
            FrameClass::Exclusive
        } else {
            FrameClass::Ordered
        }
    }

    /// The one whose share of the server it takes.
    pub(super) fn owner(&self) -> Owner {
        let principal = self.origin.as_ref().map(|origin| origin.principal);
        principal.map_or(self.sponsor, Owner::Principal)
    }

    /// How long its answer is waited for.
    pub(super) fn patience(&self, config: &RequestConfig) -> Duration {
        if self.standing {
            STANDING
        } else {
            self.timeout.unwrap_or(config.timeout)
        }
    }
}
