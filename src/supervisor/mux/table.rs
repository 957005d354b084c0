//! The table itself: what is under way, what waits, and the moves between the two.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, MAX_CONTROL, Outcome, Submission};
use crate::fault::{Delivered, Fault};
use crate::supervisor::config::RequestConfig;
use crate::supervisor::faults;
use crate::supervisor::machine::Gate;
use crate::types::Incarnation;

/// Frames, and bytes of them, that are written in one go, for which they are copied together. A frame that is larger
/// is written by itself, as it is.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 64 * 1024;

/// One request that is not answered.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) submission: Submission,
    pub(super) outcome: oneshot::Sender<Outcome>,
    pub(super) stage: Stage,
    /// When it ends unanswered.
    pub(super) deadline: Instant,
    /// The latest deadline that progress can earn.
    pub(super) hard_deadline: Instant,
    /// Questions to its client that are open; while there are any, only the hard deadline counts.
    pub(super) questions: usize,
}

/// How far a request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Written(Incarnation),
}

/// What waits to be written.
#[derive(Debug)]
pub(in crate::supervisor) struct Frame {
    /// Not a client's: it is meant for the present life of the child and goes with it.
    pub(in crate::supervisor) own: bool,
    /// The request whose frame it is; `None` for what expects no answer.
    pub(in crate::supervisor) id: Option<u64>,
    pub(in crate::supervisor) bytes: Bytes,
}

/// What the lock of a mux guards.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) config: RequestConfig,
    pub(super) gate: Gate,
    /// The life that is under way; what is meant for one child goes to no other.
    pub(super) life: Option<Incarnation>,
    /// The life whose stdin the gateway has closed, or is about to.
    pub(super) closed: Option<Incarnation>,
    /// By ids that we mint, so nobody can choose them to collide.
    pub(super) entries: FxHashMap<u64, Entry>,
    /// Frames of clients, in their order.
    pub(super) queue: VecDeque<Frame>,
    /// Frames of our own, written before those of clients and whatever the gate.
    pub(super) control: VecDeque<Frame>,
    /// Requests of clients that were written and not answered.
    pub(super) in_flight: usize,
    pub(super) last_heard: Option<Instant>,
}

impl Entry {
    /// It is a client's, not the gateway's own.
    pub(super) fn is_clients(&self) -> bool {
        self.submission.origin.is_some()
    }

    /// It was written to a child.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.stage, Stage::Written(_))
    }

    /// Starts its time for an answer anew, unless its client is being asked something.
    pub(super) fn restart_clock(&mut self, now: Instant, timeout: Duration) {
        if self.questions == 0 && !self.submission.standing {
            let timeout = self.submission.timeout.unwrap_or(timeout);
            self.deadline = (now + timeout).min(self.hard_deadline);
        }
    }
}

impl Table {
    pub(super) fn new(gate: Gate, config: RequestConfig) -> Self {
        Self {
            config,
            gate,
            life: None,
            closed: None,
            entries: FxHashMap::default(),
            queue: VecDeque::new(),
            control: VecDeque::new(),
            in_flight: 0,
            last_heard: None,
        }
    }

    /// How long a new frame may wait to be written, or why it may not.
    pub(super) fn patience(&self, timeout: Duration) -> Result<Duration, Fault> {
        let patience = match self.gate {
            Gate::Open => timeout,
            Gate::Hold(patience) | Gate::Asleep(patience) => patience,
            Gate::Stopped | Gate::Failed | Gate::ShuttingDown => {
                return Err(faults::refused(self.gate));
            }
        };
        let room = self.config.max_queue.saturating_add(self.free());
        if self.queue.len() >= room {
            return Err(faults::busy());
        }
        Ok(patience)
    }

    /// How many requests could be written at once: those in the queue are on their way and do not wait.
    fn free(&self) -> usize {
        if self.gate == Gate::Open {
            self.config.max_in_flight.saturating_sub(self.in_flight)
        } else {
            0
        }
    }

    /// Moves what can be written now from the lanes to the batch, and books it as written.
    pub(super) fn take_batch(&mut self, incarnation: Incarnation, batch: &mut Vec<Frame>) {
        let (now, config) = (Instant::now(), self.config);
        let mut bytes = 0;
        while batch.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let open = self.gate == Gate::Open && self.in_flight < config.max_in_flight;
            let lane = match (self.control.is_empty(), open) {
                (false, _) => &mut self.control,
                (true, true) => &mut self.queue,
                (true, false) => break,
            };
            let fits =
                |frame: &mut Frame| batch.is_empty() || bytes + frame.bytes.len() <= BATCH_BYTES;
            let Some(frame) = lane.pop_front_if(fits) else {
                break;
            };
            if let Some(id) = frame.id {
                // An entry that is gone was cancelled or timed out in the queue: nothing is written.
                let Some(entry) = self.entries.get_mut(&id) else {
                    continue;
                };
                let timeout = entry.submission.patience(&config);
                entry.stage = Stage::Written(incarnation);
                entry.deadline = now + timeout;
                entry.hard_deadline = now + config.max;
                self.in_flight += usize::from(entry.is_clients());
            }
            bytes += frame.bytes.len();
            batch.push(frame);
        }
    }

    /// Puts frames back of which no byte was written, in their order and before all others.
    pub(super) fn put_back(&mut self, frames: Vec<Frame>) {
        for frame in frames.into_iter().rev().filter(|frame| !frame.own) {
            if let Some(id) = frame.id {
                // A request that was answered, cancelled or timed out meanwhile is not sent again.
                let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.is_written())
                else {
                    continue;
                };
                entry.stage = Stage::Queued;
                entry.questions = 0;
                self.in_flight -= 1;
            }
            self.queue.push_front(frame);
        }
    }

    /// Whether this answer of the child's may be no more than its complaint of having been closed by the gateway: the
    /// Python SDK answers what is under way with "Connection closed" when its stdin ends.
    pub(super) fn is_last_word(&self, entry: &Entry, outcome: &Outcome) -> bool {
        let is_error = outcome.as_ref().is_ok_and(Answer::is_error);
        is_error
            && self
                .closed
                .is_some_and(|life| entry.stage == Stage::Written(life))
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if entry.is_clients() && entry.is_written() {
            self.in_flight -= 1;
        }
        Some(entry)
    }

    /// Takes out all entries that are picked.
    pub(super) fn take(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<(u64, Entry)> {
        let picked = self.entries.iter().filter(|(_, entry)| which(entry));
        let ids: Vec<u64> = picked.map(|(&id, _)| id).collect();
        ids.into_iter()
            .filter_map(|id| Some((id, self.remove(id)?)))
            .collect()
    }

    /// Tells the child that the answer to an entry that was taken out is no longer wanted, if it was
    /// asked at all.
    pub(super) fn withdraw(&mut self, id: u64, entry: &Entry, reason: &str) -> Delivered {
        if entry.stage == Stage::Queued {
            self.queue.retain(|frame| frame.id != Some(id));
            return Delivered::No;
        }
        if self.control.len() < MAX_CONTROL {
            let params = serde_json::json!({"requestId": id, "reason": reason});
            let message = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#
            );
            self.control.push_back(Frame {
                own: true,
                id: None,
                bytes: (message + "\n").into(),
            });
        }
        Delivered::Unknown
    }
}
