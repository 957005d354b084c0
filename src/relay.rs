//! Which message goes to which server, what the gateway answers itself, and who hears of it.
//!
//! One shared child serves all clients of a server. A request gets an id and a progress token of the
//! gateway's own on its way down and its own ones back on its way up; everything else crosses as bytes.
//! What the child says of its own accord goes to those who may see it: progress to the caller, changes
//! of lists to everybody, updates of a resource to its subscribers, logs to whom they can be attributed.

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "all servers as one are wired to their endpoint next"
    )
)]
mod aggregate;
mod answers;
mod api;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the calls between the eras are being built on it")
)]
mod bridge;
mod call;
#[expect(dead_code, reason = "calls are noted next")]
mod calls;
mod config;
mod notices;
mod queue;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

pub use aggregate::{Gap, Shown};
pub use api::{Answer, Caller, Door, Event, Events, Failure, Reply, RoutingHeaders, Target};
pub use config::{ClientCapabilities, ClientFeatures, Config, Instance, ServerConfig};
pub use sessions::EventStream;

use notices::Notices;
use sessions::Sessions;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::{Instruments, ServerInstruments};
use crate::protocol::Era;
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

    /// Sends one JSON-RPC message (`body`, as it came) to whom it is for and waits for what becomes of it.
    ///
    /// Cancel safe: when the future is dropped, a legacy request that was written runs on and its answer
    /// is dropped (MCP 2025-11-25, transports: a disconnect is not a cancellation); a modern one is
    /// cancelled (MCP 2026-07-28, streamable-http: it must be).
    pub async fn message(
        &self,
        target: &Target,
        caller: Caller,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let upstream = self
            .refuse_in_drain()
            .and_then(|()| self.of_target(&caller.principal, target));
        let upstream = upstream.map_err(|fault| Failure {
            fault,
            id: None,
            era: Era::Legacy,
        })?;
        call::message(upstream, &self.sessions, caller, body).await
    }

    fn of_target(&self, principal: &Principal, target: &Target) -> Result<&Upstream, Fault> {
        match target {
            Target::Server(server) => self.upstream(principal, server.as_str()),
            Target::All => Err(Fault::new(FaultKind::NotFound, "unknown path")),
        }
    }

    /// The stream of a session for what belongs to none of its requests, or, with the id of the last
    /// event that the client saw, the rest of the stream that this event was on.
    ///
    /// Dropping it does not end the session; only a stream that is open keeps it from growing old.
    pub fn resume(
        &self,
        target: &Target,
        caller: &Caller,
        last_event: Option<&str>,
    ) -> Result<Events, Fault> {
        let _ = (target, caller, last_event);
        Err(Fault::new(FaultKind::SessionNotFound, "unknown session"))
    }

    /// Ends a session at its client's wish: its streams, its subscriptions, and what it was asked.
    pub fn end_session(&self, target: &Target, caller: &Caller) -> Result<(), Fault> {
        let _ = (target, caller);
        Err(Fault::new(FaultKind::SessionNotFound, "unknown session"))
    }

    /// The revision that a session was opened with; `None` where the caller has no such session.
    pub fn revision_of(&self, target: &Target, caller: &Caller) -> Option<&'static str> {
        let _ = (target, caller);
        None
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

    /// Requests and event streams of this server: (requests in flight, open sessions).
    pub fn load(&self, server: &ServerId) -> (usize, usize) {
        let upstream = self
            .by_id
            .get(server)
            .and_then(|&at| self.upstreams.get(at));
        let in_flight = upstream.map_or(0, |upstream| upstream.handle.mux().load().in_flight);
        (in_flight, self.sessions.count(server))
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
