//! The event streams of one session, and what is kept of them for a client that lost one.
//!
//! Stream 0 is the session's own, which a client reads with GET; every other one belongs to a request
//! that was answered with a stream. An event's id is `{stream}-{number}`, so that the stream that it was
//! on can be resumed, and nothing else is replayed (MCP 2025-11-25, transports, resumability).
//!
//! What waits for a reader is bounded by the stream, what is kept for replay by the session. A reader
//! that is too slow loses its connection and nothing more: it may resume from what is kept. What is kept longest is
//! what matters most: progress and logs of calls make room for responses and questions.

mod budget;
mod reader;
mod state;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

pub(in crate::relay) use budget::{ReplayBudget, ReplayBudgets};
pub(in crate::relay) use reader::Reader;
use state::{Log, State};

use crate::fault::{Delivered, Fault, FaultKind};
use crate::memory_budget::{BudgetExhausted, SMALL, SteppedLease, piece_weight};
use crate::relay::api::Event;
use crate::relay::hub::fullness;
use crate::relay::queue::{Prioritized, Priority};

/// The stream of a session that belongs to none of its requests.
pub(in crate::relay) const OWN: u64 = 0;

/// How long a client should wait before it resumes a stream.
const RETRY: Duration = Duration::from_secs(1);

/// Messages, and bytes of them, that are moved from a call to its stream before the reader takes any. Few, because
/// what is there cannot be dropped any more; more than one, so that not every message wakes two tasks.
const ROOM_EVENTS: usize = 32;
const ROOM_BYTES: usize = 64 * 1024;

/// How much may wait, and how much is kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Bounds {
    /// Events that wait for the reader of one stream.
    pub(in crate::relay) queue_events: usize,
    /// Bytes that wait for the reader of one stream.
    pub(in crate::relay) queue_bytes: usize,
    /// Events kept in all streams for those that resume one.
    pub(in crate::relay) kept_events: usize,
    /// Bytes kept likewise.
    pub(in crate::relay) kept_bytes: usize,
}

/// All streams of one session.
#[derive(Debug)]
pub(in crate::relay) struct Streams {
    bounds: Bounds,
    /// Whether a stream opens with an event that tells its id: clients of earlier revisions choke on
    /// its empty data.
    primes: bool,
    state: Mutex<State>,
    budget: Arc<ReplayBudget>,
}

/// Why a stream cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum NotKept {
    /// The text is no id of an event of this session.
    Unknown,
    /// Events after it were given up.
    GivenUp,
    /// There is no memory for what the reader has missed.
    NoMemory(BudgetExhausted),
}

impl NotKept {
    /// The refusal of the request that wanted to read.
    pub(in crate::relay) fn fault(self) -> Fault {
        let text = match self {
            Self::Unknown => "last-event-id is not the id of an event of this session",
            Self::GivenUp => "events after last-event-id are not kept any more",
            Self::NoMemory(exhausted) => return exhausted.fault(Delivered::No),
        };
        Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No)
    }
}

impl Streams {
    pub(in crate::relay) fn new(bounds: Bounds, primes: bool, budget: Arc<ReplayBudget>) -> Self {
        Self {
            budget: Arc::clone(&budget),
            bounds,
            primes,
            state: Mutex::new(State {
                next_stream: OWN + 1,
                next_reader: 0,
                logs: HashMap::from([(OWN, Log::new())]),
                kept: VecDeque::new(),
                kept_bytes: 0,
                kept_droppable: 0,
                budget,
                lease: SteppedLease::default(),
                used_at: Instant::now(),
                closed: false,
            }),
        }
    }

    /// Numbers streams and events from here on; called before there are any.
    pub(in crate::relay) fn number_from(&self, first: u64) {
        let mut state = self.state();
        state.next_stream = first.max(OWN + 1);
        if let Some(own) = state.logs.get_mut(&OWN) {
            (own.next_read, own.unseen) = (first, first);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the stream of one request.
    #[cfg(test)]
    fn begin(&self) -> u64 {
        self.state().begin()
    }

    /// Begins the stream of one request, and reads it.
    pub(in crate::relay) fn begin_read(self: &Arc<Self>) -> (u64, Reader) {
        let mut state = self.state();
        let stream = state.begin();
        let reader = state.attach(stream);
        drop(state);
        (stream, self.reader(stream, reader, 0))
    }

    /// Adds a message to a stream. `false` where its reader was too slow and was cut off; the message
    /// is kept for the reader that resumes, unless there is no memory for it.
    pub(in crate::relay) fn push(&self, stream: u64, message: Bytes) -> bool {
        match self.budget.memory().track(message) {
            Ok(message) => self.add(stream, (message, Priority::Required), true),
            Err(_exhausted) => self.lose(self.state(), stream),
        }
    }

    /// Adds a message to a stream that has [`room`](Self::room) for it. Where there is no memory, progress and logs are
    /// dropped; a response never is.
    pub(in crate::relay) fn append(&self, stream: u64, message: Prioritized) {
        self.add(stream, message, false);
    }

    /// The state, with memory for a piece of this weight where there is any.
    fn state_with_room(&self, weight: usize) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.lease.reserve(self.budget.memory(), weight) {
            return state;
        }
        drop(state);
        self.budget.memory().make_room(weight);
        self.state()
    }

    fn lose(&self, mut state: MutexGuard<'_, State>, stream: u64) -> bool {
        let wakers = state.lose(stream, self.bounds);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        false
    }

    /// `false` where the reader was cut off.
    fn add(&self, stream: u64, message: Prioritized, cuts_off: bool) -> bool {
        let weight = piece_weight(&message.0);
        let mut state = self.state_with_room(weight);
        if (state.closed && stream == OWN) || !state.logs.contains_key(&stream) {
            return false;
        }
        let memory = self.budget.memory();
        if message.1 == Priority::Required && !cuts_off {
            state.lease.add_always(memory, weight);
        } else if !state.lease.add(memory, weight) {
            return if cuts_off {
                self.lose(state, stream)
            } else {
                true
            };
        }
        let Some(log) = state.logs.get_mut(&stream) else {
            return false;
        };
        // Whatever its length, a message that nothing waits before says nothing of how fast its reader is.
        let full = !log.waiting.is_empty()
            && (log.waiting.len() >= self.bounds.queue_events
                || log.waiting_bytes + message.0.len() > self.bounds.queue_bytes);
        log.waiting_bytes += message.0.len();
        log.waiting.push_back(message);
        let cut_off = full && cuts_off && !log.readers.is_empty();
        let mut wakers: Vec<_> = if cut_off {
            log.readers.drain(..).filter_map(|one| one.waker).collect()
        } else {
            log.newest_waker()
        };
        if log.readers.is_empty() {
            wakers.extend(log.writer.take());
            state.keep_waiting(stream, self.bounds);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.budget.enforce();
        !cut_off
    }

    /// Bytes that are kept for readers that come back.
    fn kept_bytes(&self) -> usize {
        self.state().kept_bytes
    }

    /// Gives up so many of these bytes, if there are as many.
    fn give_up(&self, bytes: usize) {
        let mut state = self.state();
        let enough = state.kept_bytes.saturating_sub(bytes);
        while state.kept_bytes > enough && state.give_up_one().is_some() {}
    }

    /// Whether somebody reads, and when the client last opened or left a stream; `None` where the lock is taken.
    fn try_usage(&self) -> Option<(bool, Instant)> {
        let state = budget::try_lock(&self.state)?;
        let is_read = state.logs.values().any(|log| !log.readers.is_empty());
        Some((is_read, state.used_at))
    }

    /// Gives up what is kept until about this many bytes of the memory budget are released; gives how many were. Nothing
    /// where the lock is taken.
    fn try_reclaim(&self, bytes: usize) -> usize {
        let state = budget::try_lock(&self.state);
        state.map_or(0, |mut state| state.reclaim(bytes))
    }

    /// Waits until little waits for the reader of a stream, or there is none. Cancel safe.
    pub(in crate::relay) async fn room(&self, stream: u64) {
        poll_fn(|context| self.poll_room(stream, context)).await;
    }

    fn poll_room(&self, stream: u64, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let Some(log) = state.logs.get_mut(&stream) else {
            return Poll::Ready(());
        };
        let has_room = log.waiting.len() < ROOM_EVENTS && log.waiting_bytes < ROOM_BYTES;
        if has_room || log.readers.is_empty() {
            return Poll::Ready(());
        }
        log.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// How much of what may wait for the reader of a stream does, in parts of a hundred.
    pub(in crate::relay) fn fullness(&self, stream: u64) -> usize {
        let state = self.state();
        state.logs.get(&stream).map_or(0, |log| {
            let events = (log.waiting.len(), self.bounds.queue_events);
            fullness(events, (log.waiting_bytes, self.bounds.queue_bytes))
        })
    }

    /// Ends the stream of a request after what was pushed.
    pub(in crate::relay) fn end(&self, stream: u64) {
        let mut state = self.state();
        let wakers = match state.logs.get_mut(&stream) {
            Some(log) => {
                log.ended = true;
                log.readers
                    .iter_mut()
                    .filter_map(|one| one.waker.take())
                    .collect()
            }
            None => Vec::new(),
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the session's own stream for good. Those of its requests end with their responses, as ever.
    pub(in crate::relay) fn close(&self) {
        self.state().closed = true;
        self.end(OWN);
    }

    /// Somebody reads the session's own stream.
    pub(in crate::relay) fn is_read(&self) -> bool {
        self.state()
            .logs
            .get(&OWN)
            .is_some_and(|log| !log.readers.is_empty())
    }

    /// Somebody reads any stream.
    pub(in crate::relay) fn any_read(&self) -> bool {
        self.state()
            .logs
            .values()
            .any(|log| !log.readers.is_empty())
    }

    /// Reads a stream from what no reader was handed yet.
    pub(in crate::relay) fn read(self: &Arc<Self>, stream: u64) -> Result<Reader, NotKept> {
        let state = self.state();
        let from = state.logs.get(&stream).map_or(0, |log| log.unseen);
        self.read_from(state, stream, from)
    }

    /// Reads the stream of an event from the one after it.
    pub(in crate::relay) fn resume(self: &Arc<Self>, last_event: &str) -> Result<Reader, NotKept> {
        let (stream, number) = parse(last_event).ok_or(NotKept::Unknown)?;
        let state = self.state();
        let log = state.logs.get(&stream).ok_or(NotKept::Unknown)?;
        if number > log.end() {
            return Err(NotKept::Unknown);
        }
        // Progress and logs that were given up are not worth the loss of what came after them.
        if number < log.given_up {
            return Err(NotKept::GivenUp);
        }
        self.read_from(state, stream, number)
    }

    /// A reader of what is kept of a stream from a number on, and of what comes.
    fn read_from(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        stream: u64,
        from: u64,
    ) -> Result<Reader, NotKept> {
        let missed = state.missed(stream, from);
        let reader = state.attach(stream);
        drop(state);
        let mut reader = self.reader(stream, reader, from);
        // Large ones have leases of their own.
        let small = missed.iter().map(|(_, message)| message.len());
        let small: usize = small.filter(|len| *len < SMALL).sum();
        if small > 0 {
            let lease = self.budget.memory().acquire(small);
            reader.lease = Some(lease.map_err(NotKept::NoMemory)?);
        }
        reader.missed = missed;
        Ok(reader)
    }

    fn reader(self: &Arc<Self>, stream: u64, reader: u64, from: u64) -> Reader {
        Reader {
            streams: Arc::clone(self),
            stream,
            key: reader,
            primer: self.primes.then(|| Event {
                id: Some(id(stream, from)),
                retry: Some(RETRY),
                message: Bytes::new(),
            }),
            missed: VecDeque::new(),
            lease: None,
        }
    }
}

fn id(stream: u64, next: u64) -> String {
    // The number that the next event will bear: what resumes there has seen all before it.
    format!("{stream}-{next}")
}

/// Whether a text is the id of an event on a session's own stream, of whatever life of it.
pub(in crate::relay) fn is_of_own(text: &str) -> bool {
    parse(text).is_some_and(|(stream, _)| stream == OWN)
}

fn parse(text: &str) -> Option<(u64, u64)> {
    let (stream, next) = text.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    Some((number(stream)?, number(next)?))
}

#[cfg(test)]
mod tests;
