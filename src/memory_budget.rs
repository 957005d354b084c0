//! The memory budget of the process: the bytes that its bounded stores hold together, against one limit.
//!
//! Every store has a bound of its own, but the products of such bounds are large: sessions times replay, connections times
//! bodies. So what can become large takes a [`MemoryLease`] as well, and a lease that the budget does not grant is an
//! honest refusal instead of a process that the system kills. Before a lease is refused the registered stores give up
//! what they can do without, the one that was used least recently first.
//!
//! Pieces below [`SMALL`] take no lease: a message would pay for it, and the number of such pieces is bounded elsewhere.

mod system;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::fault::{Delivered, Fault, FaultKind};

pub use system::default_limit;

/// The size below which a single piece of memory takes no lease, in bytes.
pub const SMALL: usize = 16 * 1024;

/// How soon a caller may try again: large messages come and go within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A store that can give up memory without an error for anybody, such as events kept for clients that may never return.
pub trait ReclaimableStore: Send + Sync + std::fmt::Debug {
    /// Gives up what was used least recently until about this many bytes are released, and returns how many were.
    ///
    /// Called on the task that wants memory, so it must not block, and it must not acquire a lease itself.
    fn reclaim(&self, bytes: usize) -> usize;
}

/// The budget is used up, and no store had anything left to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory budget of the gateway is used up; raise limits.memory_bytes")]
pub struct BudgetExhausted;

impl BudgetExhausted {
    /// The refusal of a request that wanted the memory.
    pub fn fault(self, delivered: Delivered) -> Fault {
        Fault::new(FaultKind::ServerBusy, self.to_string())
            .delivered(delivered)
            .retry_after(RETRY_AFTER)
    }
}

/// The bytes that the stores of the process may hold; a clone is the same budget.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: AtomicUsize,
    held: AtomicUsize,
    refusals: AtomicU64,
    stores: Mutex<Vec<Weak<dyn ReclaimableStore>>>,
}

/// Bytes of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct MemoryLease {
    budget: MemoryBudget,
    bytes: usize,
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit: AtomicUsize::new(limit),
            held: AtomicUsize::new(0),
            refusals: AtomicU64::new(0),
            stores: Mutex::default(),
        }))
    }

    /// Changes the limit. What is held stays held, also where it is more than the new limit.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// The bytes that are held now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// How many leases were refused.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// Adds a store that is asked for memory when the budget is used up, for as long as it lives.
    pub fn register(&self, store: Weak<dyn ReclaimableStore>) {
        let mut stores = self.0.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|store| store.strong_count() > 0);
        stores.push(store);
    }

    /// Takes this many bytes out of the budget, at the expense of the registered stores where it must be.
    pub fn acquire(&self, bytes: usize) -> Result<MemoryLease, BudgetExhausted> {
        self.take(bytes)?;
        Ok(MemoryLease {
            budget: self.clone(),
            bytes,
        })
    }

    /// Ties a lease to a piece of memory, which is given back when the last clone or slice of it is dropped.
    pub fn track(&self, bytes: Bytes) -> Result<Bytes, BudgetExhausted> {
        if bytes.len() < SMALL {
            return Ok(bytes);
        }
        Ok(self.acquire(bytes.len())?.hold(bytes))
    }

    fn take(&self, bytes: usize) -> Result<(), BudgetExhausted> {
        if self.try_take(bytes) {
            return Ok(());
        }
        let missing = self
            .held()
            .saturating_add(bytes)
            .saturating_sub(self.limit());
        self.reclaim(missing);
        if self.try_take(bytes) {
            return Ok(());
        }
        self.0.refusals.fetch_add(1, Ordering::Relaxed);
        Err(BudgetExhausted)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let limit = self.limit();
        let add = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        let held = &self.0.held;
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    fn reclaim(&self, bytes: usize) {
        // Their locks are not taken under ours.
        let stores = self.0.stores.lock();
        let stores = stores.unwrap_or_else(PoisonError::into_inner).clone();
        let mut missing = bytes;
        for store in stores.iter().filter_map(Weak::upgrade) {
            if missing == 0 {
                return;
            }
            missing = missing.saturating_sub(store.reclaim(missing));
        }
    }
}

impl MemoryLease {
    /// A lease of nothing, to be resized.
    pub fn empty(budget: &MemoryBudget) -> Self {
        Self {
            budget: budget.clone(),
            bytes: 0,
        }
    }

    /// The bytes of the lease.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the lease one of this many bytes. It stays what it was where the budget does not grant more; less is always
    /// granted.
    pub fn resize(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.budget.take(more)?;
        } else {
            self.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Ties the lease to a piece of memory; an empty one to nothing.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(TrackedBytes {
            bytes,
            _lease: self,
        })
    }

    fn give_back(&self, bytes: usize) {
        self.budget.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// A piece of memory and its lease.
struct TrackedBytes {
    bytes: Bytes,
    _lease: MemoryLease,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lease_is_refused_over_the_limit_and_comes_back_when_dropped() {
        let budget = MemoryBudget::new(100);
        let first = budget.acquire(60).unwrap();
        assert_eq!(budget.acquire(41).unwrap_err(), BudgetExhausted);
        assert_eq!((budget.held(), budget.refusals()), (60, 1));
        drop(first);
        let _all = budget.acquire(100).unwrap();
        assert_eq!(budget.held(), 100);
    }

    #[test]
    fn tracked_bytes_are_held_until_the_last_slice_of_them_is_gone() {
        let budget = MemoryBudget::new(2 * SMALL);
        let large = budget.track(Bytes::from(vec![7; SMALL])).unwrap();
        let part = large.slice(1..3);
        drop(large);
        assert_eq!(budget.held(), SMALL);
        assert_eq!(part, [7, 7].as_slice());
        drop(part);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn small_pieces_take_no_lease() {
        let budget = MemoryBudget::new(0);
        assert!(budget.track(Bytes::from(vec![0; SMALL - 1])).is_ok());
        assert!(budget.track(Bytes::from(vec![0; SMALL])).is_err());
    }

    #[derive(Debug)]
    struct Replay(Mutex<Vec<MemoryLease>>);

    impl ReclaimableStore for Replay {
        fn reclaim(&self, bytes: usize) -> usize {
            let mut leases = self.0.lock().unwrap();
            let mut released = 0;
            while released < bytes
                && let Some(lease) = leases.pop()
            {
                released += lease.bytes();
            }
            released
        }
    }

    #[test]
    fn stores_give_up_what_they_can_before_anything_is_refused() {
        let budget = MemoryBudget::new(100);
        let leases = (0..5).map(|_| budget.acquire(20).unwrap()).collect();
        let replay = Arc::new(Replay(Mutex::new(leases)));
        let as_store: Arc<dyn ReclaimableStore> = Arc::clone(&replay) as _;
        budget.register(Arc::downgrade(&as_store));
        let wanted = budget.acquire(50).unwrap();
        assert_eq!(replay.0.lock().unwrap().len(), 2);
        assert_eq!(budget.held(), 90);
        drop((as_store, replay));
        assert_eq!(budget.acquire(100).unwrap_err(), BudgetExhausted);
        assert_eq!(budget.held(), wanted.bytes());
    }

    proptest! {
        /// Whatever leases come, grow and go, what is held is their sum and never over the limit.
        #[test]
        fn what_is_held_is_the_sum_of_the_leases(steps in prop::collection::vec((0_usize..4, 0_usize..80), 0..60)) {
            let budget = MemoryBudget::new(200);
            let mut leases: Vec<MemoryLease> = Vec::new();
            for (step, bytes) in steps {
                match (step, leases.last_mut()) {
                    (0, _) => drop(leases.pop()),
                    (1, Some(last)) => drop(last.resize(bytes)),
                    _ => leases.extend(budget.acquire(bytes)),
                }
                let sum: usize = leases.iter().map(MemoryLease::bytes).sum();
                prop_assert_eq!(budget.held(), sum);
                prop_assert!(sum <= 200);
            }
        }
    }
}
