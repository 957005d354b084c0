//! What is granted, refused and given back.

use proptest::prelude::*;

use super::*;

#[test]
fn a_lease_is_refused_over_the_limit_and_comes_back_when_dropped() {
    let budget = MemoryBudget::new(100);
    let account = budget.process_account();
    let first = account.acquire(60).unwrap();
    assert_eq!(account.acquire(41).unwrap_err(), BudgetExhausted::Process);
    assert_eq!((budget.held(), budget.refusals()), (60, 1));
    drop(first);
    let _all = account.acquire(100).unwrap();
    assert_eq!(budget.held(), 100);
}

#[test]
fn one_principal_gets_half_and_another_the_other_half() {
    let budget = MemoryBudget::new(100);
    let [one, other] = [1, 2].map(|id| budget.account(PrincipalId(id)));
    let mut half = one.acquire(50).unwrap();
    assert_eq!(one.acquire(1).unwrap_err(), BudgetExhausted::Principal);
    let _rest = other.acquire(50).unwrap();
    assert_eq!(half.resize(51).unwrap_err(), BudgetExhausted::Principal);
    half.resize(20).unwrap();
    let process = budget.process_account().acquire(30).unwrap();
    assert_eq!(one.acquire(1).unwrap_err(), BudgetExhausted::Process);
    drop(process);
    assert!(one.acquire(30).is_ok());
    let faults = [BudgetExhausted::Process, BudgetExhausted::Principal];
    let faults = faults.map(|exhausted| exhausted.fault(Delivered::No));
    let kinds = faults.each_ref().map(|fault| fault.kind);
    assert_eq!(kinds, [FaultKind::ServerBusy, FaultKind::RateLimited]);
    for fault in faults {
        assert!(fault.message.contains("limits.memory_bytes"));
        assert!(fault.retry_after.is_some());
    }
}

/// RD10: what is larger than all that one can have is told so, and not to try again.
#[test]
fn what_can_never_be_had_is_refused_for_good() {
    let budget = MemoryBudget::new(100);
    let one = budget.account(PrincipalId(1));
    let exhausted = one.acquire(51).unwrap_err();
    assert_eq!(
        exhausted,
        BudgetExhausted::TooLarge {
            bytes: 51,
            most: 50
        }
    );
    let too_large = [Delivered::No, Delivered::Unknown].map(|delivered| exhausted.fault(delivered));
    let kinds = too_large.each_ref().map(|fault| fault.kind);
    assert_eq!(
        kinds,
        [FaultKind::PayloadTooLarge, FaultKind::ReplyTooLarge]
    );
    for fault in too_large {
        assert!(fault.message.contains("limits.memory_bytes"));
        assert!(fault.retry_after.is_none());
    }
    assert_eq!((budget.held(), budget.refusals()), (0, 1));
}

#[test]
fn tracked_bytes_are_held_until_the_last_slice_of_them_is_gone() {
    let budget = MemoryBudget::new(2 * SMALL);
    let account = budget.process_account();
    let large = account.track(Bytes::from(vec![7; SMALL])).unwrap();
    let part = large.slice(1..3);
    drop(large);
    assert_eq!(budget.held(), SMALL);
    assert_eq!(part, [7, 7].as_slice());
    drop(part);
    assert_eq!(budget.held(), 0);
}

#[test]
fn small_pieces_take_no_lease() {
    let account = MemoryBudget::new(0).process_account();
    assert!(account.track(Bytes::from(vec![0; SMALL - 1])).is_ok());
    assert!(account.track(Bytes::from(vec![0; SMALL])).is_err());
}

#[derive(Debug)]
struct Replay(Mutex<Vec<(PrincipalId, MemoryLease)>>);

impl Replay {
    /// Leases of 20 bytes of these principals, which are given up in turn.
    fn of(budget: &MemoryBudget, principals: &[u32]) -> Arc<Self> {
        let leases = principals.iter().map(|id| {
            let principal = PrincipalId(*id);
            (principal, budget.account(principal).acquire(20).unwrap())
        });
        let replay = Arc::new(Self(Mutex::new(leases.collect())));
        let store: Weak<dyn ReclaimableStore> = Arc::downgrade(&replay) as _;
        budget.register(store);
        replay
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl ReclaimableStore for Replay {
    fn reclaim(&self, bytes: usize, owner: Option<PrincipalId>) -> usize {
        let mut leases = self.0.lock().unwrap();
        let mut released = 0;
        leases.retain(|(principal, lease)| {
            let goes = released < bytes && owner.is_none_or(|owner| owner == *principal);
            released += if goes { lease.bytes() } else { 0 };
            !goes
        });
        released
    }
}

#[test]
fn stores_give_up_what_they_can_before_anything_is_refused() {
    let budget = MemoryBudget::new(100);
    let replay = Replay::of(&budget, &[1, 2, 1, 2, 3]);
    let account = budget.process_account();
    let wanted = account.acquire(50).unwrap();
    assert_eq!((replay.len(), budget.held()), (2, 90));
    drop(replay);
    assert_eq!(account.acquire(100).unwrap_err(), BudgetExhausted::Process);
    assert_eq!(budget.held(), wanted.bytes());
}

#[test]
fn who_holds_its_share_pays_with_what_is_kept_of_its_own() {
    let budget = MemoryBudget::new(100);
    let replay = Replay::of(&budget, &[2, 1, 1]);
    let account = budget.account(PrincipalId(1));
    let _wanted = account.acquire(30).unwrap();
    let left: Vec<_> = replay.0.lock().unwrap().iter().map(|(id, _)| *id).collect();
    assert_eq!(left, [PrincipalId(2), PrincipalId(1)]);
}

/// Stores that had nothing to give are left alone for a while, whatever is refused meanwhile.
#[tokio::test(start_paused = true)]
async fn stores_are_not_asked_again_at_once_when_they_had_nothing() {
    #[derive(Debug, Default)]
    struct Barren(AtomicUsize);

    impl ReclaimableStore for Barren {
        fn reclaim(&self, _bytes: usize, _owner: Option<PrincipalId>) -> usize {
            self.0.fetch_add(1, Ordering::Relaxed);
            0
        }
    }

    let budget = MemoryBudget::new(100);
    let store = Arc::new(Barren::default());
    let as_store: Weak<dyn ReclaimableStore> = Arc::downgrade(&store) as _;
    budget.register(as_store);
    let account = budget.process_account();
    let _one = account.acquire(1).unwrap();
    for round in 1..=2 {
        for _ in 0..10 {
            assert!(account.acquire(100).is_err());
        }
        assert_eq!(store.0.load(Ordering::Relaxed), round);
        tokio::time::advance(BARREN_PAUSE).await;
    }
}

proptest! {
    /// Whatever leases of whom come, grow and go: what is held is their sum, never over the limit, of nobody more than
    /// half; and nothing is left when all are gone.
    #[test]
    fn what_is_held_is_the_sum_of_the_leases(
        steps in prop::collection::vec((0_usize..4, 0_u32..3, 0_usize..80), 0..60),
    ) {
        let budget = MemoryBudget::new(200);
        let mut leases: Vec<(u32, MemoryLease)> = Vec::new();
        for (step, owner, bytes) in steps {
            let account = match owner {
                0 => budget.process_account(),
                _ => budget.account(PrincipalId(owner)),
            };
            match (step, leases.last_mut()) {
                (0, _) => drop(leases.pop()),
                (1, Some((_, last))) => drop(last.resize(bytes)),
                _ => leases.extend(account.acquire(bytes).map(|lease| (owner, lease))),
            }
            let sum = |owners: &[u32]| -> usize {
                let own = leases.iter().filter(|(owner, _)| owners.contains(owner));
                own.map(|(_, lease)| lease.bytes()).sum()
            };
            prop_assert_eq!(budget.held(), sum(&[0, 1, 2]));
            prop_assert!(budget.held() <= 200);
            prop_assert!(sum(&[1]) <= 100 && sum(&[2]) <= 100);
        }
        leases.clear();
        prop_assert_eq!(budget.held(), 0);
        prop_assert_eq!(budget.account(PrincipalId(1)).acquire(100).map(|lease| lease.bytes()), Ok(100));
    }
}
