//! The memory budget of the process: the bytes that its bounded stores hold together, against one limit.
//!
//! Every store has a bound of its own, but the products of such bounds are large: sessions times replay, connections times
//! bodies. So what can become large takes a [`MemoryLease`] as well, and a lease that the budget does not grant is an
//! honest refusal instead of a process that the system kills. Before a lease is refused the registered stores give up
//! what they can do without, the one that was used least recently first. One principal gets at most half of the budget,
//! so that the others find the other half.
//!
//! A piece from [`SMALL`] on has a lease of its own ([`MemoryAccount::track`]), which goes with it from store to store.
//! Smaller ones take none, because every message would pay for it: a store that can hold many of them takes memory for
//! all of them together, in steps ([`SteppedLease`]), and otherwise their number is bounded elsewhere.

mod control_group;
mod stepped;
mod system;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::types::PrincipalId;

pub use stepped::{SteppedLease, piece_weight};
pub use system::default_limit;

/// The size below which a single piece of memory takes no lease, in bytes.
pub const SMALL: usize = 16 * 1024;

/// How soon a caller may try again: large messages come and go within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long stores are not asked again that had nothing to give: to look at all of them for every message that is refused
/// would cost everybody else.
const BARREN_PAUSE: Duration = Duration::from_millis(20);

/// The part of the budget that stores are asked for at least when it is used up: they would be asked for every message
/// otherwise.
const RECLAIM_SHARE: usize = 64;

/// A store that can give up memory without an error for anybody, such as events kept for clients that may never return.
pub trait ReclaimableStore: Send + Sync + std::fmt::Debug {
    /// Gives up what was used least recently until about this many bytes are released, and returns how many were. Of an
    /// `owner` alone, where one is given.
    ///
    /// Called on the task that wants memory, which may hold locks: it must not wait for one, and must not acquire a lease.
    fn reclaim(&self, bytes: usize, owner: Option<PrincipalId>) -> usize;
}

/// Why a lease is not granted, after no store had anything left to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetExhausted {
    /// The budget is used up.
    #[error("the memory budget of the gateway is used up; try again, or raise limits.memory_bytes")]
    Process,
    /// The principal holds its half.
    #[error(
        "this token holds its share of the gateway's memory budget, half of limits.memory_bytes; read answers, try again, or raise it"
    )]
    Principal,
    /// It is more than there is, whoever holds how much.
    #[error(
        "{bytes} bytes are more than the {most} that one message may have of limits.memory_bytes; raise it"
    )]
    TooLarge {
        /// What was wanted.
        bytes: usize,
        /// The most that can be had.
        most: usize,
    },
}

impl BudgetExhausted {
    /// The refusal of a request that wanted the memory.
    pub fn fault(self, delivered: Delivered) -> Fault {
        let kind = match self {
            Self::Process => FaultKind::ServerBusy,
            Self::Principal => FaultKind::RateLimited,
            // No later try is any better.
            Self::TooLarge { .. } => {
                let kind = match delivered {
                    Delivered::No => FaultKind::PayloadTooLarge,
                    Delivered::Unknown => FaultKind::ReplyTooLarge,
                };
                return Fault::new(kind, self.to_string()).delivered(delivered);
            }
        };
        Fault::new(kind, self.to_string())
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
    /// What principals hold that hold anything.
    shares: Mutex<HashMap<PrincipalId, Weak<Share>>>,
    /// Until when no store is asked for the process.
    barren_until: Mutex<Option<Instant>>,
}

/// What one principal holds.
#[derive(Debug)]
struct Share {
    principal: PrincipalId,
    held: AtomicUsize,
    /// Until when no store is asked for it.
    barren_until: Mutex<Option<Instant>>,
}

/// The budget as one owner takes from it: a principal, which has a share, or the process itself.
#[derive(Clone, Debug)]
pub struct MemoryAccount {
    budget: MemoryBudget,
    owner: Option<PrincipalId>,
}

/// Bytes of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct MemoryLease {
    budget: MemoryBudget,
    share: Option<Arc<Share>>,
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
            shares: Mutex::default(),
            barren_until: Mutex::default(),
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

    /// How many pieces and leases were refused for good, after all that could be given up was.
    pub fn refusals(&self) -> u64 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// Adds a store that is asked for memory when the budget is used up, for as long as it lives. Those that were added
    /// first are asked first.
    pub fn register(&self, store: Weak<dyn ReclaimableStore>) {
        let mut stores = self.0.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|store| store.strong_count() > 0);
        stores.push(store);
    }

    /// The account of a principal.
    pub fn account(&self, principal: PrincipalId) -> MemoryAccount {
        MemoryAccount {
            budget: self.clone(),
            owner: Some(principal),
        }
    }

    /// The account of what belongs to no principal.
    pub fn process_account(&self) -> MemoryAccount {
        MemoryAccount {
            budget: self.clone(),
            owner: None,
        }
    }

    /// Ties a lease of a principal to a piece of memory, which is given back when the last clone or slice of it is
    /// dropped.
    pub fn track(&self, principal: PrincipalId, bytes: Bytes) -> Result<Bytes, BudgetExhausted> {
        // Before the account is made, which counts who has one.
        if bytes.len() < SMALL {
            return Ok(bytes);
        }
        self.account(principal).track(bytes)
    }

    fn share(&self, principal: PrincipalId) -> Arc<Share> {
        let shares = self.0.shares.lock();
        let mut shares = shares.unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shares.get(&principal).and_then(Weak::upgrade) {
            return known;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share {
            principal,
            held: AtomicUsize::new(0),
            barren_until: Mutex::default(),
        });
        shares.insert(principal, Arc::downgrade(&share));
        share
    }

    fn take(&self, bytes: usize, share: Option<&Share>) -> Result<(), BudgetExhausted> {
        let taken = self.take_or_reclaim(bytes, share);
        taken.inspect_err(|_exhausted| self.count_refusal())
    }

    fn count_refusal(&self) {
        self.0.refusals.fetch_add(1, Ordering::Relaxed);
    }

    fn take_or_reclaim(&self, bytes: usize, share: Option<&Share>) -> Result<(), BudgetExhausted> {
        let mut tried = self.try_take(bytes, share);
        let most = share.map_or(self.limit(), |_| self.limit() / 2);
        if tried.is_err() && bytes > most {
            return Err(BudgetExhausted::TooLarge { bytes, most });
        }
        // The share may be short, and then the whole.
        for _ in 0..2 {
            let Err(exhausted) = tried else {
                return Ok(());
            };
            self.reclaim(bytes, exhausted, share);
            tried = self.try_take(bytes, share);
        }
        tried
    }

    fn try_take(&self, bytes: usize, share: Option<&Share>) -> Result<(), BudgetExhausted> {
        let limit = self.limit();
        let within =
            |limit: usize| move |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        let add = |held: &AtomicUsize, limit| {
            held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within(limit))
        };
        let own = share.map(|share| add(&share.held, limit / 2)).transpose();
        own.map_err(|_held| BudgetExhausted::Principal)?;
        if add(&self.0.held, limit).is_err() {
            if let Some(share) = share {
                share.held.fetch_sub(bytes, Ordering::Relaxed);
            }
            return Err(BudgetExhausted::Process);
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize, share: Option<&Share>) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(share) = share {
            share.held.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Asks the stores for what is missing.
    fn reclaim(&self, bytes: usize, exhausted: BudgetExhausted, share: Option<&Share>) {
        let limit = self.limit();
        let (owner, held, limit, barren_until) = match (exhausted, share) {
            (BudgetExhausted::Principal, Some(share)) => {
                let held = share.held.load(Ordering::Relaxed);
                let owner = Some(share.principal);
                (owner, held, limit / 2, &share.barren_until)
            }
            _ => (None, self.held(), limit, &self.0.barren_until),
        };
        let lock = || barren_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if lock().is_some_and(|until| now < until) {
            return;
        }
        let missing = held.saturating_add(bytes).saturating_sub(limit);
        let wanted = missing.max(limit / RECLAIM_SHARE);
        let mut released: usize = 0;
        // Their locks are not taken under ours.
        let stores = self.0.stores.lock();
        let stores = stores.unwrap_or_else(PoisonError::into_inner).clone();
        for store in stores.iter().filter_map(Weak::upgrade) {
            if released >= wanted {
                break;
            }
            released = released.saturating_add(store.reclaim(wanted - released, owner));
        }
        *lock() = (released == 0).then(|| now + BARREN_PAUSE);
    }
}

impl MemoryAccount {
    /// Takes this many bytes out of the budget, at the expense of the registered stores where it must be.
    pub fn acquire(&self, bytes: usize) -> Result<MemoryLease, BudgetExhausted> {
        let mut lease = self.empty_lease();
        lease.resize(bytes)?;
        Ok(lease)
    }

    /// A lease of nothing, to be resized.
    pub fn empty_lease(&self) -> MemoryLease {
        MemoryLease {
            budget: self.budget.clone(),
            share: self.owner.map(|owner| self.budget.share(owner)),
            bytes: 0,
        }
    }

    /// Ties a lease to a piece of memory, which is given back when the last clone or slice of it is dropped.
    pub fn track(&self, bytes: Bytes) -> Result<Bytes, BudgetExhausted> {
        if bytes.len() < SMALL {
            return Ok(bytes);
        }
        Ok(self.acquire(bytes.len())?.hold(bytes))
    }
}

impl MemoryLease {
    /// The bytes of the lease.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes the lease one of this many bytes. It stays what it was where the budget does not grant more; less is always
    /// granted.
    pub fn resize(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.budget.take(more, self.share.as_deref())?;
            self.bytes = bytes;
        } else {
            self.shrink(bytes);
        }
        Ok(())
    }

    /// The same at nobody's expense: to be called where locks are held that a store may take.
    fn try_grow(&mut self, bytes: usize) -> Result<(), BudgetExhausted> {
        let more = bytes.saturating_sub(self.bytes);
        self.budget.try_take(more, self.share.as_deref())?;
        self.bytes += more;
        Ok(())
    }

    fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.give_back(less, self.share.as_deref());
        self.bytes -= less;
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
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes, self.share.as_deref());
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
