//! The memory of a store of many small pieces, taken in steps.

use bytes::Bytes;

use super::{MemoryAccount, MemoryLease, SMALL};

/// What the budget is asked for at a time. The count that all threads share is touched once in so many bytes, and not for
/// every message.
pub(super) const STEP: usize = 16 * 1024;
/// What a store holds without a lease: most queues never hold more than a message or two, and there are not more of them
/// than requests under way, streams and sessions.
const FREE: usize = 4 * 1024;
/// What a piece takes beside its bytes: its place in a queue, and the head of its memory.
const PIECE: usize = 96;

/// The memory of one store. What it holds beyond the first 4 KiB is leased, in steps of 16 KiB.
#[derive(Debug, Default)]
pub struct SteppedLease {
    /// `None` until it is needed.
    lease: Option<MemoryLease>,
    used: usize,
}

/// What a piece counts in a store. A large one has a lease of its own, so its bytes do not count again.
pub fn piece_weight(piece: &Bytes) -> usize {
    let len = piece.len();
    PIECE + if len < SMALL { len } else { 0 }
}

impl MemoryAccount {
    /// Has the stores give up what is missing for another step of a [`SteppedLease`], which a piece of this weight needs.
    /// To be called without the locks that stores take.
    pub fn make_room(&self, weight: usize) {
        let bytes = weight.saturating_add(STEP);
        let share = self.owner.map(|owner| self.budget.share(owner));
        // Not a refusal where that fails: the piece may fit all the same, and is counted where it does not.
        let room = self.budget.take_or_reclaim(bytes, share.as_deref());
        if room.is_ok() {
            self.budget.give_back(bytes, share.as_deref());
        }
    }
}

impl SteppedLease {
    /// The bytes that are leased.
    pub fn leased(&self) -> usize {
        self.lease.as_ref().map_or(0, MemoryLease::bytes)
    }

    /// Takes the memory for a piece that may be added; `false` where the budget grants no further step. At nobody's
    /// expense, so it may be called under the lock of the store: who is refused gives the lock up, has others
    /// [make room](MemoryAccount::make_room), and tries again.
    pub fn reserve(&mut self, account: &MemoryAccount, weight: usize) -> bool {
        let wanted = steps(self.used.saturating_add(weight));
        if wanted <= self.leased() {
            return true;
        }
        let lease = self.lease.get_or_insert_with(|| account.empty_lease());
        lease.try_grow(wanted).is_ok()
    }

    /// Adds a piece; `false` where there is no memory for it, as with [`reserve`](Self::reserve), which is a refusal.
    pub fn add(&mut self, account: &MemoryAccount, weight: usize) -> bool {
        let granted = self.try_add(account, weight);
        if !granted {
            account.budget.count_refusal();
        }
        granted
    }

    /// Adds a piece whose loss is no refusal; `false` where there is no memory for it.
    pub fn try_add(&mut self, account: &MemoryAccount, weight: usize) -> bool {
        let granted = self.reserve(account, weight);
        if granted {
            self.used = self.used.saturating_add(weight);
        }
        granted
    }

    /// Adds a piece that must not be lost, whether or not the budget has memory for it.
    pub fn add_always(&mut self, account: &MemoryAccount, weight: usize) {
        let _granted = self.reserve(account, weight);
        self.used = self.used.saturating_add(weight);
    }

    /// Takes a piece out. One step is kept in hand, unless nothing is left.
    pub fn remove(&mut self, weight: usize) {
        self.used = self.used.saturating_sub(weight);
        let spare = self.leased().saturating_sub(steps(self.used));
        if spare > STEP || self.used == 0 {
            self.shrink();
        }
    }

    /// Gives back what is not used.
    pub fn shrink(&mut self) {
        let wanted = steps(self.used);
        if let Some(lease) = &mut self.lease {
            lease.shrink(wanted);
        }
    }
}

fn steps(used: usize) -> usize {
    if used <= FREE {
        return 0;
    }
    used.checked_next_multiple_of(STEP).unwrap_or(used)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory_budget::MemoryBudget;

    #[test]
    fn few_small_pieces_take_nothing_and_many_take_steps() {
        let budget = MemoryBudget::new(4 * STEP);
        let account = budget.process_account();
        let mut lease = SteppedLease::default();
        assert!(lease.add(&account, FREE));
        assert_eq!(budget.held(), 0);
        assert!(lease.add(&account, 1));
        assert_eq!(budget.held(), STEP);
        assert!(lease.add(&account, 3 * STEP));
        assert_eq!(budget.held(), 4 * STEP);
        assert!(!lease.add(&account, STEP), "the budget is used up");
        assert_eq!(budget.refusals(), 1);
        lease.add_always(&account, STEP);
        assert_eq!(budget.refusals(), 1, "that was not refused");
        lease.remove(STEP);
        lease.remove(3 * STEP);
        assert_eq!(
            budget.held(),
            STEP,
            "one that was refused gives back no more"
        );
        lease.remove(FREE + 1);
        assert_eq!(budget.held(), 0);
    }

    /// RD03: a step that is refused before stores gave something up is not a refusal, nor is room that is not needed.
    #[test]
    fn only_pieces_that_are_refused_for_good_are_counted() {
        let budget = MemoryBudget::new(4 * STEP);
        let account = budget.process_account();
        let other = account.acquire(3 * STEP).unwrap();
        let mut lease = SteppedLease::default();
        assert!(lease.add(&account, STEP));
        assert!(!lease.reserve(&account, 1));
        account.make_room(1);
        drop(other);
        assert!(lease.add(&account, 1), "it fitted in the end");
        assert_eq!(budget.refusals(), 0);
        assert!(!lease.add(&account, 3 * STEP));
        assert_eq!(budget.refusals(), 1);
    }

    proptest! {
        /// Whatever comes and goes, less than two steps are leased beyond what is used, and nothing is left at the end.
        #[test]
        fn what_is_leased_follows_what_is_used(
            steps in prop::collection::vec((any::<bool>(), 0_usize..30_000), 0..60),
        ) {
            let budget = MemoryBudget::new(20 * STEP);
            let account = budget.process_account();
            let mut lease = SteppedLease::default();
            let mut pieces = Vec::new();
            for (adds, weight) in steps {
                if !adds {
                    if let Some(weight) = pieces.pop() {
                        lease.remove(weight);
                    }
                } else if lease.add(&account, weight) {
                    pieces.push(weight);
                }
                let used: usize = pieces.iter().sum();
                prop_assert!(budget.held() + FREE >= used);
                prop_assert!(budget.held() <= used + 2 * STEP);
                prop_assert!(budget.held() <= budget.limit());
            }
            for weight in pieces {
                lease.remove(weight);
            }
            prop_assert_eq!(budget.held(), 0);
        }
    }
}
