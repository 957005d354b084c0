//! Sessions on the plain endpoints: each is one event stream of one principal on one server.
//!
//! A session lives as long as its stream. Its id is 128 random bits; presented by another principal, or
//! for another server, it is as unknown as one that never was (MCP security best practices, session
//! hijacking; CVE-2025-6515).

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::config::Config;
use super::hub::{Ear, Hub};
use super::queue::Queue;
use super::servers::Leased;
use crate::fault::{Fault, FaultKind};
use crate::instruments::Held;
use crate::memory_budget::MemoryBudget;
use crate::protocol::Level;
use crate::types::{PrincipalId, ServerId};

/// When a token that holds its share of streams may try again.
const STREAMS_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Sessions {
    config: watch::Receiver<Config>,
    memory: MemoryBudget,
    open: Mutex<HashMap<Arc<str>, Session>>,
}

#[derive(Debug)]
struct Session {
    principal: PrincipalId,
    server: ServerId,
    queue: Arc<Queue>,
    ear: Ear,
}

impl Sessions {
    pub(super) fn new(config: watch::Receiver<Config>, memory: MemoryBudget) -> Self {
        Self {
            config,
            memory,
            open: Mutex::default(),
        }
    }

    fn open_sessions(&self) -> MutexGuard<'_, HashMap<Arc<str>, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; `held` counts its stream.
    pub(super) fn open(
        this: &Arc<Self>,
        hub: &Arc<Hub>,
        principal: PrincipalId,
        held: Held,
    ) -> Result<EventStream, Fault> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_no_randomness| {
            Fault::new(FaultKind::InternalError, "no session id could be made")
        })?;
        let id: Arc<str> = hex::encode(bytes).into();
        let mut open = this.open_sessions();
        let own = open
            .values()
            .filter(|session| session.principal == principal)
            .count();
        let config = *this.config.borrow();
        if own >= config.max_streams_per_token {
            let text = format!(
                "this token has max_streams_per_token ({}) event streams open",
                config.max_streams_per_token
            );
            let fault = Fault::new(FaultKind::RateLimited, text);
            return Err(fault.retry_after(STREAMS_RETRY));
        }
        let queue = Arc::new(Queue::new(
            config.stream_queue_events,
            config.stream_queue_bytes,
            this.memory.account(principal),
        ));
        let session = Session {
            principal,
            server: hub.server().clone(),
            queue: Arc::clone(&queue),
            ear: hub.join(principal, Arc::clone(&queue) as _),
        };
        open.insert(Arc::clone(&id), session);
        drop(open);
        Ok(EventStream {
            id,
            queue,
            sessions: Arc::clone(this),
            _held: held,
            leased: None,
        })
    }

    /// The session of this principal on this server, as it is called and as it is written to.
    pub(super) fn find(
        &self,
        id: &str,
        principal: PrincipalId,
        server: &ServerId,
    ) -> Option<(Arc<str>, Arc<Queue>)> {
        let open = self.open_sessions();
        let (id, session) = open.get_key_value(id)?;
        let own = session.principal == principal && session.server == *server;
        own.then(|| (Arc::clone(id), Arc::clone(&session.queue)))
    }

    /// Notes that a session wants updates of a resource.
    ///
    /// Refused where it, or its token, wants too many.
    pub(super) fn subscribe(&self, id: &str, uri: &str) -> Result<(), Fault> {
        if let Some(session) = self.open_sessions().get(id) {
            session.ear.wants(uri)?;
        }
        Ok(())
    }

    /// Notes that a session wants none any more.
    pub(super) fn unsubscribe(&self, id: &str, uri: &str) {
        if let Some(session) = self.open_sessions().get(id) {
            session.ear.forgets(uri);
        }
    }

    /// Has a session hear logs from this level on.
    pub(super) fn set_level(&self, id: &str, level: Level) {
        if let Some(session) = self.open_sessions().get(id) {
            session.ear.set_level(level);
        }
    }

    /// Open sessions on a server.
    pub(super) fn count(&self, server: &ServerId) -> usize {
        self.open_sessions()
            .values()
            .filter(|session| session.server == *server)
            .count()
    }

    /// Ends the streams that are picked by their principal and server, after what they still have to say.
    pub(super) fn end_picked(&self, which: impl Fn(PrincipalId, &ServerId) -> bool) {
        let open = self.open_sessions();
        let picked = open
            .values()
            .filter(|session| which(session.principal, &session.server));
        for session in picked {
            session.queue.end();
        }
    }

    /// Ends every stream after what it still has to say.
    pub(super) fn end_all(&self) {
        for session in self.open_sessions().values() {
            session.queue.end();
        }
    }
}

/// The notifications for one session, in the server's order. Dropping it ends the session.
#[derive(Debug)]
pub struct EventStream {
    id: Arc<str>,
    queue: Arc<Queue>,
    sessions: Arc<Sessions>,
    _held: Held,
    leased: Option<Leased>,
}

impl EventStream {
    /// Keeps the process that it hears of from being retired while it is open.
    #[must_use]
    pub(super) fn holding(mut self, leased: Leased) -> Self {
        self.leased = Some(leased);
        self
    }

    /// The session's id, for `MCP-Session-Id`.
    pub fn session_id(&self) -> &str {
        &self.id
    }
}

impl futures_util::Stream for EventStream {
    /// One JSON-RPC message on one line, without a newline.
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.queue.poll(context)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // What it wanted is given up after the lock was.
        let gone = self.sessions.open_sessions().remove(&self.id);
        drop(gone);
    }
}
