//! The way of one message from a client: read, rewritten, submitted, answered.

mod bridge;
mod frame;
mod initialize;
mod listen;
mod message;
mod modern;
mod own;
mod pending;
mod plain;
mod request;
mod round;
mod seen;
mod stream;
mod subscribe;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

pub(super) use initialize::agree;
pub(super) use listen::heard;
pub(super) use message::{Message, invalid};
pub(super) use modern::check_sent;
pub(super) use pending::{Pending, Unopened};
pub(super) use plain::InSession;
pub(super) use request::Request;
pub(super) use round::Round;
pub(super) use stream::patient;

use super::outlet::Outlet;
use super::servers::{Leased, Server};
use super::session::{self, Response, Session};
use super::{Answer, Caller, Door, Failure, Shared, Target};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::DropReason;
use crate::protocol::splice::into_frame;
use crate::protocol::{ClientMessage, Era, Span};
use crate::relay::config::Instance;
use crate::relay::revival;
use crate::supervisor::{Mux, Origin};
use crate::types::Principal;

/// What the way of a message begins with.
struct Way<'a> {
    shared: &'a Arc<Shared>,
    server: &'a Arc<Server>,
    target: &'a Target,
    caller: Caller,
    message: Message,
    /// The message as the client sent it, which is what its headers repeat.
    sent: Message,
    era: Era,
    started: Instant,
}

/// How far a message came without waiting for anything.
pub(super) enum Step {
    /// To its end.
    Over(Answer),
    /// To where it has to wait for the server.
    Waits(Box<Pending>),
}

/// Takes one message to one server.
pub(super) fn message(
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    target: &Target,
    caller: Caller,
    body: Bytes,
) -> Result<Step, Failure> {
    let started = Instant::now();
    let unread = |fault| Failure {
        fault,
        id: None,
        era: Era::Legacy,
    };
    let message = Message::read(body).map_err(unread)?;
    let era = message.era(&caller);
    let way = Way {
        shared,
        server,
        target,
        caller,
        message: message.clone(),
        sent: message.clone(),
        era,
        started,
    };
    let read = ClientMessage::read(&message.envelope, &message.body);
    let read = read.map_err(|error| Failure {
        era,
        ..unread(invalid(&error))
    })?;
    let over = match read {
        ClientMessage::Request { id, method } => {
            return way.request(id, method.into_owned()).map(Step::Waits);
        }
        ClientMessage::Notification { method } => way.notification(&method),
        ClientMessage::Response { id } => way.response(id),
    };
    over.map(Step::Over).map_err(|fault| Failure {
        era,
        ..unread(fault)
    })
}

/// Takes a request to all servers to the one that it names: `message` is what this server is asked,
/// `sent` what the client sent.
pub(super) fn one(
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    caller: Caller,
    message: &Message,
    sent: Message,
    started: Instant,
) -> Result<Box<Pending>, Failure> {
    let era = sent.era(&caller);
    let read = ClientMessage::read(&message.envelope, &message.body);
    let Ok(ClientMessage::Request { id, method }) = read else {
        // It was a request before its name was changed.
        tracing::error!(server_id = %server.id, "bug: a request cannot be read after its name was changed");
        return Err(Failure {
            fault: Fault::new(FaultKind::InternalError, "internal error"),
            id: None,
            era,
        });
    };
    let method = method.into_owned();
    let way = Way {
        shared,
        server,
        target: &Target::All,
        caller,
        message: message.clone(),
        sent,
        era,
        started,
    };
    way.request(id, method)
}

impl Way<'_> {
    fn session(&self) -> Result<Option<Arc<Session>>, Fault> {
        // One on the path of all servers was found, and revived, where the message came in.
        let servers = match self.target {
            Target::Server(_) => Some(std::slice::from_ref(self.server)),
            Target::All => None,
        };
        self.shared
            .session(&self.caller, self.era, self.target, servers)
    }

    /// The session of the plain endpoints that the message names.
    fn plain(&self) -> Result<Option<InSession>, Fault> {
        let Some(id) = self
            .caller
            .session
            .as_ref()
            .filter(|_| self.caller.door == Door::Raw)
        else {
            return Ok(None);
        };
        let server = &self.server.id;
        let found = self
            .shared
            .sessions
            .find(id, self.caller.principal.id, server);
        let (id, queue) = found.ok_or_else(session::unknown)?;
        Ok(Some(InSession { id, queue }))
    }

    /// Everything about a request that needs no waiting.
    fn request(self, id: Span, method: String) -> Result<Box<Pending>, Failure> {
        let client_id = self.message.text(id);
        let era = self.era;
        let fail = |fault| Failure {
            fault,
            id: Some(client_id.clone()),
            era,
        };
        // What opens a session is in none, whatever the client sends along.
        let opens = method == "initialize" && self.caller.door == Door::Mcp && era == Era::Legacy;
        let session = if opens { Ok(None) } else { self.session() };
        let session = session.map_err(fail)?;
        let prepared = opens.then(|| self.prepare()).transpose().map_err(fail)?;
        let upstream = self.lease(session.as_ref().or(prepared.as_ref()));
        let upstream = upstream.map_err(fail)?;
        let unopened = prepared.clone().map(|session| Unopened {
            servers: vec![Arc::clone(self.server)],
            session,
            armed: true,
        });
        let plain = self.plain().map_err(fail)?;
        let running = session.as_ref().map(|session| session.begin(&client_id));
        let running = running.transpose().map_err(fail)?;
        let streams = self.caller.door == Door::Mcp && self.caller.streams;
        let principal = self.caller.principal.id;
        let outlet = streams.then(|| {
            let memory = self.shared.memory.account(principal);
            let hub = Arc::clone(&upstream.hub);
            Outlet::new(&self.shared.config(), memory, hub, principal)
        });
        Ok(Box::new(Pending {
            started: self.started,
            running,
            unopened,
            request: Request {
                shared: Arc::clone(self.shared),
                upstream,
                caller: self.caller,
                plain,
                session,
                target: self.target.clone(),
                message: self.message,
                sent: self.sent,
                id,
                method,
                era,
                outlet,
                prepared,
                opened: OnceLock::new(),
                subscription: OnceLock::new(),
            },
        }))
    }

    /// The session that this message is to open, which nobody can find yet.
    fn prepare(&self) -> Result<Arc<Session>, Fault> {
        let agreed = agree(self.message.params());
        let principal = &self.caller.principal;
        let directory = &self.shared.directory;
        directory.prepare(principal, self.target.clone(), agreed)
    }

    /// The process that the message is for.
    fn lease(&self, session: Option<&Arc<Session>>) -> Result<Leased, Fault> {
        // At the plain endpoints nothing is asked of the caller: any process will do.
        let era = (self.caller.door == Door::Mcp).then_some(self.era);
        lease(self.server, &self.caller.principal, session, era)
    }

    fn response(&self, id: Span) -> Result<Answer, Fault> {
        let response = Response {
            body: self.message.body.clone(),
            id,
            result: self.message.envelope.result,
        };
        let session = self.session()?;
        if session.is_some_and(|session| session.asks().answer(response)) {
            return Ok(Answer::Accepted);
        }
        Err(unasked())
    }

    fn notification(&self, method: &str) -> Result<Answer, Fault> {
        let session = self.session()?;
        let plain = self.plain()?;
        let upstream = self.lease(session.as_ref())?;
        let mux = upstream.handle.mux();
        match method {
            // The gateway did the handshake.
            "notifications/initialized" | "notifications/progress" => {}
            // What one client's roots are is of no use to a child of many.
            "notifications/roots/list_changed" if !upstream.is_owned() => {}
            "notifications/cancelled" => {
                let ended = self.cancel(mux, session.as_deref(), plain);
                if !ended {
                    upstream
                        .instruments
                        .dropped(DropReason::UnknownCancellation);
                    tracing::debug!(server_id = %self.server.id, "ignored a cancellation of nothing that is under way, or of several requests");
                }
            }
            // No notification of the modern era's own goes from client to server by this transport.
            _ if self.caller.door == Door::Mcp && self.era == Era::Modern => {}
            _ if upstream.is_shared() && self.names_foreign_task(&upstream, method) => {
                upstream.instruments.dropped(DropReason::Unattributed);
                tracing::debug!(server_id = %self.server.id, "dropped a notification about a task of another token");
            }
            _ => {
                let principal = self.caller.principal.id;
                let frame = into_frame(self.message.body.to_vec()).into();
                let frame = self.shared.memory.track(principal, frame);
                let frame = frame.map_err(|exhausted| exhausted.fault(Delivered::No))?;
                mux.notify(principal, frame, self.caller.quota.clone())?;
            }
        }
        Ok(Answer::Accepted)
    }

    fn names_foreign_task(&self, upstream: &Leased, method: &str) -> bool {
        let (text, principal) = (&self.message.body, self.caller.principal.id);
        let is_about_tasks = method.starts_with("notifications/tasks/");
        self.message.envelope.params.is_some_and(|params| {
            upstream
                .tasks
                .check(text, &params, is_about_tasks, principal)
                .is_err()
        })
    }

    /// Cancels a request of the session that the message is in; `false` where nothing was cancelled.
    ///
    /// Without a session the clients of a token cannot be told apart, and all of them count their requests from 1.
    fn cancel(&self, mux: &Mux, session: Option<&Session>, plain: Option<InSession>) -> bool {
        let request = self
            .message
            .envelope
            .params
            .and_then(|params| params.request_id);
        let Some(request) = request else {
            return false;
        };
        let id = session.map(|session| Arc::clone(session.id()));
        let Some(id) = id.or_else(|| plain.map(|plain| plain.id)) else {
            return false;
        };
        let origin = Origin {
            principal: self.caller.principal.id,
            session: Some(id),
            client_id: self.message.text(request),
        };
        let reason = reason(self.message.params());
        // What is not at the child waits for something else, and must not get there any more.
        mux.cancel(&origin, reason.as_deref())
            || session.is_some_and(|session| session.cancel(&origin.client_id))
    }
}

/// The process of a server that is for a caller of this era, or for its session; refused where that has ended.
pub(super) fn lease(
    server: &Server,
    principal: &Principal,
    session: Option<&Arc<Session>>,
    era: Option<Era>,
) -> Result<Leased, Fault> {
    let declared = session.map(|session| Arc::clone(&session.agreed().capabilities));
    let id = session.map(|session| session.id());
    let own = server.instances.config().instance == Instance::Session;
    let declared = declared.filter(|_| own);
    let leased = server.lease(principal, id, declared, era)?;
    let heard = session.and_then(|session| Some((session, session.leased_beside(&leased)?)));
    let leased = match heard {
        // A session stays with the process that it hears.
        Some((_, heard)) if heard.is_present() => heard,
        Some((session, gone)) => revival::move_session(session, &gone, &leased),
        None => leased,
    };
    if let Some(session) = session.filter(|_| leased.is_owned()) {
        if session.is_over() {
            // It ended after it was found, and what it had was stopped before this was started.
            server.instances.end_session(session.id());
            return Err(session::unknown());
        }
        leased.calls.owned_by(session);
    }
    Ok(leased)
}

/// Why a client cancels, if it says so.
pub(super) fn reason(params: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Params {
        reason: Option<String>,
    }
    let params: Params = serde_json::from_slice(params).ok()?;
    params.reason
}

/// The fault of a response that answers nothing.
pub(super) fn unasked() -> Fault {
    let text = "no request of the server's waits for this response";
    Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No)
}

impl Shared {
    /// The session of the MCP endpoints that a message must be in, revived with these servers where it is not in memory.
    pub(super) fn session(
        &self,
        caller: &Caller,
        era: Era,
        target: &Target,
        servers: Option<&[Arc<Server>]>,
    ) -> Result<Option<Arc<Session>>, Fault> {
        if caller.door != Door::Mcp || era == Era::Modern {
            return Ok(None);
        }
        let id = caller.session.as_deref();
        let found = match servers {
            Some(servers) => self.find_session(caller, target, servers),
            None => self.directory.named(id, caller.principal.id, target),
        };
        found.map(Some)
    }
}
