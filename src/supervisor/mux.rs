//! Every request to one server that is not yet answered, and what waits to be written to it.
//!
//! One table under one lock that is held for a few lines and never across an await. A request enters
//! by [`Mux::submit`] before its first byte goes to the child and leaves by exactly one road, each of
//! which sends its outcome; the roads are in `ends`. Ids are minted here, integers that are never used twice in the life of the gateway,
//! so that nothing of an earlier child can be taken for an answer of the present one.

mod asked;
mod ends;
mod frame;
mod queue;
mod submission;
mod table;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::config::RequestConfig;
use super::diagnosis::Diagnosis;
use super::machine::Gate;
use crate::fault::Fault;
use crate::protocol::Span;
use crate::protocol::message::Ending;
use crate::types::{Incarnation, PrincipalId, QuotaPermit};

pub(super) use ends::Progress;
pub(super) use frame::Frame;
use frame::FrameClass;
pub use frame::Owner;
#[cfg(test)]
use queue::MAX_CONTROL;
use table::{Entry, Stage, Table};

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

/// What is kept of one request beside the table: told when it leaves. Called without the table's lock, before the
/// outcome is sent: must not block.
pub trait RequestRecord: Send + Sync + std::fmt::Debug {
    /// The request has left the table.
    fn left(&self, end: &RequestEnd<'_>);
}

/// The end of a request: how far it has got, and its outcome.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd<'a> {
    /// The life of the server that it was written to.
    pub written: Option<Incarnation>,
    /// The server is known to do nothing more for it.
    pub answered: bool,
    /// What its sender is told.
    pub outcome: &'a Outcome,
}

impl RequestEnd<'_> {
    /// The life of the server that may still be working on it, where there is one: it was written to that life, which
    /// has not answered it.
    pub fn running(&self) -> Option<Incarnation> {
        self.written.filter(|_| !self.answered)
    }
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
    /// Kept beside the table for as long as the request is in it.
    pub record: Option<Arc<dyn RequestRecord>>,
    /// No other such request may be at the server at the same time.
    pub exclusive: bool,
    /// Wait for an answer; progress restarts it. `None` takes the server's own.
    pub timeout: Option<Duration>,
    /// Its answer is its end, and it stands open till then: it has no deadline, and the server is not at
    /// work because of it.
    pub standing: bool,
    /// Takes the share of the server that the request takes, where it is the gateway's own; a client's takes that
    /// of its principal.
    pub sponsor: Owner,
    /// The part of its token's quota that it takes for as long as it is in the table.
    pub quota: Option<QuotaPermit>,
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
    next_id: AtomicU64,
    table: Mutex<Table>,
    /// Something can be written.
    writable: Notify,
    /// A request waits for a server that is asleep.
    demand: Notify,
    diagnosis: Option<Arc<Diagnosis>>,
}

impl Mux {
    pub(super) fn new(config: RequestConfig, gate: Gate) -> Self {
        Self {
            next_id: AtomicU64::new(1),
            table: Mutex::new(Table::new(gate, config)),
            writable: Notify::new(),
            demand: Notify::new(),
            diagnosis: None,
        }
    }

    /// The same, with faults that say why the server cannot be reached.
    pub(super) fn explained_by(mut self, diagnosis: Arc<Diagnosis>) -> Self {
        self.diagnosis = Some(diagnosis);
        self
    }

    /// The fault with what is known of its cause.
    #[cold]
    pub(super) fn explain(&self, fault: Fault) -> Fault {
        match &self.diagnosis {
            Some(diagnosis) => diagnosis.explain(fault),
            None => fault,
        }
    }

    /// Notes why the server does not serve, and when it is started next.
    pub(super) fn note_cause(&self, last_error: Option<&str>, next_start: Option<Instant>) {
        if let Some(diagnosis) = &self.diagnosis {
            diagnosis.note(last_error, next_start);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Where a schedule is tried, any other task may run up to its own next lock first.
        #[cfg(test)]
        tests::schedules::point();
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
        let (own, owner) = (submission.origin.is_none(), submission.owner());
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table();
        let timeout = submission.patience(&table.config);
        let patience = if owner == Owner::Server {
            timeout
        } else {
            table
                .patience(timeout, owner, frame.len())
                .map_err(|fault| self.explain(fault))?
        };
        let counted = owner != Owner::Server && !submission.standing;
        let class = submission.class();
        let entry = Entry {
            submission,
            outcome: sender,
            stage: Stage::Queued,
            deadline: now + patience,
            hard_deadline: now + table.config.max,
            asked_since: None,
            questions: 0,
        };
        table.entries.insert(id, entry);
        table.queue.push(Frame {
            owner,
            class,
            own,
            id: Some(id),
            counted,
            _quota: None,
            bytes: frame,
        });
        if !own {
            self.wake(&table);
        }
        drop(table);
        self.writable.notify_one();
        Ok(receiver)
    }

    /// Takes a client's notification over, to be written after what its principal sent before it.
    pub fn notify(
        &self,
        principal: PrincipalId,
        frame: Bytes,
        quota: Option<QuotaPermit>,
    ) -> Result<(), Fault> {
        let owner = Owner::Principal(principal);
        let mut table = self.table();
        let patience = table.patience(table.config.timeout, owner, frame.len());
        patience.map_err(|fault| self.explain(fault))?;
        self.wake(&table);
        table.queue.push(Frame::notification(owner, frame, quota));
        drop(table);
        self.writable.notify_one();
        Ok(())
    }

    /// Has a notification of our own written as soon as the child reads; `false` where too many wait already.
    pub(super) fn control(&self, frame: Bytes) -> bool {
        let mut table = self.table();
        let room = table.queue.push(Frame::control(Owner::Server, frame));
        drop(table);
        self.writable.notify_one();
        room
    }

    /// Wakes the server, if it sleeps.
    fn wake(&self, table: &Table) {
        if matches!(table.gate, Gate::Asleep(_)) {
            self.demand.notify_one();
        }
    }

    /// Wakes the server, if it sleeps, for what was let in before it did.
    fn wake_for_waiting(&self, table: &Table) {
        if !table.queue.is_empty() {
            self.wake(table);
        }
    }

    /// Sets deadlines and bounds anew. Requests that are there keep the deadlines they have.
    pub(super) fn configure(&self, config: RequestConfig) {
        self.table().config = config;
        // There may be more room now.
        self.writable.notify_one();
    }

    /// Waits until something can be written to this incarnation, then takes it and books it as written.
    ///
    /// A request that comes alone is taken at once. The event loop of a shard runs its tasks in the order in which they
    /// became ready, so the writer has its turn when those have had theirs that were ready when it was woken: what
    /// they ask goes into the same write. To wait any longer, for what the sockets have by then, keeps the child
    /// waiting as well: with 8 clients a quarter of the calls was lost by it.
    ///
    /// Cancel safe: what was taken is only ever returned.
    pub(super) async fn next_batch(&self, incarnation: Incarnation, batch: &mut Vec<Frame>) {
        loop {
            let notified = self.writable.notified();
            self.table().take_batch(incarnation, batch);
            if !batch.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Puts frames back of which no byte was written: the next child's first.
    ///
    /// Where requests are refused by now, so are they: there may be no next child to wait for.
    pub(super) fn put_back(&self, frames: Vec<Frame>) {
        let mut table = self.table();
        table.put_back(frames);
        self.wake_for_waiting(&table);
        drop(table);
        self.refuse_waiting();
    }

    /// Wakes a server that sleeps; gives how long a request would wait for it, or why it would not.
    pub(super) fn knock(&self) -> Result<Duration, Fault> {
        let table = self.table();
        self.wake(&table);
        let patience = table.gate_patience(table.config.timeout);
        patience.map_err(|fault| self.explain(fault))
    }

    /// True where requests are refused because an operator, the config or the end of the gateway has stopped the server.
    pub fn is_stopped(&self) -> bool {
        matches!(self.table().gate, Gate::Stopped | Gate::ShuttingDown)
    }

    /// Waits until a request wants a server that is asleep. Cancel safe.
    pub(super) async fn demanded(&self) {
        self.demand.notified().await;
    }

    /// Whether a request was written and has not left the table: the server may be working on it.
    pub fn is_written(&self, id: u64) -> bool {
        self.table().entries.get(&id).is_some_and(Entry::is_written)
    }

    /// How full the table is.
    pub fn load(&self) -> Load {
        let table = self.table();
        Load {
            in_flight: table.in_flight,
            queued: table.queue.len(),
        }
    }

    /// Nothing waits for an answer or to be written, but what stands open.
    pub(super) fn is_idle(&self) -> bool {
        let table = self.table();
        let standing = |entry: &Entry| entry.submission.standing;
        table.entries.values().all(standing) && table.queue.is_empty()
    }

    /// When the child was last heard of.
    pub(super) fn last_heard(&self) -> Option<Instant> {
        self.table().last_heard
    }

    /// Whether any principal but this one has a request at the server, or waits to have one written.
    pub fn others_wait(&self, principal: PrincipalId) -> bool {
        self.table()
            .queue
            .is_used_beside(Owner::Principal(principal))
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
