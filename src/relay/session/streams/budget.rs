//! What the sessions of one principal keep together for clients that come back, and what of it is given up when memory runs
//! out.
//!
//! Each session has a bound of its own, and a principal may have a thousand sessions: without a common bound a token
//! would be worth a gigabyte.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::Streams;
use crate::memory_budget::{MemoryAccount, MemoryBudget, ReclaimableStore};
use crate::types::PrincipalId;

/// The bytes that the sessions of one principal keep.
#[derive(Debug)]
pub(in crate::relay) struct ReplayBudget {
    max: AtomicUsize,
    used: AtomicUsize,
    sessions: Mutex<Vec<Weak<Streams>>>,
    memory: MemoryAccount,
}

impl ReplayBudget {
    /// The budget of a principal whose sessions take memory of this account.
    pub(in crate::relay) fn new(max: usize, memory: MemoryAccount) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(max),
            used: AtomicUsize::new(0),
            sessions: Mutex::default(),
            memory,
        })
    }

    /// The account of the principal.
    pub(super) fn memory(&self) -> &MemoryAccount {
        &self.memory
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

/// The replay budgets of all principals that have sessions.
#[derive(Debug)]
pub(in crate::relay) struct ReplayBudgets {
    memory: MemoryBudget,
    /// With the last session of a principal its budget is gone.
    of: Mutex<HashMap<PrincipalId, Weak<ReplayBudget>>>,
}

impl ReplayBudgets {
    /// No budgets yet. What their sessions keep is given up when `memory` runs out.
    pub(in crate::relay) fn new(memory: MemoryBudget) -> Arc<Self> {
        let budgets = Arc::new(Self {
            memory,
            of: Mutex::default(),
        });
        let store: Weak<dyn ReclaimableStore> = Arc::downgrade(&budgets) as _;
        budgets.memory.register(store);
        budgets
    }

    /// The budget of a principal, with this bound from now on.
    pub(in crate::relay) fn of(&self, principal: PrincipalId, max: usize) -> Arc<ReplayBudget> {
        let mut budgets = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = budgets.get(&principal).and_then(Weak::upgrade) {
            known.set_max(max);
            return known;
        }
        budgets.retain(|_, budget| budget.strong_count() > 0);
        let budget = ReplayBudget::new(max, self.memory.account(principal));
        budgets.insert(principal, Arc::downgrade(&budget));
        budget
    }

    /// The sessions of one principal or of all; none where another thread has the lock.
    fn try_sessions(&self, owner: Option<PrincipalId>) -> Vec<Arc<Streams>> {
        let Some(budgets) = try_lock(&self.of) else {
            return Vec::new();
        };
        let own = budgets
            .iter()
            .filter(|(principal, _)| owner.is_none_or(|owner| owner == **principal));
        let budgets: Vec<_> = own.filter_map(|(_, budget)| budget.upgrade()).collect();
        budgets
            .iter()
            .filter_map(|budget| try_lock(&budget.sessions))
            .flat_map(|sessions| {
                sessions
                    .iter()
                    .filter_map(Weak::upgrade)
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

impl ReclaimableStore for ReplayBudgets {
    /// What is kept of sessions that nobody reads goes first, of those the ones that were used least recently.
    fn reclaim(&self, bytes: usize, owner: Option<PrincipalId>) -> usize {
        let sessions = self.try_sessions(owner).into_iter();
        let mut sessions: Vec<_> = sessions
            .filter_map(|session| Some((session.try_usage()?, session)))
            .collect();
        sessions.sort_unstable_by_key(|(usage, _)| *usage);
        let mut released = 0;
        for (_, session) in sessions {
            if released >= bytes {
                break;
            }
            released += session.try_reclaim(bytes - released);
        }
        released
    }
}

/// The lock, where it is free: whoever wants memory may be the one who has it.
pub(super) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
