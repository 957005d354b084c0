//! Events per address and minute, in bounded memory.

use std::net::IpAddr;

use tokio::time::Instant;

use super::config::address_group;
use crate::minute_counts::{Counted, MinuteCounts};

/// Addresses that are remembered. One costs about 100 bytes, so the table stays below 1 MiB; only
/// addresses that the allowlist lets through get this far in numbers.
const CAPACITY: usize = 8192;

/// Counts events per address group and minute.
#[derive(Debug)]
pub(super) struct AddressCounts(MinuteCounts<IpAddr>);

impl Default for AddressCounts {
    fn default() -> Self {
        Self(MinuteCounts::new(CAPACITY))
    }
}

impl AddressCounts {
    /// Counts one event.
    pub(super) fn count(&self, client: IpAddr, now: Instant) -> Counted<IpAddr> {
        self.0.count(address_group(client), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_is_counted_by_64_and_a_mapped_address_is_ipv4() {
        let counts = AddressCounts::default();
        let now = Instant::now();
        let count = |text: &str| counts.count(text.parse().unwrap(), now).count;
        assert_eq!(count("2001:db8::1"), 1);
        assert_eq!(count("2001:db8::ffff:1"), 2);
        assert_eq!(count("2001:db8:0:1::1"), 1);
        assert_eq!(count("192.0.2.1"), 1);
        assert_eq!(count("::ffff:192.0.2.1"), 2);
    }
}
