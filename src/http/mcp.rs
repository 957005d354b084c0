//! `/{server_id}/mcp` and `/mcp`: Streamable HTTP for MCP clients of both eras.
//!
//! | | legacy (2025-11-25, basic/transports) | modern (2026-07-28, basic/transports/streamable-http) |
//! | --- | --- | --- |
//! | `POST` | one message, or a batch of 2025-03-26 | one message |
//! | `GET` | the stream of a session, or the rest of one that broke off | 405 |
//! | `DELETE` | ends a session | 405 |
//!
//! The era of a message is told by its own claim, which the relay reads; the one of a request without
//! a body by its version header. A client that goes away drops the future or the stream here, and the
//! relay knows what that means. A stream that answers a `POST` is one of its token's requests until
//! the last byte, that of a `GET` is one of its event streams.

mod batch;
mod form;
mod headers;
mod refused;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::ask::{self, Asker, PathTarget, SESSION_HEADER};
use super::gate::LetIn;
use super::negotiate::{Offer, Takes, require_accept, require_json_body};
use super::sse::{self, Place};
use super::{Edge, body, rpc};
use crate::fault::{Fault, FaultKind};
use crate::protocol::Era;
use crate::relay::{Answer, Caller, Door, Event, Events, Failure, Reply, Target};
use batch::Outcome;
use refused::Refused;

/// Takes one message, or a batch.
pub(super) async fn message(
    State(edge): State<Arc<Edge>>,
    path: PathTarget,
    request: Request,
) -> Result<Response, Refused> {
    let let_in = ask::let_in(request.extensions())?.clone();
    to(&edge, &path.target()?, let_in, request).await
}

/// Takes one message, or a batch, to a server or to all.
pub(super) async fn to(
    edge: &Arc<Edge>,
    target: &Target,
    let_in: LetIn,
    request: Request,
) -> Result<Response, Refused> {
    let answered = take(edge, target, let_in, request).await;
    answered.map_err(|refused| refused.at(target))
}

async fn take(
    edge: &Arc<Edge>,
    target: &Target,
    let_in: LetIn,
    request: Request,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    require_json_body(&parts.headers)?;
    let takes = Takes::of(&parts.headers)?;
    let place = Place::of_request(&let_in);
    let asker = Asker::of(let_in, &parts.headers)?;
    let caller = Caller {
        door: Door::Mcp,
        headers: headers::routing(&parts.headers),
        streams: takes.events,
        prefers_stream: takes.events_first,
        ..asker.caller
    };
    let (memory, principal) = (edge.relay.memory(), caller.principal.id);
    let message = body::read(body, edge.body_limits(), memory, principal, &asker.mark).await?;
    let header = caller.headers.version.once().cloned();
    let refuse = |failure: Failure| {
        Refused::from(failure)
            .about(&message, header.as_deref())
            .in_form(takes.single())
    };
    // A message that claims a revision is held against the header by the relay.
    if let Err(fault) = headers::version(&parts.headers)
        && headers::claim(&message).is_none()
    {
        return Err(refuse(refused::unread(fault)));
    }
    if batch::is_array(&message) && edge.relay.revision_of(target, &caller) == Some(batch::REVISION)
    {
        let members = batch::split(&message).map_err(|fault| refuse(refused::unread(fault)))?;
        let outcome = batch::run(edge, target, &caller, members).await;
        return Ok(match outcome {
            Outcome::Responses(responses) => form::responses(responses, takes.single()),
            Outcome::Accepted => rpc::accepted(),
            Outcome::Refused(failure) => return Err(refuse(failure)),
            Outcome::Stream(events) => response_stream(edge, events, place),
        });
    }
    match edge.relay.message(target, caller, message.clone()).await {
        Ok(Answer::Reply(reply)) => Ok(replied(reply, takes.single())?),
        Ok(Answer::Accepted) => Ok(rpc::accepted()),
        Ok(Answer::Stream(events)) => Ok(streamed(edge, events, place)?),
        Err(failure) => Err(refuse(failure)),
    }
}

/// The response to one request, with the session that it has opened.
fn replied(reply: Reply, form: Offer) -> Result<Response, Fault> {
    let Reply {
        message,
        session,
        era,
        error,
    } = reply;
    let mut response = form::one(message, refused::status_of_reply(era, error), form);
    if let Some(session) = session.filter(|_| era == Era::Legacy) {
        tell_session(&mut response, &session)?;
    }
    Ok(response)
}

fn tell_session(response: &mut Response, session: &str) -> Result<(), Fault> {
    let session = HeaderValue::from_str(session).map_err(|error| {
        tracing::error!(%error, "session id is no header value: {error}");
        Fault::new(FaultKind::InternalError, "internal error")
    })?;
    response
        .headers_mut()
        .insert(SESSION_HEADER.clone(), session);
    Ok(())
}

/// The stream that answers one request, with the session that it opens.
fn streamed(edge: &Edge, events: Events, place: Place) -> Result<Response, Fault> {
    let session = events.session().cloned();
    let mut response = response_stream(edge, events, place);
    if let Some(session) = session {
        tell_session(&mut response, &session)?;
    }
    Ok(response)
}

/// Opens the stream of a session, or the rest of one that broke off.
pub(super) async fn stream(
    State(edge): State<Arc<Edge>>,
    path: PathTarget,
    request: Request,
) -> Result<Response, Refused> {
    let target = path.target()?;
    let (parts, _no_body) = request.into_parts();
    let opened = || -> Result<Response, Fault> {
        edge.require_reachable(&target, &parts)?;
        headers::require_legacy(&parts.headers)?;
        require_accept(&parts.headers, Offer::EventStream)?;
        let caller = in_session(&parts)?;
        let last_event = headers::last_event(&parts.headers)?;
        let place = Place::take(&edge.guard, ask::let_in(&parts.extensions)?)?;
        let events = edge.relay.resume(&target, &caller, last_event.as_deref())?;
        Ok(event_stream(events, place))
    };
    opened().map_err(|fault| refuse_bodiless(fault, &target, &parts))
}

/// Ends a session.
pub(super) async fn end(
    State(edge): State<Arc<Edge>>,
    path: PathTarget,
    request: Request,
) -> Result<Response, Refused> {
    let target = path.target()?;
    let (parts, _no_body) = request.into_parts();
    let ended = || -> Result<Response, Fault> {
        edge.require_reachable(&target, &parts)?;
        headers::require_legacy(&parts.headers)?;
        edge.relay.end_session(&target, &in_session(&parts)?)?;
        Ok((StatusCode::NO_CONTENT, Body::empty()).into_response())
    };
    ended().map_err(|fault| refuse_bodiless(fault, &target, &parts))
}

impl Edge {
    /// Refuses a request for a server that is not there or out of reach, whatever else is wrong with it.
    fn require_reachable(&self, target: &Target, parts: &Parts) -> Result<(), Fault> {
        let Target::Server(server) = target else {
            return Ok(());
        };
        let principal = ask::principal(&parts.extensions)?;
        self.relay.require_reachable(&principal, server)
    }
}

/// The caller of a request that has a meaning in a session only.
fn in_session(parts: &Parts) -> Result<Caller, Fault> {
    let let_in = ask::let_in(&parts.extensions)?.clone();
    let caller = Asker::of(let_in, &parts.headers)?.caller;
    if caller.session.is_none() {
        let message = "missing mcp-session-id, expected the one that initialize was answered with";
        return Err(Fault::new(FaultKind::InvalidRequest, message));
    }
    Ok(Caller {
        door: Door::Mcp,
        streams: true,
        ..caller
    })
}

fn refuse_bodiless(fault: Fault, target: &Target, parts: &Parts) -> Refused {
    let header = parts.headers.get(headers::VERSION);
    Refused::from(fault)
        .about(&Bytes::new(), header.map(HeaderValue::as_bytes))
        .at(target)
}

/// The stream that answers a `POST`: its client waits for it, so it is never silent for long.
fn response_stream(
    edge: &Edge,
    events: impl Stream<Item = Event> + Send + 'static,
    place: Place,
) -> Response {
    sse::kept_alive(frames(events), place, edge.relay.silence())
}

fn event_stream(events: impl Stream<Item = Event> + Send + 'static, place: Place) -> Response {
    sse::response(frames(events), place)
}

fn frames(events: impl Stream<Item = Event> + Send + 'static) -> impl Stream<Item = Bytes> + Send {
    events.flat_map(|event| stream::iter(form::frames(event)))
}
