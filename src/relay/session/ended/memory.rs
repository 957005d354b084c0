//! The ended sessions that are remembered: bounded for all tokens together, and fairly among them.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::types::TokenFingerprint;

/// Sessions that are remembered. When they are more, the token with the most of them gives up the one that ended longest
/// ago. Each takes some 150 bytes.
pub(super) const MAX_ENDED: usize = 16 * 1024;
/// Random characters at the beginning of an id, which tell it from every other.
pub(super) const RANDOM: usize = 32;
/// Bytes of a token's fingerprint that tell it from others.
pub(super) const OWNER_BYTES: usize = 8;

/// The part of an id by which its session is known to have ended. No session can be found by it.
pub(super) type SessionKey = [u8; RANDOM];

/// The beginning of the fingerprint of a session's token; zeros where that is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionOwner(pub(super) [u8; OWNER_BYTES]);

impl SessionOwner {
    pub(super) fn of(token: &TokenFingerprint) -> Self {
        Self(token.bytes().first_chunk().copied().unwrap_or_default())
    }
}

/// The part of an id that is remembered; `None` for a text that is not one.
pub(super) fn session_key(id: &str) -> Option<SessionKey> {
    id.as_bytes().first_chunk::<RANDOM>().copied()
}

/// One session that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedSession {
    pub(super) key: SessionKey,
    pub(super) owner: SessionOwner,
    /// In seconds of Unix time.
    pub(super) ended: u64,
}

/// The sessions that have ended, by their keys and by their tokens.
#[derive(Debug, Default)]
pub(super) struct EndedMemory {
    sessions: HashMap<SessionKey, EndedSession>,
    /// Those of each token, in the order in which they ended.
    in_order: HashMap<SessionOwner, VecDeque<SessionKey>>,
    /// How many each token has: the last one has the most.
    counts: BTreeSet<(usize, SessionOwner)>,
    /// Some have ended since the record was written.
    pub(super) is_unsaved: bool,
}

impl EndedMemory {
    /// Remembers sessions, of which those that ended first come first.
    pub(super) fn of(sessions: impl IntoIterator<Item = EndedSession>) -> Self {
        let mut memory = Self::default();
        for session in sessions {
            memory.insert(session);
        }
        memory
    }

    pub(super) fn contains(&self, key: &SessionKey) -> bool {
        self.sessions.contains_key(key)
    }

    /// Adds a session that has ended after those that are there.
    pub(super) fn insert(&mut self, session: EndedSession) {
        if self.sessions.insert(session.key, session).is_some() {
            return;
        }
        self.change_queue(session.owner, |queue| queue.push_back(session.key));
        if self.sessions.len() > MAX_ENDED
            && let Some((_, most)) = self.counts.last().copied()
            && let Some(oldest) = self.change_queue(most, VecDeque::pop_front)
        {
            self.sessions.remove(&oldest);
        }
    }

    fn change_queue<T>(
        &mut self,
        owner: SessionOwner,
        change: impl FnOnce(&mut VecDeque<SessionKey>) -> T,
    ) -> T {
        let queue = self.in_order.entry(owner).or_default();
        self.counts.remove(&(queue.len(), owner));
        let changed = change(queue);
        if queue.is_empty() {
            self.in_order.remove(&owner);
        } else {
            self.counts.insert((queue.len(), owner));
        }
        changed
    }

    /// All of them, those that ended first before the others.
    pub(super) fn sorted(&self) -> Vec<EndedSession> {
        let mut sessions: Vec<_> = self.sessions.values().copied().collect();
        sessions.sort_unstable_by_key(|session| session.ended);
        sessions
    }

    /// All of them, unless the record has them.
    pub(super) fn take_unsaved(&mut self) -> Option<Vec<EndedSession>> {
        std::mem::take(&mut self.is_unsaved).then(|| self.sorted())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let queued: usize = self.in_order.values().map(VecDeque::len).sum();
        let counted: usize = self.counts.iter().map(|(count, _)| count).sum();
        assert_eq!((queued, counted), (self.sessions.len(), queued));
        queued
    }
}
