//! The way of one message from a client: read, rewritten, submitted, answered.

mod frame;
mod own;
mod progress;
mod seen;

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::Span as TraceSpan;

use progress::ProgressToSession;

use super::queue::Queue;
use super::sessions::Sessions;
use super::{Answer, Caller, Failure, Reply, Upstream};
use crate::audit;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::{Operation, Outcome};
use crate::protocol::message::{Ending, InvalidMessage};
use crate::protocol::splice::{Edit, into_frame, splice};
use crate::protocol::{ClientMessage, Envelope, Era, ScanError, Span, scan};
use crate::spans::{self, Call};
use crate::supervisor::{self, Handshake, Mux, Observer, Origin, Submission};

/// One message that was read.
struct Message {
    body: Bytes,
    envelope: Envelope,
}

/// The session that a message was sent in.
struct InSession {
    id: Arc<str>,
    queue: Arc<Queue>,
}

pub(super) async fn message(
    upstream: &Upstream,
    sessions: &Sessions,
    caller: Caller,
    body: Bytes,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let message = Message::read(body).map_err(|fault| Failure {
        fault,
        id: None,
        era: Era::Legacy,
    })?;
    let Message { body, envelope } = &message;
    let id = envelope.id.map(|span| body.slice(span.start..span.end));
    let fail = |fault: Fault| Failure {
        fault,
        id: id.clone(),
        era: Era::Legacy,
    };
    let read = ClientMessage::read(envelope, body).map_err(|error| Failure {
        fault: invalid(&error),
        id: None,
        era: Era::Legacy,
    })?;
    let session = find_session(upstream, sessions, &caller).map_err(fail)?;
    match read {
        ClientMessage::Request { id: span, method } => {
            let request = Request {
                upstream,
                sessions,
                caller: &caller,
                session,
                message: &message,
                id: span,
                method: &method,
            };
            let message = request.run(started).await.map_err(fail)?;
            Ok(Answer::Reply(Reply {
                message,
                session: None,
                era: Era::Legacy,
                error: None,
            }))
        }
        ClientMessage::Notification { method } => {
            notification(upstream, &caller, session, &message, &method)
                .map(|()| Answer::Accepted)
                .map_err(fail)
        }
        ClientMessage::Response { .. } => {
            let text = "no request of the server's waits for this response";
            Err(fail(
                Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No),
            ))
        }
    }
}

impl Message {
    fn read(body: Bytes) -> Result<Self, Fault> {
        // RFC 8259 lets a reader ignore a byte order mark; it is never passed on.
        let body = if body.starts_with(b"\xEF\xBB\xBF") {
            body.slice(3..)
        } else {
            body
        };
        let start = body
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let end = body
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        if start == body.len() {
            return Err(Fault::new(
                FaultKind::ParseError,
                "the body is empty, expected one JSON-RPC message",
            ));
        }
        let body = body.slice(start..body.len() - end);
        let envelope = scan(&body).map_err(|error| invalid(&InvalidMessage::Scan(error)))?;
        Ok(Self { body, envelope })
    }
}

fn invalid(error: &InvalidMessage) -> Fault {
    let kind = match error {
        InvalidMessage::Scan(
            ScanError::NotUtf8 { .. } | ScanError::Syntax { .. } | ScanError::TooDeep,
        ) => FaultKind::ParseError,
        InvalidMessage::Scan(ScanError::NotAnObject { .. } | ScanError::Duplicate(_))
        | InvalidMessage::Member { .. }
        | InvalidMessage::Shape => FaultKind::InvalidRequest,
    };
    Fault::new(kind, format!("not a JSON-RPC 2.0 message: {error}"))
}

fn find_session(
    upstream: &Upstream,
    sessions: &Sessions,
    caller: &Caller,
) -> Result<Option<InSession>, Fault> {
    let Some(id) = &caller.session else {
        return Ok(None);
    };
    match sessions.find(id, caller.principal.id, upstream.handle.id()) {
        Some((id, queue)) => Ok(Some(InSession { id, queue })),
        None => {
            Err(Fault::new(FaultKind::SessionNotFound, "unknown session").delivered(Delivered::No))
        }
    }
}

fn notification(
    upstream: &Upstream,
    caller: &Caller,
    session: Option<InSession>,
    message: &Message,
    method: &str,
) -> Result<(), Fault> {
    let Message { body, envelope } = message;
    match method {
        // The gateway did the handshake; what one client's roots are is of no use to a shared child.
        "notifications/initialized"
        | "notifications/roots/list_changed"
        | "notifications/progress" => Ok(()),
        "notifications/cancelled" => {
            #[derive(Deserialize)]
            struct Params {
                reason: Option<String>,
            }
            let Some(params) = envelope.params else {
                return Ok(());
            };
            let Some(request) = params.request_id else {
                return Ok(());
            };
            let reason = serde_json::from_slice(params.span.of(body))
                .ok()
                .and_then(|params: Params| params.reason);
            let origin = Origin {
                principal: caller.principal.id,
                session: session.map(|session| session.id),
                client_id: body.slice(request.start..request.end),
            };
            if !upstream.handle.mux().cancel(&origin, reason.as_deref()) {
                tracing::debug!(server_id = %upstream.handle.id(), "ignored a cancellation of nothing that is under way, or of several requests");
            }
            Ok(())
        }
        _ => upstream
            .handle
            .mux()
            .notify(into_frame(body.to_vec()).into()),
    }
}

/// One request on its way.
struct Request<'a> {
    upstream: &'a Upstream,
    sessions: &'a Sessions,
    caller: &'a Caller,
    session: Option<InSession>,
    message: &'a Message,
    id: Span,
    method: &'a str,
}

impl Request<'_> {
    async fn run(self, started: Instant) -> Result<Bytes, Fault> {
        let span = self.server_span();
        let answered = self.answer(&span).await;
        let outcome = match &answered {
            Ok((_, outcome)) => *outcome,
            Err(fault) => Outcome::Fault(fault.kind),
        };
        spans::finish(&span, outcome);
        self.upstream.instruments.server_operation(&Operation {
            method: self.method,
            revision: None,
            outcome,
            duration: started.elapsed(),
        });
        audit::log(&audit::Entry {
            principal: &self.caller.principal,
            call: &self.call(),
            outcome,
            duration: started.elapsed(),
            bytes_in: self.message.body.len(),
            bytes_out: answered.as_ref().map_or(0, |(bytes, _)| bytes.len()),
        });
        answered.map(|(bytes, _)| bytes)
    }

    fn client_id(&self) -> &[u8] {
        self.id.of(&self.message.body)
    }

    /// Sends the request to the child under an id of ours and gives its answer under the client's.
    async fn ask_child(
        &self,
        handshake: &Handshake,
        parent: &TraceSpan,
    ) -> Result<(Bytes, Outcome), Fault> {
        let written = Instant::now();
        let (handle, mux) = (&self.upstream.handle, self.upstream.handle.mux());
        let id = mux.mint();
        let minted = id.to_string();
        let span = spans::client(
            &Call {
                id: Some(&minted),
                revision: Some(&handshake.revision),
                ..self.call()
            },
            parent,
        );
        let frame = self.frame(&minted, handshake, &span)?;
        self.upstream.hub.used_by(self.caller.principal.id);
        let receiver = mux.submit(id, frame.into(), self.submission())?;
        let mut abandon = Abandon {
            mux,
            id,
            armed: self.is_modern(),
        };
        let outcome: supervisor::Outcome = receiver.await.unwrap_or_else(|_closed| {
            tracing::error!(server_id = %handle.id(), "a request left the table without an outcome");
            Err(Fault::new(FaultKind::InternalError, "internal error"))
        });
        abandon.armed = false;
        let ended = match &outcome {
            Ok(answer) => match answer.ending {
                Ending::Result | Ending::InputRequired => Outcome::Ok,
                Ending::ToolError => Outcome::ToolError,
                Ending::Error(error) => Outcome::Error(error_code(error.of(&answer.line))),
            },
            Err(fault) => Outcome::Fault(fault.kind),
        };
        spans::finish(&span, ended);
        self.upstream.instruments.client_operation(&Operation {
            method: self.method,
            revision: Some(&handshake.revision),
            outcome: ended,
            duration: written.elapsed(),
        });
        let answer = outcome?;
        let own = splice(
            &answer.line,
            &mut [Edit {
                span: answer.id,
                with: self.client_id(),
            }],
        );
        Ok((own.into(), ended))
    }

    fn submission(&self) -> Submission {
        let body = &self.message.body;
        let token = self.meta().and_then(|meta| meta.progress_token);
        let observer = self.session.as_ref().zip(token).map(|(session, token)| {
            let heard: Arc<dyn Observer> = Arc::new(ProgressToSession {
                token: body.slice(token.start..token.end),
                queue: Arc::clone(&session.queue),
                instruments: self.upstream.instruments.clone(),
            });
            heard
        });
        let origin = Origin {
            principal: self.caller.principal.id,
            session: self.session.as_ref().map(|session| Arc::clone(&session.id)),
            client_id: body.slice(self.id.start..self.id.end),
        };
        Submission {
            origin: Some(origin),
            observer,
            timeout: None,
            standing: false,
        }
    }

    fn meta(&self) -> Option<crate::protocol::Meta> {
        self.message.envelope.params.and_then(|params| params.meta)
    }

    /// The request makes the claims of the modern era, in which a client that goes away cancels.
    fn is_modern(&self) -> bool {
        self.meta()
            .is_some_and(|meta| meta.protocol_version.is_some())
    }
}

/// Cancels a request whose future was dropped, where the client's revision takes that for a cancellation.
struct Abandon<'a> {
    mux: &'a Mux,
    id: u64,
    armed: bool,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.mux.abandon(self.id);
        }
    }
}

fn error_code(error: &[u8]) -> i64 {
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    serde_json::from_slice(error).map_or(0, |error: Code| error.code)
}
