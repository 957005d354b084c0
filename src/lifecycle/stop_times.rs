//! How the time of a stop is divided.

use std::time::Duration;

use crate::config::Config;

/// What the last export of telemetry gets at most: a gateway at rest ends within 2 s whatever the collector does.
const TELEMETRY_MOST: Duration = Duration::from_secs(1);
/// What is left at the end for a kill, and for threads that end slowly on a busy machine.
const MARGIN_MOST: Duration = Duration::from_millis(500);
/// Beyond `stop_grace_ms`, in which most servers end by themselves: from SIGTERM to the kill.
const TERM: Duration = Duration::from_secs(1);

/// The steps of a stop. From the signal to the end of the process it takes `drain_ms`, and not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StopTimes {
    /// From the signal until requests under way are given up.
    pub(super) requests: Duration,
    /// From the signal until servers that have not ended are killed.
    pub(super) servers: Duration,
    /// For the last export of telemetry, once the servers are gone.
    pub(super) telemetry: Duration,
}

impl StopTimes {
    pub(super) fn of(config: &Config) -> Self {
        let stops = config.servers.iter().map(|server| server.supervisor.stop);
        let grace = stops.map(|stop| stop.grace).max();
        Self::divide(config.http.limits.drain, grace.unwrap_or_default())
    }

    /// Divides the time of a stop where the slowest server has this `stop_grace_ms`.
    fn divide(drain: Duration, grace: Duration) -> Self {
        let eighth = drain / 8;
        let telemetry = eighth.min(TELEMETRY_MOST);
        let reserved = telemetry + eighth.min(MARGIN_MOST);
        let servers = drain.saturating_sub(reserved);
        let reserved = (grace + TERM).min(servers / 2);
        Self {
            requests: servers.saturating_sub(reserved),
            servers,
            telemetry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// RC09: the parts are within the whole, and requests get what servers do not need.
    #[test]
    fn the_parts_of_a_stop_are_within_drain_ms() {
        let times = StopTimes::divide(ms(9000), ms(2000));
        let expected = StopTimes {
            requests: ms(4500),
            servers: ms(7500),
            telemetry: ms(1000),
        };
        assert_eq!(times, expected);
        for drain in [0, 1, 500, 8000, 60_000, 3_600_000] {
            for grace in [0, 200, 2000, 600_000] {
                let times = StopTimes::divide(ms(drain), ms(grace));
                assert!(times.requests <= times.servers, "{times:?}");
                assert!(times.requests >= times.servers / 2, "{times:?}");
                assert!(times.servers + times.telemetry <= ms(drain), "{times:?}");
            }
        }
    }
}
