//! The log of refused requests: enough to see an attack, not enough to be one.

use std::net::IpAddr;

use tokio::time::Instant;

use super::admission::Check;
use super::limiter::MinuteCounts;

/// Refusals of one address that are logged in a minute; the rest are counted.
const LOGGED_PER_MINUTE: u32 = 5;

/// Logs refusals by address.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(MinuteCounts);

impl RefusalLog {
    /// Logs one refusal, or counts it; tells of the counted ones when their minute is over.
    pub(super) fn note(&self, check: Check, client: IpAddr, now: Instant) {
        let counted = self.0.count(client, now);
        for (address, count) in counted.ended {
            let suppressed = count.saturating_sub(LOGGED_PER_MINUTE);
            if suppressed > 0 {
                tracing::info!(client = %address, suppressed, "{suppressed} more requests of {address} were refused");
            }
        }
        if counted.count <= LOGGED_PER_MINUTE {
            let check = check.as_str();
            tracing::info!(%client, check, "request of {client} refused by the check of its {check}");
        }
    }
}
