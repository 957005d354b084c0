//! What the sessions of one principal keep together for clients that come back.
//!
//! Each session has a bound of its own, and a principal may have a thousand sessions: without a common bound a token
//! would be worth a gigabyte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Streams;

/// The bytes that the sessions of one principal keep.
#[derive(Debug)]
pub(in crate::relay) struct ReplayBudget {
    max: AtomicUsize,
    used: AtomicUsize,
    sessions: Mutex<Vec<Weak<Streams>>>,
}

impl ReplayBudget {
    pub(in crate::relay) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(max),
            used: AtomicUsize::new(0),
            sessions: Mutex::default(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Weak<Streams>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the bound in force.
    pub(in crate::relay) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Has the streams of a session share the budget.
    pub(in crate::relay) fn join(&self, streams: &Arc<Streams>) {
        let mut sessions = self.sessions();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(streams));
    }

    pub(super) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Brings what is kept below the bound, at the expense of the sessions that keep most. To be called without the
    /// lock of any streams.
    pub(super) fn enforce(&self) {
        let (max, used) = (&self.max, &self.used);
        let max = max.load(Ordering::Relaxed);
        if used.load(Ordering::Relaxed) <= max {
            return;
        }
        let sessions: Vec<_> = self.sessions().iter().filter_map(Weak::upgrade).collect();
        let mut by_size: Vec<_> = sessions
            .iter()
            .map(|session| (session.kept_bytes(), session))
            .collect();
        by_size.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        // Somewhat below the bound, or every event would bring all sessions here.
        let enough = max - max / 8;
        for (bytes, session) in by_size {
            let over = used.load(Ordering::Relaxed).saturating_sub(enough);
            if over == 0 {
                return;
            }
            session.give_up(over.min(bytes / 2 + 1));
        }
    }
}
