//! Sessions on the plain endpoints: each is one event stream of one principal on one server.
//!
//! A session lives as long as its stream. Its id is 128 random bits; presented by another principal, or
//! for another server, it is as unknown as one that never was (MCP security best practices, session
//! hijacking; CVE-2025-6515).

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::config::Config;
use super::notices::Notices;
use super::queue::Queue;
use crate::fault::{Fault, FaultKind};
use crate::instruments::Held;
use crate::types::{PrincipalId, ServerId};

/// When a token that holds its share of streams may try again.
const STREAMS_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Sessions {
    config: Config,
    open: Mutex<HashMap<Arc<str>, Session>>,
}

#[derive(Debug)]
struct Session {
    principal: PrincipalId,
    server: ServerId,
    queue: Arc<Queue>,
    /// URIs of resources whose updates it wants.
    subscriptions: HashSet<Box<str>>,
}

impl Sessions {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            open: Mutex::default(),
        }
    }

    fn open_sessions(&self) -> MutexGuard<'_, HashMap<Arc<str>, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; `held` counts its stream.
    pub(super) fn open(
        this: &Arc<Self>,
        notices: Arc<Notices>,
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
        if own >= this.config.max_streams_per_token {
            let fault = Fault::new(
                FaultKind::RateLimited,
                "this token has max_streams_per_token event streams open",
            );
            return Err(fault.retry_after(STREAMS_RETRY));
        }
        let queue = Arc::new(Queue::new(
            this.config.stream_queue_events,
            this.config.stream_queue_bytes,
        ));
        let session = Session {
            principal,
            server: notices.server().clone(),
            queue: Arc::clone(&queue),
            subscriptions: HashSet::new(),
        };
        open.insert(Arc::clone(&id), session);
        drop(open);
        Ok(EventStream {
            id,
            queue,
            sessions: Arc::clone(this),
            notices,
            _held: held,
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
    pub(super) fn subscribe(&self, id: &str, uri: &str) {
        if let Some(session) = self.open_sessions().get_mut(id) {
            session.subscriptions.insert(uri.into());
        }
    }

    /// Notes that a session wants none any more.
    pub(super) fn unsubscribe(&self, id: &str, uri: &str) {
        if let Some(session) = self.open_sessions().get_mut(id) {
            session.subscriptions.remove(uri);
        }
    }

    /// Whether any session of a server wants updates of a resource.
    pub(super) fn is_wanted(&self, server: &ServerId, uri: &str) -> bool {
        self.open_sessions()
            .values()
            .any(|session| session.server == *server && session.subscriptions.contains(uri))
    }

    /// The queues of a server's sessions that `wanted` picks by principal and subscriptions.
    pub(super) fn queues(
        &self,
        server: &ServerId,
        wanted: impl Fn(PrincipalId, &HashSet<Box<str>>) -> bool,
    ) -> Vec<Arc<Queue>> {
        let open = self.open_sessions();
        let of_server = open.values().filter(|session| session.server == *server);
        of_server
            .filter(|session| wanted(session.principal, &session.subscriptions))
            .map(|session| Arc::clone(&session.queue))
            .collect()
    }

    /// Open sessions on a server.
    pub(super) fn count(&self, server: &ServerId) -> usize {
        self.open_sessions()
            .values()
            .filter(|session| session.server == *server)
            .count()
    }

    /// Ends every stream after what it still has to say.
    pub(super) fn end_all(&self) {
        for session in self.open_sessions().values() {
            session.queue.end();
        }
    }

    /// Removes a session; gives the resources that nobody on its server wants updates of any more.
    fn close(&self, id: &str) -> Vec<Box<str>> {
        let mut open = self.open_sessions();
        let Some(gone) = open.remove(id) else {
            return Vec::new();
        };
        let still_wanted = |uri: &str| {
            open.values()
                .any(|other| other.server == gone.server && other.subscriptions.contains(uri))
        };
        gone.subscriptions
            .into_iter()
            .filter(|uri| !still_wanted(uri))
            .collect()
    }
}

/// The notifications for one session, in the server's order. Dropping it ends the session.
#[derive(Debug)]
pub struct EventStream {
    id: Arc<str>,
    queue: Arc<Queue>,
    sessions: Arc<Sessions>,
    notices: Arc<Notices>,
    _held: Held,
}

impl EventStream {
    /// The session's id, for `MCP-Session-Id`.
    pub fn session_id(&self) -> &str {
        &self.id
    }

    /// How often the client should be shown that the stream lives.
    pub fn keep_alive(&self) -> Duration {
        self.sessions.config.keep_alive
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
        for uri in self.sessions.close(&self.id) {
            self.notices.unsubscribe(&uri);
        }
    }
}
