//! Which message goes to which server, what the gateway answers itself, and who hears of it.
//!
//! One shared child serves all clients of a server. A request gets an id and a progress token of the
//! gateway's own on its way down and its own ones back on its way up; everything else crosses as bytes.
//! What the child says of its own accord goes to those who may see it: progress to the caller, changes
//! of lists to everybody, updates of a resource to its subscribers, logs to whom they can be attributed.

mod answers;
mod call;
mod config;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the relay's calls are moved onto it next")
)]
mod instances;
mod notices;
mod overview;
mod queue;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

pub use config::{ClientCapabilities, ClientFeatures, Config, Instance, ServerConfig};
pub use overview::{Overview, Process};
pub use sessions::EventStream;

use notices::Notices;
use sessions::Sessions;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::{Instruments, ServerInstruments};
use crate::protocol::trace_context::TraceContext;
use crate::supervisor::{Listener, ServerHandle, State, Supervisor};
use crate::types::{Principal, ServerId};

/// The door of the relay: every configured server, and the event streams that are open.
#[derive(Debug)]
pub struct Relay {
    supervisor: Supervisor,
    upstreams: Vec<Upstream>,
    by_id: HashMap<ServerId, usize>,
    sessions: Arc<Sessions>,
    draining: AtomicBool,
}

/// One server and what the relay keeps beside its handle.
#[derive(Debug)]
struct Upstream {
    handle: ServerHandle,
    notices: Arc<Notices>,
    instruments: ServerInstruments,
}

/// Who sent a message, and what came with it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who speaks.
    pub principal: Arc<Principal>,
    /// By which kind of endpoint it came.
    pub door: Door,
    /// The value of `MCP-Session-Id`, if one was sent.
    pub session: Option<String>,
    /// The peer, for the span.
    pub peer: std::net::SocketAddr,
    /// The context in the HTTP headers, if it was valid.
    pub trace: Option<TraceContext>,
}

/// The kind of endpoint that a message came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Raw JSON-RPC, in the era of the one who writes it.
    Raw,
    /// Streamable HTTP of the legacy era, to which clients of both eras fall back.
    LegacyMcp,
}

/// What became of one message.
#[derive(Debug)]
pub enum Answer {
    /// A request: its JSON-RPC response, the client's own id in it.
    Reply(Bytes),
    /// A notification or a response: taken over, nothing to say.
    Accepted,
}

/// A failed message.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// The JSON-RPC id as it was written (`1`, `"a"`), where it could be read.
    pub id: Option<Bytes>,
}

impl Relay {
    /// Starts every server's actor. Must be called within a tokio runtime.
    pub fn start(config: Config, servers: Vec<ServerConfig>, instruments: &Instruments) -> Self {
        let sessions = Arc::new(Sessions::new(config));
        let mut notices = Vec::with_capacity(servers.len());
        let supervised = servers
            .into_iter()
            .map(|server| server.supervisor)
            .map(|server| {
                let labels = instruments.for_server(&server.id);
                let heard = Arc::new(Notices::new(
                    server.id.clone(),
                    Arc::clone(&sessions),
                    labels.clone(),
                ));
                let listener: Arc<dyn Listener> = Arc::clone(&heard) as _;
                notices.push((heard, labels));
                (server, listener)
            })
            .collect();
        let supervisor = Supervisor::start(supervised, instruments);
        let upstreams: Vec<_> = supervisor
            .servers()
            .into_iter()
            .zip(notices)
            .map(|(handle, (notices, instruments))| {
                notices.attach(handle.clone());
                Upstream {
                    handle,
                    notices,
                    instruments,
                }
            })
            .collect();
        let by_id = upstreams
            .iter()
            .enumerate()
            .map(|(at, upstream)| (upstream.handle.id().clone(), at))
            .collect();
        Self {
            supervisor,
            upstreams,
            by_id,
            sessions,
            draining: AtomicBool::new(false),
        }
    }

    /// The server with this id, where it exists and the principal may reach it; both other cases are
    /// the same fault.
    pub fn server(&self, principal: &Principal, id: &str) -> Result<&ServerHandle, Fault> {
        self.upstream(principal, id)
            .map(|upstream| &upstream.handle)
    }

    fn upstream(&self, principal: &Principal, id: &str) -> Result<&Upstream, Fault> {
        let found = self.by_id.get(id).and_then(|&at| self.upstreams.get(at));
        found
            .filter(|upstream| principal.may_reach(upstream.handle.id()))
            .ok_or_else(|| Fault::new(FaultKind::ServerNotFound, "unknown server_id"))
    }

    /// Every server that the principal may reach, in the order of the config file.
    pub fn servers<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> impl Iterator<Item = &'a ServerHandle> {
        let handles = self.upstreams.iter().map(|upstream| &upstream.handle);
        handles.filter(|handle| principal.may_reach(handle.id()))
    }

    /// Whether every server is ready, or asleep because nobody has asked for it, or disabled.
    pub fn is_healthy(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
            && self.upstreams.iter().all(|upstream| {
                let status = upstream.handle.status();
                status.state == State::Ready || status.asleep || upstream.handle.config().disabled
            })
    }

    /// Sends one JSON-RPC message (`body`, as it came) to a server and waits for what becomes of it.
    ///
    /// Cancel safe: when the future is dropped, a legacy request that was written runs on and its answer
    /// is dropped (MCP 2025-11-25, transports: a disconnect is not a cancellation); a modern one is
    /// cancelled (MCP 2026-07-28, streamable-http: it must be).
    pub async fn message(
        &self,
        server: &ServerId,
        caller: Caller,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let upstream = self
            .refuse_in_drain()
            .and_then(|()| self.upstream(&caller.principal, server.as_str()));
        let upstream = upstream.map_err(|fault| Failure { fault, id: None })?;
        call::message(upstream, &self.sessions, caller, body).await
    }

    /// Opens an event stream with a new session of this principal on one server.
    ///
    /// The session ends when the stream is dropped.
    pub fn open_stream(
        &self,
        server: &ServerId,
        principal: &Arc<Principal>,
    ) -> Result<EventStream, Fault> {
        self.refuse_in_drain()?;
        let upstream = self.upstream(principal, server.as_str())?;
        let gone = Arc::clone(&upstream.notices);
        Sessions::open(
            &self.sessions,
            gone,
            principal.id,
            upstream.instruments.stream(),
        )
    }

    fn refuse_in_drain(&self) -> Result<(), Fault> {
        if self.draining.load(Ordering::Relaxed) {
            let fault = Fault::new(FaultKind::ShuttingDown, "the gateway is shutting down");
            return Err(fault.delivered(Delivered::No));
        }
        Ok(())
    }

    /// Refuses new messages with `shutting_down` and ends every event stream. Requests under way go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.sessions.end_all();
    }

    /// Ends every request that is not answered yet with `shutting_down`, because the drain is over.
    pub fn give_up_requests(&self) {
        self.supervisor.give_up_requests();
    }

    /// Stops every server and waits until no process of any is left; requests still under way end with
    /// `server_lost` or `shutting_down`.
    pub async fn shutdown(&self) {
        self.drain();
        self.supervisor.shutdown().await;
    }

    /// Makes every stop a SIGKILL at once, the present ones too.
    pub fn kill(&self) {
        self.supervisor.kill();
    }
}
