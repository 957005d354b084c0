//! What the streams of sessions take of the memory budget, and what they give up when it is used up.

use proptest::prelude::*;

use super::*;
use crate::memory_budget::{ReclaimableStore, SMALL};
use crate::types::PrincipalId;

const ONE: PrincipalId = PrincipalId(1);
const OTHER: PrincipalId = PrincipalId(2);
const AMPLE: Bounds = Bounds {
    queue_events: 1000,
    queue_bytes: 1 << 30,
    kept_events: 1000,
    kept_bytes: 1 << 30,
};
/// A message of this size fills half a step.
const MESSAGE: usize = SMALL / 2;

fn session(budgets: &ReplayBudgets, principal: PrincipalId) -> Arc<Streams> {
    let budget = budgets.of(principal, usize::MAX);
    let streams = Arc::new(Streams::new(AMPLE, false, Arc::clone(&budget)));
    budget.join(&streams);
    streams
}

fn message(len: usize) -> Bytes {
    vec![b'x'; len].into()
}

fn keep(streams: &Streams, len: usize, count: usize) {
    for _ in 0..count {
        assert!(streams.push(OWN, message(len)));
    }
}

/// What is kept of sessions that nobody reads goes before that of others, of those what was used least recently; and
/// whoever resumes after that is told that it is gone.
#[test]
fn the_idlest_sessions_give_up_what_is_kept_of_them_first() {
    for len in [MESSAGE, SMALL] {
        let memory = MemoryBudget::new(1000 * SMALL);
        let budgets = ReplayBudgets::new(memory.clone());
        let [old, new, read] = [0, 1, 2].map(|_| session(&budgets, ONE));
        let reader = read.read(OWN).unwrap();
        drop(new.read(OWN).unwrap());
        for streams in [&read, &new, &old] {
            keep(streams, len, 16);
        }
        let kept = || [&old, &new, &read].map(|streams| streams.kept_bytes() / len);
        assert_eq!(kept(), [16, 16, 0], "a reader has what is its own");
        let before = memory.held();
        let released = budgets.reclaim(4 * SMALL, None);
        assert!((4 * SMALL..6 * SMALL).contains(&released), "{released}");
        assert_eq!(memory.held(), before - released);
        let [left, untouched, _] = kept();
        assert!((1..16).contains(&left), "{left} left");
        assert_eq!(untouched, 16);
        assert_eq!(old.resume("0-0").unwrap_err(), NotKept::GivenUp);
        budgets.reclaim(usize::MAX, None);
        assert_eq!(kept(), [0, 0, 0]);
        drop((old, new, reader, read));
        assert_eq!(memory.held(), 0);
    }
}

#[test]
fn who_has_used_up_its_share_pays_with_its_own_replay() {
    let memory = MemoryBudget::new(16 * SMALL);
    let budgets = ReplayBudgets::new(memory.clone());
    let (own, foreign) = (session(&budgets, ONE), session(&budgets, OTHER));
    keep(&own, SMALL, 8);
    keep(&foreign, SMALL, 4);
    let _request = memory.account(ONE).acquire(3 * SMALL).unwrap();
    assert_eq!(own.kept_bytes(), 5 * SMALL);
    assert_eq!(foreign.kept_bytes(), 4 * SMALL);
}

/// Where there is no memory for a message of the session's own stream, its reader does not believe that it saw all; a
/// response is added all the same, and progress is dropped.
#[test]
fn what_there_is_no_memory_for_is_missed_by_nobody_without_a_word() {
    let memory = MemoryBudget::new(16 * SMALL);
    let budgets = ReplayBudgets::new(memory.clone());
    let streams = session(&budgets, ONE);
    let (call, mut call_reader) = streams.begin_read();
    let mut reader = streams.read(OWN).unwrap();
    keep(&streams, 8, 3);
    let _all = memory.account(ONE).acquire(8 * SMALL).unwrap();
    for len in [MESSAGE, SMALL] {
        assert!(!streams.push(OWN, message(len)));
    }
    assert_eq!(seen(&mut reader), ["end"], "it was cut off");
    assert_eq!(streams.resume("0-3").unwrap_err(), NotKept::GivenUp);
    assert_eq!(
        seen(&mut streams.resume("0-5").unwrap()),
        Vec::<String>::new()
    );
    streams.append(call, (message(MESSAGE), Priority::Droppable));
    streams.append(call, (message(MESSAGE), Priority::Required));
    streams.end(call);
    let seen = seen(&mut call_reader);
    assert_eq!(seen.len(), 2, "the response and the end");
    assert!(seen[0].starts_with("1-1 x"));
}

/// What a reader has missed counts also where it is not kept any more.
#[test]
fn readers_that_do_not_read_what_they_have_missed_take_of_the_budget() {
    let memory = MemoryBudget::new(1000 * SMALL);
    let budgets = ReplayBudgets::new(memory.clone());
    let streams = session(&budgets, ONE);
    keep(&streams, MESSAGE, 16);
    let readers: Vec<_> = (0..8).map(|_| streams.resume("0-0").unwrap()).collect();
    budgets.reclaim(usize::MAX, None);
    assert_eq!(memory.held(), readers.len() * 16 * MESSAGE);
    drop((readers, streams));
    assert_eq!(memory.held(), 0);
}

proptest! {
    /// Whatever is pushed, read, resumed, given up and dropped: nothing is left of it in the budget.
    #[test]
    fn nothing_leaks(steps in prop::collection::vec((0_usize..7, 0_usize..3, 0_usize..2 * SMALL), 0..80)) {
        let memory = MemoryBudget::new(24 * SMALL);
        let budgets = ReplayBudgets::new(memory.clone());
        let sessions = [ONE, ONE, OTHER].map(|principal| session(&budgets, principal));
        let mut readers: Vec<Reader> = Vec::new();
        for (step, which, len) in steps {
            let streams = &sessions[which];
            match step {
                0 => drop(streams.push(OWN, message(len))),
                1 => {
                    let (call, reader) = streams.begin_read();
                    readers.push(reader);
                    if let Ok(response) = memory.track(ONE, message(len)) {
                        streams.append(call, (message(len / 4), Priority::Droppable));
                        streams.append(call, (response, Priority::Required));
                    }
                    streams.end(call);
                }
                2 => readers.extend(streams.read(OWN)),
                3 => readers.extend(streams.resume("0-1")),
                4 if !readers.is_empty() => drop(readers.remove(len % readers.len())),
                5 => {
                    if let Some(reader) = readers.last_mut() {
                        seen(reader);
                    }
                }
                _ => drop(budgets.reclaim(len, None)),
            }
            prop_assert!(memory.held() <= memory.limit());
        }
        budgets.reclaim(usize::MAX, None);
        drop((readers, sessions));
        prop_assert_eq!(memory.held(), 0);
    }
}
