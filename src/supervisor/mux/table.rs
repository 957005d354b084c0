//! The table itself: what is under way, what waits, and the moves between the two.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::frame::{Frame, FrameClass, Owner};
use super::queue::{FairQueue, WriteTerms};
use super::{Answer, Outcome, RequestEnd, Submission};
use crate::fault::{Delivered, Fault};
use crate::supervisor::config::RequestConfig;
use crate::supervisor::faults::{self, QueueBound, TimeLimit, WriteBlock};
use crate::supervisor::machine::Gate;
use crate::types::Incarnation;

/// Frames, and bytes of them, that are written in one go, for which they are copied together. A frame that is larger
/// is written by itself, as it is.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 64 * 1024;
/// The same where several principals wait for the server: who comes next waits for all of a batch that has begun.
const BATCH_BYTES_DIVIDED: usize = 16 * 1024;

/// Characters of a client's reason for a cancellation that the server is told.
const MAX_REASON: usize = 512;

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
    /// Since when its client has owed an answer.
    pub(super) asked_since: Option<Instant>,
}

/// How far a request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Written(Incarnation),
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
    /// What waits to be written.
    pub(super) queue: FairQueue,
    /// Requests that were written and not answered, but for the server's own and those that stand open.
    pub(super) in_flight: usize,
    /// The exclusive request that is at the server.
    pub(super) turn: Option<u64>,
    pub(super) last_heard: Option<Instant>,
    /// The writer has taken frames and has not asked for more: it still writes them.
    pub(super) writing: bool,
}

impl Entry {
    /// Ends it, out of the table, after the lock was given back.
    ///
    /// `answered` where the server is known to do nothing more for it. A receiver that is gone is a client that is
    /// gone: the outcome is dropped with it.
    pub(super) fn end(self, outcome: Outcome, answered: bool) {
        let Submission { record, quota, .. } = self.submission;
        // Whoever has the outcome may come back at once.
        drop(quota);
        if let Some(record) = record {
            let written = match self.stage {
                Stage::Written(incarnation) => Some(incarnation),
                Stage::Queued => None,
            };
            record.left(&RequestEnd {
                written,
                answered,
                outcome: &outcome,
            });
        }
        let _ = self.outcome.send(outcome);
    }

    /// It is a client's, not the gateway's own.
    pub(super) fn is_clients(&self) -> bool {
        self.submission.origin.is_some()
    }

    /// It waits until requests may be written.
    pub(super) fn waits_for_the_gate(&self) -> bool {
        self.submission.owner() != Owner::Server
    }

    /// It counts among the requests in flight while it is written.
    fn is_counted(&self) -> bool {
        self.waits_for_the_gate() && !self.submission.standing
    }

    /// It was written to a child.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.stage, Stage::Written(_))
    }

    /// The fault of a request that was not answered in time.
    pub(super) fn timeout(&self, config: &RequestConfig) -> Fault {
        faults::timeout(if self.deadline >= self.hard_deadline {
            TimeLimit::Max(config.max)
        } else {
            self.limit(config)
        })
    }

    /// The time that it has to be written, and then to be answered.
    pub(super) fn limit(&self, config: &RequestConfig) -> TimeLimit {
        let own = self.submission.timeout.map(TimeLimit::Own);
        own.unwrap_or(TimeLimit::Timeout(config.timeout))
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
            queue: FairQueue::default(),
            in_flight: 0,
            turn: None,
            last_heard: None,
            writing: false,
        }
    }

    /// The reason that an entry which the gate would let through is not written.
    pub(super) fn write_block(&self, entry: &Entry) -> WriteBlock {
        let (config, owner) = (&self.config, entry.submission.owner());
        if entry.submission.exclusive && self.turn.is_some() {
            return WriteBlock::Turn;
        }
        if entry.is_counted() && self.in_flight >= config.max_in_flight {
            return WriteBlock::InFlight;
        }
        let (_, in_flight) = self.queue.usage(owner);
        if entry.is_counted() && in_flight >= config.share(config.max_in_flight) {
            return WriteBlock::Share;
        }
        if self.writing {
            WriteBlock::Stdin
        } else {
            WriteBlock::Others
        }
    }

    /// How long a new frame of this owner may wait to be written, or why it may not.
    pub(super) fn patience(
        &self,
        timeout: Duration,
        owner: Owner,
        len: usize,
    ) -> Result<Duration, Fault> {
        let patience = self.gate_patience(timeout)?;
        let config = &self.config;
        let (own, in_flight) = self.queue.usage(owner);
        // An owner of which nothing waits always finds a place: no other one can keep it out.
        if own.frames == 0 {
            return Ok(patience);
        }
        // Those that can be written at once are on their way and do not wait.
        let free = |max: usize, in_flight: usize| {
            let open = self.gate == Gate::Open;
            if open {
                max.saturating_sub(in_flight)
            } else {
                0
            }
        };
        let most = config.share(config.max_queue);
        let most = most.saturating_add(free(config.share(config.max_in_flight), in_flight));
        let most_bytes = config.share(config.max_queue_bytes);
        if config.divided && own.frames >= most {
            return Err(faults::over_share(QueueBound::Messages(config.max_queue)));
        }
        if config.divided && own.bytes.saturating_add(len) > most_bytes {
            return Err(faults::over_share(QueueBound::Bytes(
                config.max_queue_bytes,
            )));
        }
        let most = config
            .max_queue
            .saturating_add(free(config.max_in_flight, self.in_flight));
        let bytes = self.queue.bytes().saturating_add(len);
        if self.queue.len() >= most {
            return Err(faults::busy(QueueBound::Messages(config.max_queue)));
        }
        if bytes > config.max_queue_bytes {
            return Err(faults::busy(QueueBound::Bytes(config.max_queue_bytes)));
        }
        Ok(patience)
    }

    /// How long a new frame may wait to be written by the gate alone.
    pub(super) fn gate_patience(&self, timeout: Duration) -> Result<Duration, Fault> {
        match self.gate {
            Gate::Open => Ok(timeout),
            Gate::Hold(patience) | Gate::Asleep(patience) => Ok(patience),
            Gate::Stopped | Gate::Failed | Gate::ShuttingDown => Err(faults::refused(self.gate)),
        }
    }

    /// Moves what can be written now from the queue to the batch, and books it as written.
    pub(super) fn take_batch(&mut self, incarnation: Incarnation, batch: &mut Vec<Frame>) {
        let (now, config) = (Instant::now(), self.config);
        let most = if config.divided {
            BATCH_BYTES_DIVIDED
        } else {
            BATCH_BYTES
        };
        let mut bytes = 0;
        while batch.len() < BATCH_FRAMES && bytes < most {
            let terms = WriteTerms {
                open: self.gate == Gate::Open,
                free: self.in_flight < config.max_in_flight,
                per_owner: config.share(config.max_in_flight),
                turn: self.turn.is_none(),
            };
            let fits = |frame: &mut Frame| batch.is_empty() || bytes + frame.bytes.len() <= most;
            let Some(frame) = self.queue.pop(&terms, fits) else {
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
                if frame.class == FrameClass::Exclusive {
                    self.turn = Some(id);
                }
                if frame.counted {
                    self.in_flight += 1;
                    self.queue.written(frame.owner);
                }
            }
            bytes += frame.bytes.len();
            batch.push(frame);
        }
        self.writing = !batch.is_empty();
    }

    /// Puts frames back of which no byte was written, in their order and before all others of their owners.
    pub(super) fn put_back(&mut self, frames: Vec<Frame>) {
        for frame in frames.into_iter().rev().filter(|frame| !frame.own) {
            if let Some(id) = frame.id {
                // A request that was answered, cancelled or timed out meanwhile is not sent again.
                let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.is_written())
                else {
                    continue;
                };
                entry.stage = Stage::Queued;
                (entry.questions, entry.asked_since) = (0, None);
                self.turn = self.turn.filter(|turn| *turn != id);
                self.in_flight -= 1;
                self.queue.landed(frame.owner);
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

    /// The request that has the turn, where it waits for its client for too long while others wait for their turn.
    pub(super) fn overdue_turn(&self, now: Instant) -> Option<u64> {
        let id = self.turn.filter(|_| self.queue.has_exclusive())?;
        let since = self.entries.get(&id)?.asked_since?;
        (since + self.config.input_wait <= now).then_some(id)
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.turn = self.turn.filter(|turn| *turn != id);
        if entry.is_written() && entry.is_counted() {
            self.in_flight -= 1;
            self.queue.landed(entry.submission.owner());
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
        let owner = entry.submission.owner();
        if entry.stage == Stage::Queued {
            self.queue.remove(owner, entry.submission.class(), id);
            return Delivered::No;
        }
        let reason: String = reason.chars().take(MAX_REASON).collect();
        let params = serde_json::json!({"requestId": id, "reason": reason});
        let message =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        // The next to have the turn must not be read before the end of this one.
        let owner = if entry.submission.exclusive {
            Owner::Server
        } else {
            owner
        };
        // A server that leaves so many unread is not told of this one.
        self.queue
            .push(Frame::control(owner, (message + "\n").into()));
        Delivered::Unknown
    }
}
