//! The way of a message to all servers: to the one that it names, or to the gateway itself.

mod own;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gather;
use super::join::join;
use super::names::Reach;
use super::route::{One, Routed, route};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::{ClientMessage, Era, Span};
use crate::relay::Shared;
use crate::relay::api::{Answer, Caller, Failure, Reply, Target};
use crate::relay::call::{self, Message};
use crate::relay::servers::{Leased, Server, Servers};
use crate::relay::session::{Response, Session};
use crate::supervisor::{Handshake, Origin};
use crate::types::ServerId;

/// All servers that a caller reaches, in the order of the config file.
#[derive(Debug)]
pub(in crate::relay) struct All {
    pub(in crate::relay) shared: Arc<Shared>,
    pub(in crate::relay) servers: Vec<Arc<Server>>,
    /// These are not all any more, or more than all.
    pub(in crate::relay) replaced: CancellationToken,
    /// Where those are found that there are now.
    pub(in crate::relay) current: Arc<Servers>,
}

/// A request to all servers.
struct Request {
    all: All,
    caller: Caller,
    message: Message,
    id: Span,
    method: String,
    era: Era,
    session: Option<Arc<Session>>,
}

impl All {
    /// Takes one message.
    pub(in crate::relay) async fn message(
        self,
        caller: Caller,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let unread = |era, fault| Failure {
            fault,
            id: None,
            era,
        };
        let message = Message::read(body).map_err(|fault| unread(Era::Legacy, fault))?;
        let era = message.era(&caller);
        let read = ClientMessage::read(&message.envelope, &message.body);
        let read = read.map_err(|error| unread(era, call::invalid(&error)))?;
        let told = match read {
            ClientMessage::Request { id, method } => {
                let method = method.into_owned();
                let client_id = message.text(id);
                let fail = |fault| Failure {
                    fault,
                    id: Some(client_id.clone()),
                    era,
                };
                let session = match method.as_str() {
                    // What opens a session is in none, whatever the client sends along.
                    "initialize" => Ok(None),
                    _ => self.session(&caller, era),
                };
                let shared = Arc::clone(&self.shared);
                let request = Request {
                    all: self,
                    session: session.map_err(fail)?,
                    caller,
                    message: message.clone(),
                    id,
                    method,
                    era,
                };
                // What opens a session tells its id in the head, which is not known before.
                let takes_stream = request.caller.streams && request.method != "initialize";
                let answering = Box::pin(request.answer(started));
                return call::patient(&shared, None, answering, takes_stream).await;
            }
            ClientMessage::Notification { method } => {
                self.notification(&caller, era, &message, &method)
            }
            ClientMessage::Response { id } => self.response(&caller, era, &message, id),
        };
        told.map_err(|fault| unread(era, fault))
    }

    fn session(&self, caller: &Caller, era: Era) -> Result<Option<Arc<Session>>, Fault> {
        self.shared
            .session(caller, era, &Target::All, Some(&self.servers))
    }

    fn ids(&self) -> Vec<&ServerId> {
        self.servers.iter().map(|server| &server.id).collect()
    }

    /// The process of each server that can serve a caller now. A server that has none for it is left out.
    fn leases_at_once(
        &self,
        caller: &Caller,
        era: Era,
        session: Option<&Arc<Session>>,
    ) -> Vec<Leased> {
        let leased = self.leases(caller, era, session).into_iter();
        leased
            .map(|leased| {
                if leased.is_settled() {
                    leased
                } else {
                    leased.at_once()
                }
            })
            .collect()
    }

    /// The process of each server that is for a caller in its era, waited for as long as a list waits for it.
    async fn settled_leases(
        &self,
        caller: &Caller,
        era: Era,
        session: Option<&Arc<Session>>,
    ) -> Vec<Leased> {
        let leased = self.leases(caller, era, session).into_iter();
        join_all(leased.map(|mut leased| async move {
            // The first process may be waited for, and then a second one.
            for _ in 0..2 {
                if leased.is_settled() {
                    return leased;
                }
                gather::handshake(&leased).await;
                leased = leased.again();
            }
            leased.at_once()
        }))
        .await
    }

    /// The process of each server that is for a caller, as far as that is known. A server that has none for it is
    /// left out.
    fn leases(&self, caller: &Caller, era: Era, session: Option<&Arc<Session>>) -> Vec<Leased> {
        let leased = self.servers.iter().filter_map(|server| {
            if server.instances.config().supervisor.disabled {
                return None;
            }
            let leased = call::lease(server, &caller.principal, session, Some(era));
            leased
                .inspect_err(|fault| {
                    let omissions = &server.omissions;
                    omissions.note(&server.id, &caller.principal, &fault.message);
                })
                .ok()
        });
        leased.collect()
    }

    /// What the gateway says of itself for all of them.
    async fn handshake(&self, leased: &[Leased]) -> Handshake {
        let shaken = join_all(leased.iter().map(|leased| gather::handshake(leased))).await;
        let said: Vec<_> = leased
            .iter()
            .zip(&shaken)
            .map(|(leased, handshake)| (leased.handle.id(), handshake.as_deref()))
            .collect();
        join(&said)
    }

    /// A notification says not whom it is for: only a cancellation can be found out.
    fn notification(
        &self,
        caller: &Caller,
        era: Era,
        message: &Message,
        method: &str,
    ) -> Result<Answer, Fault> {
        let session = self.session(caller, era)?;
        let request = message.envelope.params.and_then(|params| params.request_id);
        // Without a session the clients of a token cannot be told apart.
        if let (Some(request), Some(session), "notifications/cancelled") =
            (request, session, method)
        {
            let origin = Origin {
                principal: caller.principal.id,
                session: Some(Arc::clone(session.id())),
                client_id: message.text(request),
            };
            let reason = call::reason(message.params());
            let mut ended = false;
            for server in &self.servers {
                for upstream in server.upstreams(&caller.principal) {
                    ended |= upstream.handle.mux().cancel(&origin, reason.as_deref());
                }
            }
            if !ended {
                session.cancel(&origin.client_id);
            }
        }
        Ok(Answer::Accepted)
    }

    fn response(
        &self,
        caller: &Caller,
        era: Era,
        message: &Message,
        id: Span,
    ) -> Result<Answer, Fault> {
        let session = self.session(caller, era)?;
        let response = Response {
            body: message.body.clone(),
            id,
            result: message.envelope.result,
        };
        if session.is_some_and(|session| session.asks().answer(response)) {
            return Ok(Answer::Accepted);
        }
        Err(call::unasked())
    }
}

impl Request {
    fn fail(&self, fault: Fault) -> Failure {
        Failure {
            fault,
            id: Some(self.client_id()),
            era: self.era,
        }
    }

    fn client_id(&self) -> Bytes {
        self.message.text(self.id)
    }

    async fn answer(self, started: Instant) -> Result<Answer, Failure> {
        if self.era == Era::Modern {
            call::check_sent(&self.caller.headers, &self.message, &self.method)
                .map_err(|fault| self.fail(fault))?;
        }
        let ids = self.all.ids();
        let routed = route(
            &self.method,
            &self.message.body,
            &self.message.envelope,
            Reach(&ids),
        );
        let routed = routed.map_err(|fault| self.fail(fault))?;
        if let Routed::One(One { server, body }) = routed {
            let named = self.all.servers.iter().find(|known| known.id == *server);
            let message = Message::of_json(body.into()).map_err(|fault| self.fail(fault))?;
            let Some(named) = named else {
                tracing::error!(server_id = %server, "bug: a request was routed to a server that is none of its own");
                let fault = Fault::new(FaultKind::InternalError, "internal error");
                return Err(self.fail(fault));
            };
            let sent = self.message;
            let request = call::one(
                &self.all.shared,
                named,
                self.caller,
                &message,
                sent,
                started,
            )?;
            return request.answer().await;
        }
        let running = self
            .session
            .as_ref()
            .map(|session| session.begin(&self.client_id()));
        let _running = running.transpose().map_err(|fault| self.fail(fault))?;
        let answered = match routed {
            Routed::List(kind, more) => self.list(kind, more).await,
            Routed::Own if self.method == "subscriptions/listen" && self.era == Era::Modern => {
                let events = self.listen().map_err(|fault| self.fail(fault))?;
                return Ok(Answer::Stream(events));
            }
            Routed::Own => self.own().await,
            Routed::Refused | Routed::One(_) => {
                let text = format!(
                    "{} does not say which server it is for, expected it at /{{server_id}}/mcp",
                    self.method
                );
                Err(Fault::new(FaultKind::MethodNotFound, text).delivered(Delivered::No))
            }
        };
        let (message, session) = answered.map_err(|fault| self.fail(fault))?;
        let principal = self.caller.principal.id;
        let message = self.all.shared.memory.track(principal, message.into());
        let message = message.map_err(|exhausted| exhausted.fault(Delivered::Unknown));
        Ok(Answer::Reply(Reply {
            message: message.map_err(|fault| self.fail(fault))?,
            session,
            era: self.era,
            error: None,
        }))
    }
}
