//! The ended sessions that are remembered: bounded for all tokens together, and fairly among them.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::types::TokenFingerprint;

/// Sessions that are remembered. When they are more, the token with the most of them gives up the one that ended longest
/// ago. Each takes some 120 bytes.
pub(super) const MAX_ENDED: usize = 8 * 1024;
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

/// A session in the queue of its token.
#[derive(Clone, Copy, Debug)]
struct QueuedSession {
    key: SessionKey,
    ended: u64,
    /// The record has it.
    is_saved: bool,
}

type Queue = VecDeque<QueuedSession>;

/// The sessions that have ended, by their keys and by their tokens.
#[derive(Debug)]
pub(super) struct EndedMemory {
    keys: HashSet<SessionKey>,
    /// Those of each token, in the order in which they ended.
    in_order: HashMap<SessionOwner, Queue>,
    /// How many each token has: the last one has the most.
    counts: BTreeSet<(usize, SessionOwner)>,
    has_unsaved: bool,
}

impl Default for EndedMemory {
    fn default() -> Self {
        Self {
            // All at once: the system gives a page when it is written, and nothing is copied while sessions end.
            keys: HashSet::with_capacity(MAX_ENDED + 1),
            in_order: HashMap::new(),
            counts: BTreeSet::new(),
            has_unsaved: false,
        }
    }
}

impl EndedMemory {
    /// Remembers sessions of the record, of which those that ended first come first.
    pub(super) fn of(sessions: impl IntoIterator<Item = EndedSession>) -> Self {
        let mut memory = Self::default();
        for session in sessions {
            memory.enter(session, true);
        }
        memory
    }

    pub(super) fn contains(&self, key: &SessionKey) -> bool {
        self.keys.contains(key)
    }

    /// Adds a session that has ended after those that are there, and that the record does not have.
    pub(super) fn insert(&mut self, session: EndedSession) {
        self.enter(session, false);
    }

    fn enter(&mut self, session: EndedSession, is_saved: bool) {
        let EndedSession { key, owner, ended } = session;
        if !self.keys.insert(key) {
            return;
        }
        self.has_unsaved |= !is_saved;
        let session = QueuedSession {
            key,
            ended,
            is_saved,
        };
        self.change_queue(owner, |queue| queue.push_back(session));
        if self.keys.len() > MAX_ENDED
            && let Some((_, most)) = self.counts.last().copied()
            && let Some(oldest) = self.change_queue(most, VecDeque::pop_front)
        {
            self.keys.remove(&oldest.key);
        }
    }

    fn change_queue<T>(&mut self, owner: SessionOwner, change: impl FnOnce(&mut Queue) -> T) -> T {
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
        let queues = self.in_order.iter();
        let sessions = queues.flat_map(|(owner, queue)| {
            let ended = |session: &QueuedSession| session.with_owner(*owner);
            queue.iter().map(ended)
        });
        by_end(sessions.collect())
    }

    #[cfg(test)]
    pub(super) fn has_unsaved(&self) -> bool {
        self.has_unsaved
    }

    /// Those that the record does not have, which it has from now on: those that ended first before the others.
    pub(super) fn take_unsaved(&mut self) -> Vec<EndedSession> {
        let mut unsaved = Vec::new();
        if std::mem::take(&mut self.has_unsaved) {
            for (owner, queue) in &mut self.in_order {
                let new = queue.iter_mut().filter(|session| !session.is_saved);
                unsaved.extend(new.map(|session| {
                    session.is_saved = true;
                    session.with_owner(*owner)
                }));
            }
        }
        by_end(unsaved)
    }

    /// All of them, which the record has from now on.
    pub(super) fn take_all(&mut self) -> Vec<EndedSession> {
        self.set_unsaved();
        self.take_unsaved()
    }

    /// Notes that the record may have none of them.
    pub(super) fn set_unsaved(&mut self) {
        self.has_unsaved = true;
        for session in self.in_order.values_mut().flatten() {
            session.is_saved = false;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let queued: usize = self.in_order.values().map(VecDeque::len).sum();
        let counted: usize = self.counts.iter().map(|(count, _)| count).sum();
        assert_eq!((queued, counted), (self.keys.len(), queued));
        queued
    }
}

impl QueuedSession {
    fn with_owner(&self, owner: SessionOwner) -> EndedSession {
        EndedSession {
            key: self.key,
            owner,
            ended: self.ended,
        }
    }
}

/// Puts those that ended first before the others.
pub(super) fn by_end(mut sessions: Vec<EndedSession>) -> Vec<EndedSession> {
    sessions.sort_by_key(|session| session.ended);
    sessions
}
