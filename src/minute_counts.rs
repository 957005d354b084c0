//! Events per key and minute, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time in which events are counted; begins with the first event of a key.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Counts events per key and minute.
///
/// Every entry lives for one window from its first event, so the queue of entries is ordered by age:
/// forgetting the old and evicting the oldest when the table is full both happen at its front.
#[derive(Debug)]
pub struct MinuteCounts<K> {
    table: Mutex<Table<K>>,
    /// Keys that are remembered.
    capacity: usize,
}

#[derive(Debug)]
struct Table<K> {
    counts: HashMap<K, Entry>,
    by_age: VecDeque<K>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u32,
    since: Instant,
}

/// The state of a key after an event was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<K> {
    /// Events in this window, this one included.
    pub count: u32,
    /// Until the window ends.
    pub remaining: Duration,
    /// Keys whose window has ended meanwhile, or that had to make room, with their counts.
    pub ended: Vec<(K, u32)>,
}

impl<K: Clone + Eq + Hash> MinuteCounts<K> {
    /// Remembers as many keys at a time, and the newest of them where there are more.
    pub fn new(capacity: usize) -> Self {
        let table = Table {
            counts: HashMap::new(),
            by_age: VecDeque::new(),
        };
        Self {
            table: Mutex::new(table),
            capacity,
        }
    }

    /// Counts one event.
    pub fn count(&self, key: K, now: Instant) -> Counted<K> {
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(key, now, self.capacity)
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn count(&mut self, key: K, now: Instant, capacity: usize) -> Counted<K> {
        let mut ended = Vec::new();
        while let Some(oldest) = self.by_age.front() {
            let expired = self
                .counts
                .get(oldest)
                .is_none_or(|entry| now.duration_since(entry.since) >= WINDOW);
            let crowded = self.counts.len() >= capacity && !self.counts.contains_key(&key);
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
        let entry = self.counts.entry(key).or_insert_with_key(|key| {
            by_age.push_back(key.clone());
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

    #[test]
    fn a_key_is_counted_for_a_minute_and_then_forgotten() {
        let counts = MinuteCounts::new(8);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(counts.count(1, at(0)).count, 1);
        let second = counts.count(1, at(20));
        assert_eq!(
            (second.count, second.remaining),
            (2, Duration::from_secs(40))
        );
        assert_eq!(counts.count(2, at(59)).count, 1);
        let later = counts.count(1, at(60));
        assert_eq!((later.count, later.ended), (1, vec![(1, 2)]));
    }

    #[test]
    fn a_full_table_forgets_its_oldest_key() {
        let capacity = 100;
        let counts = MinuteCounts::new(capacity);
        let now = Instant::now();
        for key in 0..capacity + 10 {
            let ended = counts.count(key, now).ended;
            let forgotten = key.checked_sub(capacity).map(|first| (first, 1));
            assert_eq!(ended, forgotten.into_iter().collect::<Vec<_>>());
        }
        let table = counts.table.lock().unwrap();
        assert_eq!(
            (table.counts.len(), table.by_age.len()),
            (capacity, capacity)
        );
        drop(table);
        assert_eq!(counts.count(capacity, now).count, 2, "still known");
        assert_eq!(counts.count(0, now).count, 1, "forgotten");
    }
}
