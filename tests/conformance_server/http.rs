//! The HTTP front: Streamable HTTP of both eras around the same server, for a baseline without a gateway.
//!
//! Only what the conformance suite looks at, but that rightly: sessions, streams, priming events and
//! resumption of one kind of call in the legacy era; headers, statuses and streams in the modern one.

mod headers;
mod legacy;
mod modern;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::Method;
use serde_json::Value;

use crate::server::{CLAIM, Era, MODERN_VERSION, Server};
use crate::wire::{INVALID_REQUEST, Refusal};
use legacy::Sessions;

/// JSON that is none (JSON-RPC 2.0).
const PARSE_ERROR: i64 = -32700;

#[derive(Debug)]
struct Front {
    server: Arc<Server>,
    sessions: Sessions,
}

/// Serves until the process ends.
pub(crate) fn serve(server: Arc<Server>, port: u16) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let front = Arc::new(Front {
        server,
        sessions: Sessions::default(),
    });
    let router = Router::new().route("/mcp", any(entry)).with_state(front);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        crate::wire::complain(&format!("listening on http://{address}/mcp"));
        axum::serve(listener, router).await
    })
}

async fn entry(
    State(front): State<Arc<Front>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !headers::are_local(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    match method {
        Method::POST => post(&front, &headers, &body).await,
        Method::GET => legacy::get(&front, &headers),
        Method::DELETE => legacy::delete(&front, &headers),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn post(front: &Front, headers: &HeaderMap, body: &[u8]) -> Response {
    let message: Value = match serde_json::from_slice(body) {
        Ok(message @ Value::Object(_)) => message,
        Ok(_) => {
            return refused(
                &Value::Null,
                &Refusal::new(INVALID_REQUEST, "not one message"),
            );
        }
        Err(_) => return refused(&Value::Null, &Refusal::new(PARSE_ERROR, "not JSON")),
    };
    let claims = message
        .pointer("/params/_meta")
        .is_some_and(|meta| meta.get(CLAIM).is_some());
    let modern = match front.server.era {
        Era::Legacy => false,
        Era::Modern => true,
        Era::Dual => claims || headers::version(headers) == Some(MODERN_VERSION),
    };
    if modern {
        modern::post(front, headers, message).await
    } else {
        legacy::post(front, headers, message).await
    }
}

/// An error that is no answer of the server: status 400.
fn refused(id: &Value, refusal: &Refusal) -> Response {
    stream::json(StatusCode::BAD_REQUEST, &refusal.response(id))
}
