//! The modern era: every POST stands alone.

use std::sync::{Arc, Weak};

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::{Front, headers, refused, stream};
use crate::peer::Peer;
use crate::server::{self, CLAIM};
use crate::wire::{INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_CAPABILITY, Refusal};

/// Answers with one JSON object if the first message is the response, and with events otherwise.
pub(super) async fn post(front: &Front, headers: &HeaderMap, message: Value) -> Response {
    let Some(id) = message.get("id").cloned() else {
        return StatusCode::ACCEPTED.into_response();
    };
    if let Err(refusal) = check(headers, &message) {
        return refused(&id, &refusal);
    }
    let (wire, mut receiver) = stream::pipe();
    let peer = front.server.connect(wire.clone());
    let open = Open {
        peer: Arc::downgrade(&peer),
        id: id.clone(),
    };
    server::handle(&front.server, &peer, &wire, message);
    drop((peer, wire));
    let Some(first) = receiver.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if stream::is_response(&first) {
        return stream::json(status(&first), &first);
    }
    let opening = format!("event: message\ndata: {first}\n\n");
    stream::events(opening, None, Some(receiver), open)
}

/// A response on its way. A client that closes it has cancelled the request (MCP 2026-07-28, cancellation).
struct Open {
    peer: Weak<Peer>,
    id: Value,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Only a call that still runs holds its peer.
        if let Some(peer) = self.peer.upgrade() {
            peer.cancel(&self.id);
        }
    }
}

/// The claim first, because the headers are compared with it.
fn check(headers: &HeaderMap, message: &Value) -> Result<(), Refusal> {
    let params = message.get("params").unwrap_or(&Value::Null);
    let claim = params.get("_meta").and_then(|meta| meta.get(CLAIM));
    if !claim.is_some_and(Value::is_string) {
        return Err(Refusal::new(INVALID_PARAMS, format!("_meta lacks {CLAIM}")));
    }
    headers::agree(headers, message)?;
    let method = message.get("method").and_then(Value::as_str);
    server::admit_modern(method.unwrap_or_default(), params)
}

fn status(response: &Value) -> StatusCode {
    match response.pointer("/error/code").and_then(Value::as_i64) {
        Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(MISSING_CAPABILITY) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}
