//! Events per address and minute, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::config::address_group;

/// The window in which events are counted; begins with the first event of an address.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses that are remembered. One costs about 100 bytes, so the table stays below 1 MiB; only
/// addresses that the allowlist lets through get this far in numbers.
const CAPACITY: usize = 8192;

/// Counts events per address group and minute.
///
/// Every entry lives for one window from its first event, so the queue of entries is ordered by age:
/// forgetting the old and evicting the oldest when the table is full both happen at its front.
#[derive(Debug, Default)]
pub(super) struct MinuteCounts {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    counts: HashMap<IpAddr, Entry>,
    by_age: VecDeque<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    since: Instant,
}

/// The state of an address after an event was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Events in this window, this one included.
    pub(super) count: u32,
    /// Until the window ends.
    pub(super) remaining: Duration,
    /// Addresses whose window has ended meanwhile, with their counts.
    pub(super) ended: Vec<(IpAddr, u32)>,
}

impl MinuteCounts {
    /// Counts one event.
    pub(super) fn count(&self, client: IpAddr, now: Instant) -> Counted {
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(address_group(client), now)
    }
}

impl Table {
    fn count(&mut self, key: IpAddr, now: Instant) -> Counted {
        let mut ended = Vec::new();
        while let Some(oldest) = self.by_age.front() {
            let expired = self
                .counts
                .get(oldest)
                .is_none_or(|entry| now.duration_since(entry.since) >= WINDOW);
            let crowded = self.counts.len() >= CAPACITY && !self.counts.contains_key(&key);
            if !expired && !crowded {
                break;
            }
            if let Some(gone) = self.by_age.pop_front()
                && let Some(entry) = self.counts.remove(&gone)
            {
                ended.push((gone, entry.count));
            }
        }
        let by_age = &mut self.by_age;
        let entry = self.counts.entry(key).or_insert_with(|| {
            by_age.push_back(key);
            Entry {
                count: 0,
                since: now,
            }
        });
        entry.count = entry.count.saturating_add(1);
        Counted {
            count: entry.count,
            remaining: WINDOW.saturating_sub(now.duration_since(entry.since)),
            ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_counted_for_a_minute_and_then_forgotten() {
        let counts = MinuteCounts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let one = ip("192.0.2.1");
        assert_eq!(counts.count(one, at(0)).count, 1);
        let second = counts.count(one, at(20));
        assert_eq!(
            (second.count, second.remaining),
            (2, Duration::from_secs(40))
        );
        assert_eq!(counts.count(ip("192.0.2.2"), at(59)).count, 1);
        let later = counts.count(one, at(60));
        assert_eq!((later.count, later.ended), (1, vec![(one, 2)]));
    }

    #[test]
    fn ipv6_is_counted_by_64_and_a_mapped_address_is_ipv4() {
        let counts = MinuteCounts::default();
        let now = Instant::now();
        assert_eq!(counts.count(ip("2001:db8::1"), now).count, 1);
        assert_eq!(counts.count(ip("2001:db8::ffff:1"), now).count, 2);
        assert_eq!(counts.count(ip("2001:db8:0:1::1"), now).count, 1);
        assert_eq!(counts.count(ip("192.0.2.1"), now).count, 1);
        assert_eq!(counts.count(ip("::ffff:192.0.2.1"), now).count, 2);
    }

    #[test]
    fn a_full_table_forgets_its_oldest_entry() {
        let counts = MinuteCounts::default();
        let now = Instant::now();
        let nth = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..CAPACITY + 10 {
            counts.count(nth(n), now);
        }
        let table = counts.table.lock().unwrap();
        assert_eq!(
            (table.counts.len(), table.by_age.len()),
            (CAPACITY, CAPACITY)
        );
        drop(table);
        assert_eq!(counts.count(nth(CAPACITY), now).count, 2, "still known");
        assert_eq!(counts.count(nth(0), now).count, 1, "forgotten");
    }
}
