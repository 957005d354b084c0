//! Sessions of the legacy era on the MCP endpoints: what a client has agreed on, and what is kept for it.
//!
//! A session belongs to the principal that opened it and to the path that it was opened on; presented by
//! anybody else, or anywhere else, it is as unknown as one that never was (MCP security best practices,
//! session hijacking). It outlives the child, and ends when its client says so or has not been seen for
//! `session_idle_ms` with nothing under way. One that was not ended by its client is revived by its id (`sealed`).

mod asks;
mod directory;
mod ended;
mod sealed;
mod streams;
mod withdrawal;

use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Aborted, pending};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

pub(super) use asks::{ChildAsk, Response, Waiting, refusal};
pub(super) use directory::{Directory, unknown};
pub(super) use streams::{NotKept, OWN, Reader, ReplayBudget, ReplayBudgets};
pub(super) use withdrawal::OpenQuestion;

use asks::Asks;
use streams::{Bounds, Streams};

use super::api::Target;
use super::bridge::features::Features;
use super::config::Config;
use super::hub::{Ear, Hub, Sink};
use super::outlet::Outlet;
use super::servers::Leased;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::era::NEWEST_LEGACY;
use crate::types::{Principal, ServerId, wall};

/// What a client has agreed on when it opened its session.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    /// The revision.
    pub(super) revision: &'static str,
    /// What it can be asked for.
    pub(super) features: Features,
    /// The same as it declared it, where that is short: a JSON object.
    pub(super) capabilities: Arc<str>,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    id: Arc<str>,
    principal: Arc<Principal>,
    target: Target,
    agreed: Agreed,
    /// It was opened before, and what was sent to it then is lost.
    is_revived: bool,
    streams: Arc<Streams>,
    asks: Asks,
    usage: Mutex<Usage>,
    /// How it hears its servers. Dropped first when it ends.
    ears: Mutex<Vec<(Leased, Arc<Ear>)>>,
}

#[derive(Debug)]
struct Usage {
    /// Requests under way by their ids, and what ends each while it is not at a child. The hash is a fast one that a
    /// client could find collisions of: they would cost its own token's few requests a comparison each.
    running: FxHashMap<Bytes, AbortHandle>,
    last: Instant,
    ended: bool,
}

impl Session {
    fn new(
        id: Arc<str>,
        principal: Arc<Principal>,
        target: Target,
        agreed: Agreed,
        config: &Config,
        budget: &Arc<ReplayBudget>,
    ) -> Self {
        let bounds = Bounds {
            queue_events: config.stream_queue_events,
            queue_bytes: config.stream_queue_bytes,
            kept_events: config.replay_events,
            kept_bytes: config.replay_bytes,
        };
        // Clients of earlier revisions fail on an event without data.
        let primes = agreed.revision == NEWEST_LEGACY;
        let streams = Arc::new(Streams::new(bounds, primes, Arc::clone(budget)));
        budget.join(&streams);
        Self {
            id,
            principal,
            target,
            is_revived: false,
            streams,
            asks: Asks::default(),
            usage: Mutex::new(Usage {
                running: FxHashMap::default(),
                last: Instant::now(),
                ended: false,
            }),
            ears: Mutex::default(),
            agreed,
        }
    }

    /// The same session, which was opened before. The numbers of its events begin at the present time, so that the id of an
    /// event of its earlier life is not taken for one of this life.
    fn revived(self) -> Self {
        self.streams.number_from(wall::millis());
        Self {
            is_revived: true,
            ..self
        }
    }

    /// Reads the stream of an event from the one after it. In the own stream of a revived session, where that event is of its
    /// earlier life, reads what has come since.
    pub(super) fn resume(&self, last_event: &str) -> Result<Reader, NotKept> {
        let resumed = self.streams.resume(last_event);
        if resumed.is_err() && self.is_revived && streams::is_of_own(last_event) {
            return self.streams.read(OWN);
        }
        resumed
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ears(&self) -> MutexGuard<'_, Vec<(Leased, Arc<Ear>)>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(super) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    pub(super) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    pub(super) fn asks(&self) -> &Asks {
        &self.asks
    }

    /// Says something to the client: on the stream of a request, or else on the session's own.
    pub(super) fn tell(&self, outlet: Option<&Arc<Outlet>>, message: Bytes) -> bool {
        match outlet {
            Some(outlet) => outlet.require(message),
            None => self.streams.is_read() && self.streams.push(OWN, message),
        }
    }

    /// Says something that belongs to no request: a client that opens its stream later hears it then.
    pub(super) fn tell_later(&self, message: Bytes) -> bool {
        self.streams.push(OWN, message)
    }

    /// Has the session hear one of its servers from now on, and keeps the process for it.
    pub(super) fn hear(&self, leased: &Leased, sink: Arc<dyn Sink>) {
        let ear = Arc::new(leased.hub.join(self.principal.id, sink));
        let ended = self.usage().ended;
        if !ended {
            self.ears().push((Arc::clone(leased), ear));
        }
    }

    /// Has it hear nothing more of a server.
    pub(super) fn forget(&self, server: &ServerId) {
        let (gone, kept) = std::mem::take(&mut *self.ears())
            .into_iter()
            .partition(|(at, _)| at.handle.id() == server);
        *self.ears() = kept;
        // Leaves its hub after the lock was given up.
        drop::<Vec<_>>(gone);
    }

    /// Has it hear nothing more of the process with this hub; `false` where it heard nothing of it.
    pub(super) fn leave(&self, hub: &Hub) -> bool {
        let mut ears = self.ears();
        let at = ears.iter().position(|(_, ear)| ear.is_at(hub));
        let gone = at.map(|at| ears.remove(at));
        drop(ears);
        // Leaves its hub after the lock was given up.
        gone.is_some()
    }

    /// Its ear at the server with this hub.
    pub(super) fn ear(&self, hub: &Hub) -> Option<Arc<Ear>> {
        let ears = self.ears();
        let own = ears.iter().find(|(_, ear)| ear.is_at(hub));
        own.map(|(_, ear)| Arc::clone(ear))
    }

    /// The process that it hears, where it hears one of the same server.
    pub(super) fn leased_beside(&self, leased: &Leased) -> Option<Leased> {
        let ears = self.ears();
        let heard = ears.iter().find(|(at, _)| at.is_beside(leased));
        heard.map(|(at, _)| Arc::clone(at))
    }

    /// Notes that a request with this id is under way; refused where one is already, and where the session
    /// has ended since it was found.
    pub(super) fn begin(self: &Arc<Self>, id: &Bytes) -> Result<Running, Fault> {
        let mut usage = self.usage();
        if usage.ended {
            return Err(unknown());
        }
        let Entry::Vacant(entry) = usage.running.entry(id.clone()) else {
            let text = "a request with this id is under way in this session";
            return Err(Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No));
        };
        let (cancel, cancelled) = AbortHandle::new_pair();
        entry.insert(cancel);
        Ok(Running {
            session: Arc::clone(self),
            id: id.clone(),
            cancelled: Some(cancelled),
        })
    }

    /// Ends a request that waits for something else than a child's answer; `false` where none with this
    /// id is under way.
    pub(super) fn cancel(&self, id: &[u8]) -> bool {
        let cancel = self.usage().running.get(id).cloned();
        cancel.inspect(AbortHandle::abort).is_some()
    }

    /// Notes that its client was heard of.
    fn touch(&self) {
        self.usage().last = Instant::now();
    }

    /// Whether it has ended since it was found.
    pub(super) fn is_over(&self) -> bool {
        self.usage().ended
    }

    fn is_idle(&self, now: Instant, after: Duration) -> bool {
        let usage = self.usage();
        let silent = usage.running.is_empty() && now.saturating_duration_since(usage.last) >= after;
        drop(usage);
        silent && !self.streams.any_read()
    }

    /// Ends it: its calls, its streams, what its client was asked, and what it heard. Each call under way is
    /// answered with that.
    pub(super) fn end(&self) {
        self.usage().ended = true;
        self.streams.close();
        self.asks.refuse_all("the session has ended");
        let ears = std::mem::take(&mut *self.ears());
        for (leased, _) in &ears {
            leased.handle.mux().cancel_session(&self.id);
        }
        // What was not at a child yet gets to none any more.
        for cancel in self.usage().running.values() {
            cancel.abort();
        }
    }
}

/// A session hears what belongs to none of its requests on its own stream.
#[derive(Debug)]
pub(super) struct OwnStream(pub(super) Arc<Streams>);

impl Sink for OwnStream {
    fn push(&self, message: Bytes) -> bool {
        self.0.push(OWN, message)
    }

    fn fullness(&self) -> usize {
        self.0.fullness(OWN)
    }
}

/// What waiting for a cancellation comes to: nothing but that.
pub(super) type Cancelled = Result<Infallible, Aborted>;

/// A request that is under way in a session, which does not grow old meanwhile.
#[derive(Debug)]
pub(super) struct Running {
    session: Arc<Session>,
    id: Bytes,
    cancelled: Option<AbortRegistration>,
}

impl Running {
    /// Fails when the request is cancelled ([`Session::cancel`]), or its session ends; to be asked for once.
    pub(super) fn cancelled(&mut self) -> Option<impl Future<Output = Cancelled> + Send + use<>> {
        let cancelled = self.cancelled.take()?;
        Some(Abortable::new(pending(), cancelled))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut usage = self.session.usage();
        usage.running.remove(&self.id);
        usage.last = Instant::now();
    }
}
