//! What waits for the reader of one event stream: bounded, and never blocking its writers.
//!
//! A message that finds no room ends the stream ([`Queue::push`]) or is dropped ([`Queue::offer`]); one that the client
//! has to act on has room of its own ([`Queue::require`]). So it is with one that the memory budget has no room for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::hub::{Sink, fullness};
use crate::memory_budget::{MemoryAccount, SteppedLease, piece_weight};

/// How much a message matters to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Progress or a log message: dropped where there is no room.
    Droppable,
    /// A response, a question, or the withdrawal of one: never dropped for a droppable one.
    Required,
}

/// A message of a call, and how much it matters.
pub(super) type Prioritized = (Bytes, Priority);

/// A queue of messages that one stream reads.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    max_events: usize,
    max_bytes: usize,
    memory: MemoryAccount,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Prioritized>,
    bytes: usize,
    lease: SteppedLease,
    ended: bool,
    reader: Option<Waker>,
}

impl Queue {
    /// An empty queue, whose messages take memory of this account.
    pub(super) fn new(max_events: usize, max_bytes: usize, memory: MemoryAccount) -> Self {
        Self {
            state: Mutex::new(State {
                events: VecDeque::new(),
                bytes: 0,
                lease: SteppedLease::default(),
                ended: false,
                reader: None,
            }),
            max_events,
            max_bytes,
            memory,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with memory for a piece of this weight where there is any.
    fn state_with_room(&self, weight: usize) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.lease.reserve(&self.memory, weight) {
            return state;
        }
        drop(state);
        self.memory.make_room(weight);
        self.state()
    }

    /// Adds a message. `false` where it was dropped: the stream has ended, or its reader is too slow,
    /// which ends it, since a reader that misses one message must not believe it saw all.
    pub(super) fn push(&self, event: Bytes) -> bool {
        self.add((event, Priority::Required), 1, true)
    }

    /// Adds a message that may be missed. `false` where it was dropped because there is no room.
    pub(super) fn offer(&self, event: Bytes) -> bool {
        self.add((event, Priority::Droppable), 1, false)
    }

    /// Adds a message that must not be missed because of those before it: it has as much room again. `false` where that
    /// is used up too.
    pub(super) fn require(&self, event: Bytes) -> bool {
        self.add((event, Priority::Required), 2, false)
    }

    /// Adds a message within `rooms` times the bounds.
    fn add(&self, (message, priority): Prioritized, rooms: usize, ends_when_full: bool) -> bool {
        let tracked = self.memory.track(message).ok();
        let (len, weight) = tracked
            .as_ref()
            .map_or((0, 0), |message| (message.len(), piece_weight(message)));
        let mut state = self.state_with_room(weight);
        let max_bytes = self.max_bytes.saturating_mul(rooms);
        // One alone always fits: what is read next cannot be read too slowly.
        let too_many_bytes = !state.events.is_empty() && state.bytes + len > max_bytes;
        let full = state.events.len() >= self.max_events.saturating_mul(rooms) || too_many_bytes;
        let has_room = !state.ended && !full;
        let taken = tracked.filter(|_| has_room && state.lease.add(&self.memory, weight));
        let is_taken = taken.is_some();
        if let Some(message) = taken {
            state.bytes += len;
            state.events.push_back((message, priority));
        } else {
            state.ended |= ends_when_full;
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        is_taken
    }

    /// Ends the stream after what is in the queue.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether a message waits.
    pub(super) fn has_events(&self) -> bool {
        !self.state().events.is_empty()
    }

    /// Ready when there is a message or the end.
    pub(super) fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.ended || !state.events.is_empty() {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next message; `None` at the end.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let next = self.poll_prioritized(context);
        next.map(|event| event.map(|(message, _)| message))
    }

    /// The next message, and how much it matters; `None` at the end.
    pub(super) fn poll_prioritized(&self, context: &Context<'_>) -> Poll<Option<Prioritized>> {
        let mut state = self.state();
        if let Some(event) = state.events.pop_front() {
            state.bytes -= event.0.len();
            state.lease.remove(piece_weight(&event.0));
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Sink for Queue {
    fn push(&self, message: Bytes) -> bool {
        Self::push(self, message)
    }

    fn fullness(&self) -> usize {
        let state = self.state();
        if state.ended {
            return 0;
        }
        let events = (state.events.len(), self.max_events);
        fullness(events, (state.bytes, self.max_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_budget::{MemoryBudget, SMALL};

    fn queue(max_events: usize, max_bytes: usize) -> Queue {
        let memory = MemoryBudget::new(usize::MAX).process_account();
        Queue::new(max_events, max_bytes, memory)
    }

    fn drain(queue: &Queue) -> Vec<Bytes> {
        let context = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        while let Poll::Ready(Some(event)) = queue.poll(&context) {
            seen.push(event);
        }
        seen
    }

    #[test]
    fn a_slow_reader_gets_what_fits_and_then_the_end() {
        for (events, bytes) in [(3, 1000), (1000, 3)] {
            let queue = queue(events, bytes);
            let taken: Vec<_> = (0..5)
                .map(|_| queue.push(Bytes::from_static(b"x")))
                .collect();
            assert_eq!(taken, [true, true, true, false, false]);
            assert_eq!(drain(&queue).len(), 3);
            assert!(
                !queue.push(Bytes::from_static(b"x")),
                "an ended stream stays ended"
            );
            assert_eq!(
                queue.poll(&Context::from_waker(Waker::noop())),
                Poll::Ready(None)
            );
        }
    }

    #[test]
    fn what_may_be_missed_is_dropped_and_leaves_room_for_what_must_not() {
        let queue = queue(2, 1000);
        let message = |text: &'static str| Bytes::from_static(text.as_bytes());
        let offered = ["a", "b", "c"].map(|text| queue.offer(message(text)));
        assert_eq!(offered, [true, true, false]);
        let required = ["x", "y", "z"].map(|text| queue.require(message(text)));
        assert_eq!(required, [true, true, false], "as much room again");
        assert_eq!(drain(&queue), ["a", "b", "x", "y"]);
        assert!(queue.offer(message("d")), "the stream goes on");
    }

    #[test]
    fn a_message_over_the_bound_is_taken_alone() {
        let queue = queue(5, 3);
        assert!(queue.push(Bytes::from_static(b"long")));
        assert_eq!(drain(&queue), ["long"]);
        assert!(queue.push(Bytes::from_static(b"x")));
        assert!(!queue.push(Bytes::from_static(b"long")));
        assert_eq!(drain(&queue), ["x"]);
    }

    /// What the memory budget has no room for is treated as what the queue has no room for, and all is given back.
    #[test]
    fn messages_wait_within_the_memory_budget() {
        for len in [SMALL / 4, SMALL] {
            let budget = MemoryBudget::new(8 * SMALL);
            let queue = Queue::new(1000, usize::MAX, budget.process_account());
            let message = || Bytes::from(vec![b'x'; len]);
            let offered = (0..100).filter(|_| queue.offer(message())).count();
            assert!((5..=40).contains(&offered), "{offered} of {len} bytes");
            assert!(budget.held() > 6 * SMALL, "{} of {len}", budget.held());
            assert!(!queue.require(message()));
            assert_eq!(drain(&queue).len(), offered);
            assert!(queue.push(message()), "the stream goes on");
            while !drain(&queue).is_empty() {
                assert!(queue.push(Bytes::from_static(b"x")));
                drop(drain(&queue));
            }
            assert_eq!(budget.held(), 0);
            while queue.push(message()) {}
            drop(drain(&queue));
            let last = queue.poll(&Context::from_waker(Waker::noop()));
            assert_eq!(last, Poll::Ready(None), "one was missed");
        }
    }

    #[test]
    fn a_reader_that_keeps_up_sees_everything() {
        let queue = queue(2, 10);
        for number in 0..100u8 {
            assert!(queue.push(Bytes::copy_from_slice(&[number])));
            assert_eq!(drain(&queue), [Bytes::copy_from_slice(&[number])]);
        }
        queue.end();
        assert_eq!(
            queue.poll(&Context::from_waker(Waker::noop())),
            Poll::Ready(None)
        );
    }
}
