//! Fairness among owners: what each is served while others wait too, and how much of a server one may take.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Weak;

use proptest::prelude::*;
use tokio::sync::Semaphore;

use super::*;
use crate::supervisor::mux::frame::FrameClass;
use crate::supervisor::mux::queue::{FairQueue, WriteTerms};
use crate::types::QuotaPermit;

/// Everything may be written.
const OPEN: WriteTerms = WriteTerms {
    open: true,
    free: true,
    per_owner: usize::MAX,
    turn: true,
};
/// What one frame may cost at most: its bytes, and what is added for each frame.
const MAX_COST: u64 = 5000 + 256;

fn owner(number: u32) -> Owner {
    Owner::Principal(PrincipalId(number))
}

/// A frame whose id tells its place among those of its owner.
fn frame(number: u32, id: u64, len: usize, class: FrameClass) -> Frame {
    Frame {
        class,
        id: Some(id),
        counted: class != FrameClass::Control,
        ..Frame::control(owner(number), vec![b'x'; len].into())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u32, usize, bool),
    Pop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // One owner sends large frames, one small ones, the others whatever comes.
    let pushed = prop_oneof![
        (Just(1u32), 4000usize..5000),
        (Just(2u32), 1usize..50),
        (3u32..6, 1usize..5000),
    ];
    prop_oneof![
        3 => (pushed, prop::bool::weighted(0.1)).prop_map(|((owner, len), control)| Step::Push(owner, len, control)),
        1 => (1usize..6).prop_map(Step::Pop),
    ]
}

/// What is expected of the queue: the order of each owner, and what each was served while it waited.
#[derive(Default)]
struct Expected {
    control: BTreeMap<u32, VecDeque<u64>>,
    ordered: BTreeMap<u32, VecDeque<u64>>,
    /// What each of two owners was served since both began to wait.
    served: BTreeMap<(u32, u32), (u64, u64)>,
}

impl Expected {
    fn waits(&self, number: u32) -> bool {
        let in_part = |part: &BTreeMap<u32, VecDeque<u64>>| {
            part.get(&number).is_some_and(|ids| !ids.is_empty())
        };
        in_part(&self.control) || in_part(&self.ordered)
    }

    fn popped(&mut self, frame: &Frame) {
        let Owner::Principal(PrincipalId(number)) = frame.owner else {
            panic!("nobody else's frame was there");
        };
        let cost = frame.bytes.len() as u64 + 256;
        for one in 1..6 {
            for other in one + 1..6 {
                let pair = (one, other);
                if !self.waits(one) || !self.waits(other) {
                    self.served.remove(&pair);
                    continue;
                }
                let (of_one, of_other) = self.served.entry(pair).or_default();
                *of_one += if number == one { cost } else { 0 };
                *of_other += if number == other { cost } else { 0 };
                // Where they stood when the count began is a frame at most, and what they were served since is another.
                assert!(
                    of_one.abs_diff(*of_other) <= 2 * MAX_COST,
                    "{one} was served {of_one}, {other} {of_other}"
                );
            }
        }
        let part = match frame.class {
            FrameClass::Control => &mut self.control,
            FrameClass::Ordered | FrameClass::Exclusive => &mut self.ordered,
        };
        let first = part.get_mut(&number).and_then(VecDeque::pop_front);
        assert_eq!(first, frame.id, "the order of owner {number}");
    }
}

proptest! {
    /// RD01: owners that wait at the same time are served the same number of bytes, give or take two frames, whatever
    /// the sizes of their frames; the frames of each keep their order, and none is lost.
    #[test]
    fn owners_that_wait_are_served_alike(steps in prop::collection::vec(step(), 1..400)) {
        let (mut queue, mut expected) = (FairQueue::default(), Expected::default());
        let (mut next, mut frames, mut bytes) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Push(number, len, control) => {
                    next += 1;
                    let (class, part) = if control {
                        (FrameClass::Control, &mut expected.control)
                    } else {
                        (frames, bytes) = (frames + 1, bytes + len);
                        (FrameClass::Ordered, &mut expected.ordered)
                    };
                    assert!(queue.push(frame(number, next, len, class)));
                    part.entry(number).or_default().push_back(next);
                }
                Step::Pop(count) => for _ in 0..count {
                    let Some(frame) = queue.pop(&OPEN, |_| true) else {
                        assert!((1..6).all(|number| !expected.waits(number)));
                        break;
                    };
                    expected.popped(&frame);
                    if frame.class != FrameClass::Control {
                        (frames, bytes) = (frames - 1, bytes - frame.bytes.len());
                    }
                },
            }
            assert_eq!((queue.len(), queue.bytes()), (frames, bytes));
        }
    }
}

/// An owner that was quiet has earned nothing by it, and one that was blocked neither.
#[test]
fn an_owner_that_was_away_earns_nothing() {
    let mut queue = FairQueue::default();
    let push = |queue: &mut FairQueue, number, count| {
        for id in 0..count {
            queue.push(frame(number, id, 1000, FrameClass::Ordered));
        }
    };
    push(&mut queue, 1, 100);
    for _ in 0..50 {
        queue.pop(&OPEN, |_| true).unwrap();
    }
    push(&mut queue, 2, 100);
    let next: Vec<_> = (0..20)
        .map(|_| queue.pop(&OPEN, |_| true).unwrap().owner)
        .collect();
    let of_two = next.iter().filter(|of| **of == owner(2)).count();
    assert!((9..=11).contains(&of_two), "{of_two} of 20");
}

fn divided() -> Mux {
    let mux = mux(Gate::Open);
    mux.table().config.divided = true;
    mux
}

fn submit_as(mux: &Mux, principal: u32) -> Result<oneshot::Receiver<Outcome>, Fault> {
    let id = mux.mint();
    let from = from(Some(origin(principal, &id.to_string())));
    mux.submit(id, frame_of(id), from)
}

/// RD04: one principal takes at most half of what a server takes, so another one always finds a place and a turn.
#[tokio::test]
async fn one_principal_leaves_room_for_another() {
    let mux = divided();
    let mut waiting = Vec::new();
    let fault = loop {
        match submit_as(&mux, 1) {
            Ok(outcome) => waiting.push(outcome),
            Err(fault) => break fault,
        }
    };
    assert_eq!(
        (fault.kind, fault.delivered),
        (FaultKind::RateLimited, Some(Delivered::No))
    );
    assert_eq!(
        waiting.len(),
        2 + 4,
        "half of those in flight and half of those that wait"
    );
    assert_eq!(take(&mux, FIRST).len(), 2);
    assert_eq!(notify(&mux).unwrap_err().kind, FaultKind::RateLimited);
    let _other = submit_as(&mux, 2).unwrap();
    assert_eq!(
        take(&mux, FIRST).len(),
        1,
        "it does not wait for the others"
    );
}

/// RD04: however many principals fill a server, one of which nothing waits finds a place.
#[tokio::test]
async fn a_principal_of_which_nothing_waits_always_finds_a_place() {
    let mux = divided();
    mux.set_gate(Gate::Hold(1000 * MS));
    let mut waiting = Vec::new();
    for principal in 1..10 {
        waiting.push(submit_as(&mux, principal).unwrap());
        while let Ok(outcome) = submit_as(&mux, principal) {
            waiting.push(outcome);
        }
    }
    assert_eq!(
        waiting.len(),
        8 + 7,
        "the queue, and one for each that found it full"
    );
    assert_eq!(submit_as(&mux, 9).unwrap_err().kind, FaultKind::ServerBusy);
}

/// RD03: what waits is bounded in bytes as well, cancellations and answers of clients too.
#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let mux = divided();
    mux.set_gate(Gate::Hold(1000 * MS));
    let large = |principal, bytes: usize| {
        let frame = Bytes::from(vec![b'x'; bytes]);
        mux.notify(PrincipalId(principal), frame, None)
    };
    let most = mux.table().config.max_queue_bytes;
    large(1, most / 2 - 1).unwrap();
    assert_eq!(large(1, 2).unwrap_err().kind, FaultKind::RateLimited);
    large(2, 2 * most).expect("one alone fits, so that there is a way for it");
    assert_eq!(large(2, 1).unwrap_err().kind, FaultKind::RateLimited);
    let reply = |bytes| {
        let frame = Bytes::from(vec![b'x'; bytes]);
        mux.reply(FIRST, Owner::Principal(PrincipalId(1)), frame)
    };
    assert!(reply(8 * 1024 * 1024 - 1));
    assert!(!reply(2));
}

/// RD03: a reason that a client gives for a cancellation is cut before the server is told.
#[tokio::test]
async fn a_long_reason_is_cut() {
    let mux = mux(Gate::Open);
    let _one = submit_as(&mux, 1).unwrap();
    take(&mux, FIRST);
    assert!(mux.cancel(&origin(1, "1"), Some(&"ü".repeat(4_000_000))));
    let told = take(&mux, FIRST);
    assert!(told[0].bytes.len() < 2000, "{} bytes", told[0].bytes.len());
}

/// RD04: the part of a token's quota that a request takes comes back when the request leaves the table, whichever way,
/// and that of a notification when it is written.
#[tokio::test]
async fn a_quota_comes_back_when_the_request_leaves_the_table() {
    let mux = mux(Gate::Open);
    let quota = Arc::new(Semaphore::new(1));
    let permit = || QuotaPermit::new(Arc::clone(&quota).try_acquire_owned().unwrap());
    let submit = || {
        let id = mux.mint();
        let submission = Submission {
            quota: Some(permit()),
            ..from(Some(origin(1, "1")))
        };
        // Nobody waits for the outcome.
        drop(mux.submit(id, frame_of(id), submission).unwrap());
        assert_eq!(
            quota.available_permits(),
            0,
            "its client is gone, and it is not"
        );
        id
    };
    let roads: [fn(&Mux, u64); 5] = [
        |mux, id| assert!(mux.answer(id, Ok(answer_to(id)))),
        |mux, _| assert!(mux.cancel(&origin(1, "1"), None)),
        |mux, id| mux.abandon(id),
        |mux, _| assert_eq!(mux.expire(Instant::now() + 3000 * MS, None), 1),
        |mux, _| assert!(mux.lose(FIRST)),
    ];
    for road in roads {
        let id = submit();
        take(&mux, FIRST);
        road(&mux, id);
        assert_eq!(quota.available_permits(), 1);
    }
    mux.notify(PrincipalId(1), Bytes::from_static(b"{}\n"), Some(permit()))
        .unwrap();
    assert_eq!(quota.available_permits(), 0);
    mux.begin(SECOND);
    drop(take(&mux, SECOND));
    assert_eq!(quota.available_permits(), 1);
    assert_eq!(Weak::strong_count(&Arc::downgrade(&quota)), 1);
}
