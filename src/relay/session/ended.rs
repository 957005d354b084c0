//! The sessions that have ended for good and whose ids are genuine all the same.

use std::collections::{HashSet, VecDeque};

/// Ids that are remembered; those that ended longest ago give way. Each takes some 80 bytes.
const MAX_ENDED: usize = 16 * 1024;
/// Random characters at the beginning of an id, which tell it from every other.
const RANDOM: usize = 32;

/// Remembers which sessions must not be made anew, until the process ends.
#[derive(Debug, Default)]
pub(super) struct EndedSessions {
    ids: HashSet<[u8; RANDOM]>,
    in_order: VecDeque<[u8; RANDOM]>,
}

impl EndedSessions {
    /// Notes that a session has ended.
    pub(super) fn insert(&mut self, id: &str) {
        let Some(key) = key(id) else {
            return;
        };
        if !self.ids.insert(key) {
            return;
        }
        self.in_order.push_back(key);
        if self.in_order.len() > MAX_ENDED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Whether a session has ended.
    pub(super) fn contains(&self, id: &str) -> bool {
        key(id).is_some_and(|key| self.ids.contains(&key))
    }
}

fn key(id: &str) -> Option<[u8; RANDOM]> {
    id.as_bytes().first_chunk::<RANDOM>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_that_ended_last_are_remembered() {
        let mut ended = EndedSessions::default();
        let id = |number: usize| format!("{number:032}-rest");
        for number in 0..=MAX_ENDED {
            ended.insert(&id(number));
            ended.insert(&id(number));
        }
        assert!(!ended.contains(&id(0)));
        assert!(ended.contains(&id(1)) && ended.contains(&id(MAX_ENDED)));
        assert_eq!(ended.ids.len(), MAX_ENDED);
        assert!(!ended.contains("short"));
    }
}
