//! Calls of modern clients that wait for the client to come back with what the child asked for.
//!
//! The child knows nothing of it: for a legacy child the call is under way all the time. A call that
//! nobody comes back for is cancelled when its time is over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::call::Round;
use super::servers::Leased;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::types::PrincipalId;

/// Calls that may be held for one principal, and bytes of what their clients are asked.
const MAX_HELD: usize = 256;
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

/// One call whose client was asked something.
pub(super) struct Held {
    pub(super) round: Round,
    /// What the client brought along before it was asked, by key.
    brought: Vec<(String, Bytes)>,
    until: Instant,
    _leased: Leased,
}

impl Held {
    pub(super) fn new(round: Round, leased: Leased, brought: Vec<(String, Bytes)>) -> Self {
        Self {
            until: Instant::now() + leased.handle.config().requests.max,
            round,
            brought,
            _leased: leased,
        }
    }

    /// Answers what the child asks with what the client has brought for it; gives whether anything is left to ask.
    pub(super) fn has_questions(&mut self) -> bool {
        let Some(questions) = &self.round.questions else {
            return false;
        };
        questions.answer_by(&mut self.brought);
        !questions.is_empty()
    }
}

/// All calls that are held.
#[derive(Default)]
pub(super) struct HeldCalls(Mutex<HashMap<String, Entry>>);

struct Entry {
    principal: PrincipalId,
    held: Held,
}

impl std::fmt::Debug for HeldCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HeldCalls")
            .field(&self.calls().len())
            .finish()
    }
}

impl HeldCalls {
    fn calls(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a call, which causes nothing new meanwhile; gives the handle by which it is taken.
    pub(super) fn put(&self, principal: PrincipalId, held: Held) -> Result<String, Fault> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_no_randomness| {
            Fault::new(FaultKind::InternalError, "no handle could be made")
        })?;
        let handle = hex::encode(random);
        held.round.waits(true);
        let mut calls = self.calls();
        let (mut number, mut bytes) = (0, held.round.asked_bytes());
        for other in calls.values().filter(|entry| entry.principal == principal) {
            number += 1;
            bytes += other.held.round.asked_bytes();
        }
        if number >= MAX_HELD || (number > 0 && bytes > MAX_HELD_BYTES) {
            drop(calls);
            let text = "too many calls of this token wait for input of their client";
            return Err(Fault::new(FaultKind::RateLimited, text).delivered(Delivered::Unknown));
        }
        let entry = Entry { principal, held };
        calls.insert(handle.clone(), entry);
        Ok(handle)
    }

    /// Takes a call that is held for this principal: it can be gone on with once.
    pub(super) fn take(&self, principal: PrincipalId, handle: &str) -> Option<Held> {
        let (mut calls, now) = (self.calls(), Instant::now());
        let own = calls
            .get(handle)
            .is_some_and(|entry| entry.principal == principal && entry.held.until > now);
        let held = own.then(|| calls.remove(handle)).flatten()?.held;
        held.round.waits(false);
        Some(held)
    }

    /// Puts a call back that was taken and not gone on with.
    pub(super) fn put_back(&self, principal: PrincipalId, handle: String, held: Held) {
        held.round.waits(true);
        let entry = Entry { principal, held };
        self.calls().insert(handle, entry);
    }

    /// Gives up the calls whose time is over.
    pub(super) fn expire(&self, now: Instant) {
        self.give_up(|entry| entry.held.until <= now);
    }

    /// Gives up the calls of principals that are no more.
    pub(super) fn revoke(&self, gone: &[PrincipalId]) {
        self.give_up(|entry| gone.contains(&entry.principal));
    }

    fn give_up(&self, which: impl Fn(&Entry) -> bool) {
        let given_up: Vec<_> = self.calls().extract_if(|_, entry| which(entry)).collect();
        // What ends with them ends after the lock was given up.
        drop(given_up);
    }

    /// Gives all of them up.
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut *self.calls());
        drop(gone);
    }
}
