//! The legacy era: sessions, a stream for each request, and one stream for everything else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::{Front, headers, stream};
use crate::peer::{Peer, lock};
use crate::server::{self, LEGACY_VERSIONS};
use crate::wire::Wire;

const SESSION: &str = "mcp-session-id";
/// After how many milliseconds a client comes back to a stream that was closed.
const RETRY_MS: u32 = 100;
/// The tool whose stream is closed while it works, so that its client has to come back.
const CLOSES_ITS_STREAM: &str = "test_reconnection";

/// The open stream for messages that belong to no request; without one they are lost.
type General = Arc<Mutex<Option<Wire>>>;

#[derive(Debug)]
struct Session {
    peer: Arc<Peer>,
    general: General,
    streams: AtomicU64,
    /// Streams that were closed before their response, by number.
    parked: Mutex<HashMap<u64, Receiver<Value>>>,
}

/// Every session by its id.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

impl Sessions {
    /// The session that the headers name: 400 without one, 404 for one that is not there.
    fn find(&self, headers: &HeaderMap) -> Result<Arc<Session>, StatusCode> {
        let id = headers::text(headers, SESSION).ok_or(StatusCode::BAD_REQUEST)?;
        let version = headers::version(headers);
        if version.is_some_and(|version| !LEGACY_VERSIONS.contains(&version)) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let session = lock(&self.0).get(id).map(Arc::clone);
        session.ok_or(StatusCode::NOT_FOUND)
    }
}

/// Takes one message.
pub(super) async fn post(front: &Front, headers: &HeaderMap, message: Value) -> Response {
    let method = message.get("method").and_then(Value::as_str);
    if method == Some("initialize") {
        return initialize(front, message).await;
    }
    let session = match front.sessions.find(headers) {
        Ok(session) => session,
        Err(status) => return status.into_response(),
    };
    let is_request = method.is_some() && message.get("id").is_some();
    let (wire, receiver) = stream::pipe();
    let tool = message.pointer("/params/name").and_then(Value::as_str);
    let parks = method == Some("tools/call") && tool == Some(CLOSES_ITS_STREAM);
    server::handle(&front.server, &session.peer, &wire, message);
    if !is_request {
        return StatusCode::ACCEPTED.into_response();
    }
    let number = session.streams.fetch_add(1, Ordering::SeqCst);
    let opening = format!("id: {number}-0\nretry: {RETRY_MS}\ndata:\n\n");
    if parks {
        lock(&session.parked).insert(number, receiver);
        return stream::events(opening, Some(number), None, ());
    }
    stream::events(opening, Some(number), Some(receiver), ())
}

/// Opens a session, if the server agrees.
async fn initialize(front: &Front, message: Value) -> Response {
    let general = General::default();
    let outlet = Arc::clone(&general);
    let peer = front.server.connect(Wire::new(move |message| {
        let wire = lock(&outlet);
        wire.as_ref().is_some_and(|wire| wire.send(message))
    }));
    let (wire, mut receiver) = stream::pipe();
    server::handle(&front.server, &peer, &wire, message);
    drop(wire);
    let Some(answer) = receiver.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = stream::json(StatusCode::OK, &answer);
    if answer.get("result").is_none() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    }
    let Some((id, value)) = new_id() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    response.headers_mut().insert(SESSION, value);
    let session = Arc::new(Session {
        peer,
        general,
        streams: AtomicU64::new(0),
        parked: Mutex::default(),
    });
    lock(&front.sessions.0).insert(id, session);
    response
}

/// An id that nobody can guess, and the header that carries it.
fn new_id() -> Option<(String, HeaderValue)> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    let id = hex::encode(bytes);
    let value = HeaderValue::from_str(&id).ok()?;
    Some((id, value))
}

/// Opens the general stream, or goes on with a stream that was closed.
pub(super) fn get(front: &Front, headers: &HeaderMap) -> Response {
    if !headers.contains_key(SESSION) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let session = match front.sessions.find(headers) {
        Ok(session) => session,
        Err(status) => return status.into_response(),
    };
    let Some(last) = headers::text(headers, "last-event-id") else {
        let (wire, receiver) = stream::pipe();
        *lock(&session.general) = Some(wire);
        return stream::events(": open\n\n".to_owned(), None, Some(receiver), ());
    };
    let number = last
        .split_once('-')
        .and_then(|(number, _)| number.parse().ok());
    let parked = number.and_then(|number| lock(&session.parked).remove(&number));
    match parked {
        Some(receiver) => stream::events(": resumed\n\n".to_owned(), number, Some(receiver), ()),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// Ends a session.
pub(super) fn delete(front: &Front, headers: &HeaderMap) -> Response {
    if !headers.contains_key(SESSION) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if let Err(status) = front.sessions.find(headers) {
        return status.into_response();
    }
    if let Some(id) = headers::text(headers, SESSION) {
        lock(&front.sessions.0).remove(id);
    }
    StatusCode::NO_CONTENT.into_response()
}
