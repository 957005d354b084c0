//! What the lock of a session's streams guards: what waits for readers, and what is kept for those that come back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Bounds, OWN, ReplayBudget};
use crate::memory_budget::{SMALL, SteppedLease, piece_weight};
use crate::relay::queue::{Prioritized, Priority};

#[derive(Debug)]
pub(super) struct State {
    pub(super) next_stream: u64,
    pub(super) next_reader: u64,
    pub(super) logs: HashMap<u64, Log>,
    /// What was handed to a reader, or had none, oldest first.
    pub(super) kept: VecDeque<Kept>,
    pub(super) kept_bytes: usize,
    /// How many of them are droppable.
    pub(super) kept_droppable: usize,
    pub(super) budget: Arc<ReplayBudget>,
    /// The memory of what waits and of what is kept.
    pub(super) lease: SteppedLease,
    /// When its client last opened or left a stream.
    pub(super) used_at: Instant,
    pub(super) closed: bool,
}

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// What waits for the reader; empty without one.
    pub(super) waiting: VecDeque<Prioritized>,
    pub(super) waiting_bytes: usize,
    /// Who waits for room.
    pub(super) writer: Option<Waker>,
    /// Number of the first event that waits.
    pub(super) next_read: u64,
    /// Number of the first event that no reader was handed.
    pub(super) unseen: u64,
    /// Number of the first event before which none that is required was given up.
    pub(super) given_up: u64,
    /// Nothing more will come.
    pub(super) ended: bool,
    /// Who reads, the newest last: that one alone gets events.
    pub(super) readers: Vec<Attached>,
}

#[derive(Debug)]
pub(super) struct Attached {
    pub(super) reader: u64,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) stream: u64,
    pub(super) number: u64,
    pub(super) message: Bytes,
    pub(super) priority: Priority,
}

impl Log {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The number that the next event will bear.
    pub(super) fn end(&self) -> u64 {
        self.next_read + self.waiting.len() as u64
    }

    pub(super) fn newest_waker(&mut self) -> Vec<Waker> {
        let newest = self.readers.last_mut();
        newest
            .and_then(|one| one.waker.take())
            .into_iter()
            .collect()
    }
}

impl State {
    /// Begins the stream of one request.
    pub(super) fn begin(&mut self) -> u64 {
        let stream = self.next_stream;
        self.next_stream += 1;
        self.logs.insert(stream, Log::new());
        stream
    }

    /// What is kept of a stream from a number on, with numbers.
    pub(super) fn missed(&self, stream: u64, from: u64) -> VecDeque<(u64, Bytes)> {
        let of_stream = self
            .kept
            .iter()
            .filter(|kept| kept.stream == stream && kept.number >= from);
        of_stream
            .map(|kept| (kept.number, kept.message.clone()))
            .collect()
    }

    pub(super) fn attach(&mut self, stream: u64) -> u64 {
        let reader = self.next_reader;
        self.next_reader += 1;
        if let Some(log) = self.logs.get_mut(&stream) {
            log.readers.push(Attached {
                reader,
                waker: None,
            });
        }
        self.used_at = Instant::now();
        reader
    }

    /// Who waits for room in a stream, where it is read to its end: not at each message, so that many are moved at once.
    pub(super) fn writer_with_room(&mut self, stream: u64) -> Option<Waker> {
        let log = self.logs.get_mut(&stream)?;
        log.writer.take_if(|_| log.waiting.is_empty())
    }

    /// Moves what waits in a stream to what is kept: there is nobody to wait for.
    pub(super) fn keep_waiting(&mut self, stream: u64, bounds: Bounds) {
        while let Some((number, message)) = self.take_waiting(stream) {
            self.keep(stream, number, message, bounds);
        }
    }

    pub(super) fn take_waiting(&mut self, stream: u64) -> Option<(u64, Prioritized)> {
        let log = self.logs.get_mut(&stream)?;
        let message = log.waiting.pop_front()?;
        log.waiting_bytes -= message.0.len();
        let number = log.next_read;
        log.next_read += 1;
        Some((number, message))
    }

    pub(super) fn keep(
        &mut self,
        stream: u64,
        number: u64,
        (message, priority): Prioritized,
        bounds: Bounds,
    ) {
        self.kept_bytes += message.len();
        self.budget.add(message.len());
        self.kept_droppable += usize::from(priority == Priority::Droppable);
        self.kept.push_back(Kept {
            stream,
            number,
            message,
            priority,
        });
        while self.kept.len() > bounds.kept_events || self.kept_bytes > bounds.kept_bytes {
            if self.give_up_one().is_none() {
                break;
            }
        }
    }

    /// Gives up the oldest event that is kept, of those that matter least; gives its length, `None` where none is kept.
    pub(super) fn give_up_one(&mut self) -> Option<usize> {
        let droppable = |kept: &Kept| kept.priority == Priority::Droppable;
        let least = match self.kept_droppable {
            0 => Some(0),
            _ => self.kept.iter().position(droppable),
        };
        let gone = least.and_then(|at| self.kept.remove(at))?;
        let len = gone.message.len();
        self.kept_bytes -= len;
        self.budget.give_back(len);
        self.lease.remove(piece_weight(&gone.message));
        if droppable(&gone) {
            self.kept_droppable -= 1;
        } else if let Some(log) = self.logs.get_mut(&gone.stream) {
            log.given_up = log.given_up.max(gone.number + 1);
        }
        self.forget_if_over(gone.stream);
        Some(len)
    }

    /// Gives up what is kept, the oldest first, until about this many bytes of the memory budget are released; gives how
    /// many were.
    pub(super) fn reclaim(&mut self, bytes: usize) -> usize {
        let leased = self.lease.leased();
        let mut released = 0;
        // What is below the first step was never leased.
        while released + leased.saturating_sub(self.lease.leased()) < bytes
            && (self.lease.leased() > 0 || self.kept.iter().any(|kept| kept.message.len() >= SMALL))
            && let Some(len) = self.give_up_one()
        {
            // A large one has a lease of its own.
            released += if len >= SMALL { len } else { 0 };
            self.lease.shrink();
        }
        released + leased.saturating_sub(self.lease.leased())
    }

    /// Notes that a message was lost for want of memory: who reads is cut off, and who resumes before it is told so.
    pub(super) fn lose(&mut self, stream: u64, bounds: Bounds) -> Vec<Waker> {
        let Some(log) = self.logs.get_mut(&stream) else {
            return Vec::new();
        };
        let readers = log.readers.drain(..);
        let mut wakers: Vec<_> = readers.filter_map(|one| one.waker).collect();
        wakers.extend(log.writer.take());
        self.keep_waiting(stream, bounds);
        if let Some(log) = self.logs.get_mut(&stream) {
            log.next_read += 1;
            log.given_up = log.next_read;
        }
        wakers
    }

    /// Notes that a reader was handed this event.
    pub(super) fn seen(&mut self, stream: u64, number: u64) {
        if let Some(log) = self.logs.get_mut(&stream) {
            log.unseen = log.unseen.max(number + 1);
        }
    }

    /// Forgets a stream that has ended and of which nothing is left.
    pub(super) fn forget_if_over(&mut self, stream: u64) {
        let over = self
            .logs
            .get(&stream)
            .is_some_and(|log| log.ended && log.readers.is_empty() && log.waiting.is_empty());
        if over && stream != OWN && !self.kept.iter().any(|kept| kept.stream == stream) {
            self.logs.remove(&stream);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.budget.give_back(self.kept_bytes);
    }
}
