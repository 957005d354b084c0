//! Every request to one server that is not yet answered, and what waits to be written to it.
//!
//! One table under one lock that is held for a few lines and never across an await. A request enters
//! by [`Mux::submit`] before its first byte goes to the child and leaves by exactly one road, each of
//! which sends its outcome: [`Mux::answer`], [`Mux::expire`], [`Mux::cancel`], [`Mux::lose`], or a
//! gate that closes. Ids are minted here, integers that are never used twice in the life of the gateway,
//! so that nothing of an earlier child can be taken for an answer of the present one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::config::RequestConfig;
use super::faults;
use super::machine::Gate;
use crate::fault::{Delivered, Fault};
use crate::instruments::DropReason;
use crate::protocol::Span;
use crate::protocol::message::Ending;
use crate::types::{Incarnation, PrincipalId};

/// Frames of our own (cancellations, answers to the child) that may wait for a child that does not read.
const MAX_CONTROL: usize = 1024;
/// Frames, and bytes of small frames, that are written in one go.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 64 * 1024;

/// Whose request it is, and what the client calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who sent it.
    pub principal: PrincipalId,
    /// In which session, if in one.
    pub session: Option<Arc<str>>,
    /// The client's id as it was written.
    pub client_id: Bytes,
}

/// Told of the progress of one request, by the task that reads the child: must not block.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// A progress notification; `token` is where the token stands that was minted for the child.
    fn progress(&self, line: &Bytes, token: Span);
}

/// A child's answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The line as it came, without its line end.
    pub line: Bytes,
    /// Where the minted id stands in it.
    pub id: Span,
    /// What kind of answer it is.
    pub ending: Ending,
}

impl Answer {
    /// It is an error of the child's, not a result.
    pub fn is_error(&self) -> bool {
        matches!(self.ending, Ending::Error(_))
    }
}

/// What became of a request.
pub type Outcome = Result<Answer, Fault>;

/// A request that was let in.
#[derive(Debug)]
pub struct Submission {
    /// Whose it is; `None` for the gateway's own (handshake, probe), which pass every gate.
    pub origin: Option<Origin>,
    /// Hears of progress.
    pub observer: Option<Arc<dyn Observer>>,
    /// Wait for an answer; progress restarts it. `None` takes the server's own.
    pub timeout: Option<Duration>,
}

#[derive(Debug)]
struct Entry {
    submission: Submission,
    outcome: oneshot::Sender<Outcome>,
    stage: Stage,
    /// When it ends unanswered.
    deadline: Instant,
    /// The latest deadline that progress can earn.
    hard_deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued,
    Written(Incarnation),
}

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Frame {
    /// The request whose frame it is; `None` for what expects no answer.
    pub(super) id: Option<u64>,
    pub(super) bytes: Bytes,
}

#[derive(Debug)]
struct Table {
    gate: Gate,
    entries: HashMap<u64, Entry>,
    /// Frames of clients, in their order.
    queue: VecDeque<Frame>,
    /// Frames of our own, written before those of clients and whatever the gate.
    control: VecDeque<Frame>,
    /// Requests of clients that were written and not answered.
    in_flight: usize,
    last_heard: Option<Instant>,
}

/// How full a server's table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests of clients written and not answered.
    pub in_flight: usize,
    /// Frames of clients not yet written.
    pub queued: usize,
}

/// The table of one server; see the module's head.
#[derive(Debug)]
pub struct Mux {
    config: RequestConfig,
    next_id: AtomicU64,
    table: Mutex<Table>,
    /// Something can be written.
    writable: Notify,
    /// A request waits for a server that is asleep.
    demand: Notify,
}

impl Mux {
    pub(super) fn new(config: RequestConfig, gate: Gate) -> Self {
        let table = Table {
            gate,
            entries: HashMap::new(),
            queue: VecDeque::new(),
            control: VecDeque::new(),
            in_flight: 0,
            last_heard: None,
        };
        Self {
            config,
            next_id: AtomicU64::new(1),
            table: Mutex::new(table),
            writable: Notify::new(),
            demand: Notify::new(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Whoever panicked under the lock left whole entries: there is no await and no callback under it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id that no request had before.
    pub fn mint(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets a request in, or refuses it with a fault of which nothing was delivered.
    ///
    /// `id` comes from [`Mux::mint`] and stands in `frame`, which is one line with its newline.
    pub fn submit(
        &self,
        id: u64,
        frame: Bytes,
        submission: Submission,
    ) -> Result<oneshot::Receiver<Outcome>, Fault> {
        let now = Instant::now();
        let internal = submission.origin.is_none();
        let timeout = submission.timeout.unwrap_or(self.config.timeout);
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table();
        let patience = if internal {
            timeout
        } else {
            self.patience(&table, timeout)?
        };
        let entry = Entry {
            submission,
            outcome: sender,
            stage: Stage::Queued,
            deadline: now + patience,
            hard_deadline: now + self.config.max,
        };
        table.entries.insert(id, entry);
        let lane = if internal {
            &mut table.control
        } else {
            &mut table.queue
        };
        lane.push_back(Frame {
            id: Some(id),
            bytes: frame,
        });
        let asleep = matches!(table.gate, Gate::Asleep(_));
        drop(table);
        self.writable.notify_one();
        if asleep && !internal {
            self.demand.notify_one();
        }
        Ok(receiver)
    }

    /// Takes a client's notification over, to be written after what came before it.
    pub fn notify(&self, frame: Bytes) -> Result<(), Fault> {
        let mut table = self.table();
        self.patience(&table, self.config.timeout)?;
        if matches!(table.gate, Gate::Asleep(_)) {
            self.demand.notify_one();
        }
        table.queue.push_back(Frame {
            id: None,
            bytes: frame,
        });
        drop(table);
        self.writable.notify_one();
        Ok(())
    }

    /// Has a frame of our own written as soon as the child reads; `false` where too many wait already.
    pub fn control(&self, frame: Bytes) -> bool {
        let mut table = self.table();
        let room = table.control.len() < MAX_CONTROL;
        if room {
            table.control.push_back(Frame {
                id: None,
                bytes: frame,
            });
        }
        drop(table);
        self.writable.notify_one();
        room
    }

    /// How long a new frame may wait to be written, or why it may not.
    fn patience(&self, table: &Table, timeout: Duration) -> Result<Duration, Fault> {
        let patience = match table.gate {
            Gate::Open => timeout,
            Gate::Hold(patience) | Gate::Asleep(patience) => patience,
            Gate::Stopped | Gate::Failed | Gate::ShuttingDown => {
                return Err(faults::refused(table.gate));
            }
        };
        if table.queue.len() >= self.config.max_queue {
            return Err(faults::busy());
        }
        Ok(patience)
    }

    /// Waits until something can be written to this incarnation, then takes it and books it as written.
    ///
    /// Cancel safe: what was taken is only ever returned.
    pub(super) async fn next_batch(&self, incarnation: Incarnation, batch: &mut Vec<Frame>) {
        loop {
            let notified = self.writable.notified();
            self.take_batch(incarnation, batch);
            if !batch.is_empty() {
                return;
            }
            notified.await;
        }
    }

    fn take_batch(&self, incarnation: Incarnation, batch: &mut Vec<Frame>) {
        let now = Instant::now();
        let mut guard = self.table();
        let table = &mut *guard;
        let mut bytes = 0;
        while batch.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let frame = match table.control.pop_front() {
                Some(frame) => frame,
                None if table.gate == Gate::Open && table.in_flight < self.config.max_in_flight => {
                    let Some(frame) = table.queue.pop_front() else {
                        break;
                    };
                    frame
                }
                None => break,
            };
            if let Some(id) = frame.id {
                // An entry that is gone was cancelled or timed out in the queue: nothing is written.
                let Some(entry) = table.entries.get_mut(&id) else {
                    continue;
                };
                let timeout = entry.submission.timeout.unwrap_or(self.config.timeout);
                entry.stage = Stage::Written(incarnation);
                entry.deadline = now + timeout;
                entry.hard_deadline = now + self.config.max;
                table.in_flight += usize::from(entry.submission.origin.is_some());
            }
            bytes += frame.bytes.len();
            batch.push(frame);
        }
    }

    /// Puts frames back of which no byte was written, the next child's first.
    pub(super) fn put_back(&self, frames: impl DoubleEndedIterator<Item = Frame>) {
        let mut guard = self.table();
        let table = &mut *guard;
        for frame in frames.rev() {
            let Some(id) = frame.id else { continue };
            let Some(entry) = table.entries.get_mut(&id) else {
                continue;
            };
            if entry.submission.origin.is_some() && matches!(entry.stage, Stage::Written(_)) {
                entry.stage = Stage::Queued;
                table.in_flight -= 1;
                table.queue.push_front(frame);
            }
        }
    }

    /// The child answered; `false` where nobody waits for this id (late, twice, or invented).
    pub(super) fn answer(&self, id: u64, outcome: Outcome) -> bool {
        let mut table = self.table();
        table.last_heard = Some(Instant::now());
        let written = table
            .entries
            .get(&id)
            .is_some_and(|entry| matches!(entry.stage, Stage::Written(_)));
        let Some(entry) = written.then(|| table.remove(id)).flatten() else {
            return false;
        };
        let more = !table.queue.is_empty();
        drop(table);
        // A receiver that is gone is a client that is gone: the answer is dropped with it.
        let _ = entry.outcome.send(outcome);
        if more {
            self.writable.notify_one();
        }
        true
    }

    /// What an answer is that nobody waits for.
    pub(super) fn unexpected(&self, id: u64) -> DropReason {
        if id < self.next_id.load(Ordering::Relaxed) {
            DropReason::LateReply
        } else {
            DropReason::UnknownReply
        }
    }

    /// The child reports progress of this request: its deadline starts anew. Gives who wants to hear it.
    pub(super) fn progress(&self, id: u64) -> Option<Option<Arc<dyn Observer>>> {
        let now = Instant::now();
        let mut table = self.table();
        table.last_heard = Some(now);
        let entry = table.entries.get_mut(&id)?;
        let timeout = entry.submission.timeout.unwrap_or(self.config.timeout);
        entry.deadline = (now + timeout).min(entry.hard_deadline);
        Some(entry.submission.observer.clone())
    }

    /// Cancels the request that this caller calls `client_id`; the child is told where it was written.
    ///
    /// `false`, and nothing happens, where no request of this caller bears that id, or several do: which
    /// of them was meant cannot be known.
    pub fn cancel(&self, origin: &Origin, reason: Option<&str>) -> bool {
        let mut table = self.table();
        let mut found = table
            .entries
            .iter()
            .filter(|(_, entry)| entry.submission.origin.as_ref() == Some(origin));
        let (Some((&id, _)), None) = (found.next(), found.next()) else {
            return false;
        };
        let Some(entry) = table.remove(id) else {
            return false;
        };
        let delivered =
            table.withdraw(id, entry.stage, reason.unwrap_or("cancelled by the client"));
        drop(table);
        self.writable.notify_one();
        let _ = entry.outcome.send(Err(faults::cancelled(delivered)));
        true
    }

    /// Cancels this request for a client that is gone and whose revision takes that for a cancellation.
    pub fn abandon(&self, id: u64) {
        let mut table = self.table();
        let Some(entry) = table.remove(id) else {
            return;
        };
        table.withdraw(id, entry.stage, "the client is gone");
        drop(table);
        self.writable.notify_one();
    }

    /// Ends every request whose deadline has passed; gives their number.
    pub(super) fn expire(&self, now: Instant, next_start: Option<Instant>) -> usize {
        let mut table = self.table();
        let due = table
            .entries
            .iter()
            .filter(|(_, entry)| entry.deadline <= now)
            .map(|(&id, _)| id)
            .collect::<Vec<_>>();
        let mut ended = Vec::with_capacity(due.len());
        for id in due {
            let Some(entry) = table.remove(id) else {
                continue;
            };
            let fault = match (entry.stage, table.gate) {
                (Stage::Written(_), _) => faults::timeout(),
                (Stage::Queued, Gate::Open) => faults::busy(),
                (Stage::Queued, _) => {
                    faults::starting(next_start.map(|at| at.saturating_duration_since(now)))
                }
            };
            table.withdraw(id, entry.stage, "timed out");
            ended.push((entry, fault));
        }
        drop(table);
        self.writable.notify_one();
        let count = ended.len();
        for (entry, fault) in ended {
            let _ = entry.outcome.send(Err(fault));
        }
        count
    }

    /// This incarnation is lost: everything that was written to it ends with `server_lost`.
    pub(super) fn lose(&self, incarnation: Incarnation) -> usize {
        let mut table = self.table();
        let lost = table.take(|entry| {
            entry.stage == Stage::Written(incarnation) || entry.submission.origin.is_none()
        });
        table.control.clear();
        drop(table);
        let count = lost
            .iter()
            .filter(|entry| entry.submission.origin.is_some())
            .count();
        for entry in lost {
            let _ = entry.outcome.send(Err(faults::lost()));
        }
        count
    }

    /// Ends everything that waits or is under way, because the gateway cannot wait for it any longer.
    pub(super) fn give_up(&self) {
        let mut table = self.table();
        let ids: Vec<u64> = table.entries.keys().copied().collect();
        let mut ended = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(entry) = table.remove(id) {
                let delivered = table.withdraw(id, entry.stage, "the gateway is shutting down");
                ended.push((entry, delivered));
            }
        }
        drop(table);
        self.writable.notify_one();
        for (entry, delivered) in ended {
            let _ = entry.outcome.send(Err(faults::shutting_down(delivered)));
        }
    }

    /// Sets what is done with requests. Where they are refused from now on, those that wait are too.
    pub(super) fn set_gate(&self, gate: Gate) {
        let now = Instant::now();
        let mut table = self.table();
        table.gate = gate;
        let refused = match gate {
            Gate::Open => {
                for entry in table
                    .entries
                    .values_mut()
                    .filter(|entry| entry.stage == Stage::Queued)
                {
                    entry.deadline = now + entry.submission.timeout.unwrap_or(self.config.timeout);
                }
                Vec::new()
            }
            Gate::Hold(_) | Gate::Asleep(_) => Vec::new(),
            Gate::Stopped | Gate::Failed | Gate::ShuttingDown => {
                table.queue.clear();
                table
                    .take(|entry| entry.stage == Stage::Queued && entry.submission.origin.is_some())
            }
        };
        drop(table);
        self.writable.notify_one();
        for entry in refused {
            let _ = entry.outcome.send(Err(faults::refused(gate)));
        }
    }

    /// Requests that wait to be written must not wait longer than `hold` from now on.
    pub(super) fn limit_hold(&self, hold: Duration) {
        let latest = Instant::now() + hold;
        for entry in self
            .table()
            .entries
            .values_mut()
            .filter(|entry| entry.stage == Stage::Queued)
        {
            entry.deadline = entry.deadline.min(latest);
        }
    }

    /// Wakes a server that sleeps; gives how long a request would wait for it, or why it would not.
    pub(super) fn knock(&self) -> Result<Duration, Fault> {
        let table = self.table();
        if matches!(table.gate, Gate::Asleep(_)) {
            self.demand.notify_one();
        }
        self.patience(&table, self.config.timeout)
    }

    /// Waits until a request wants a server that is asleep. Cancel safe.
    pub(super) async fn demanded(&self) {
        self.demand.notified().await;
    }

    /// How full the table is.
    pub fn load(&self) -> Load {
        let table = self.table();
        Load {
            in_flight: table.in_flight,
            queued: table.queue.len(),
        }
    }

    /// Nothing waits for an answer or to be written.
    pub(super) fn is_idle(&self) -> bool {
        let table = self.table();
        table.entries.is_empty() && table.queue.is_empty()
    }

    /// When the child was last heard of.
    pub(super) fn last_heard(&self) -> Option<Instant> {
        self.table().last_heard
    }

    /// The one principal whose requests are under way, where there is exactly one.
    pub fn sole_principal(&self) -> Option<PrincipalId> {
        let table = self.table();
        let mut under_way = table
            .entries
            .values()
            .filter(|entry| matches!(entry.stage, Stage::Written(_)))
            .filter_map(|entry| entry.submission.origin.as_ref())
            .map(|origin| origin.principal);
        let first = under_way.next()?;
        under_way.all(|other| other == first).then_some(first)
    }
}

impl Table {
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if entry.submission.origin.is_some() && matches!(entry.stage, Stage::Written(_)) {
            self.in_flight -= 1;
        }
        Some(entry)
    }

    fn take(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let ids = self
            .entries
            .iter()
            .filter(|(_, entry)| which(entry))
            .map(|(&id, _)| id)
            .collect::<Vec<_>>();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Tells the child that an answer is no longer wanted, if it was asked at all.
    fn withdraw(&mut self, id: u64, stage: Stage, reason: &str) -> Delivered {
        if stage == Stage::Queued {
            self.queue.retain(|frame| frame.id != Some(id));
            return Delivered::No;
        }
        if self.control.len() < MAX_CONTROL {
            let params = serde_json::json!({"requestId": id, "reason": reason});
            let frame = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}{}"#,
                '\n'
            );
            self.control.push_back(Frame {
                id: None,
                bytes: frame.into(),
            });
        }
        Delivered::Unknown
    }
}
