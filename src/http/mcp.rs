//! `POST /{server_id}/mcp`: Streamable HTTP for MCP clients of the legacy era.
//!
//! Without sessions and without a stream of its own, both of which the transport leaves to the server
//! (MCP 2025-11-25, basic/transports): `GET` and `DELETE` are 405, a request is answered with one JSON
//! object. A client of both eras that asks in the modern one is told to fall back.
//!
//! What goes wrong with an admitted request is answered in-band, with status 200 and a JSON-RPC error,
//! because clients show that to their users and drop the connection on anything else.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::{self, Problem};
use super::{Edge, ask, rpc};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol;
use crate::protocol::Era;
use crate::protocol::era::{LEGACY_REVISIONS, MODERN_REVISION};
use crate::protocol::message::string;
use crate::relay::{Answer, Caller, Door, Failure, Target};
use crate::types::ServerId;

/// The revision that a client says it speaks.
const VERSION_HEADER: &str = "mcp-protocol-version";

/// Takes one message.
pub(super) async fn post(
    State(edge): State<Arc<Edge>>,
    path: ask::PathServer,
    request: Request,
) -> Result<Response, Problem> {
    let server = path.server()?;
    let version = check_version(request.headers());
    let header = request.headers().get(VERSION_HEADER);
    let header = header.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let (asker, message) = rpc::take(&edge, request).await?;
    // The message is looked at again only where something failed.
    let refuse = |failure: &Failure, message: &Bytes| {
        in_band(&server, failure, &requested(message, header.clone()))
    };
    if let Err(fault) = version {
        return Ok(refuse(
            &Failure {
                fault,
                id: None,
                era: Era::Legacy,
            },
            &message,
        ));
    }
    let caller = Caller {
        door: Door::Mcp,
        // No session was ever given out here: one that a client brings along means nothing.
        session: None,
        ..asker.caller
    };
    let answer = edge
        .relay
        .message(&Target::Server(server.clone()), caller, message.clone())
        .await;
    Ok(match answer {
        Ok(Answer::Reply(reply)) => error::json_bytes(reply.message),
        Ok(Answer::Accepted | Answer::Stream(_)) => rpc::accepted(),
        Err(failure) => refuse(&failure, &message),
    })
}

/// The revision that the message claims, else the one in the header, else the newest: what a refusal
/// of a revision has to repeat (MCP 2026-07-28, basic/index, `UnsupportedProtocolVersion`).
fn requested(message: &Bytes, header: Option<String>) -> String {
    let claim = protocol::scan(message)
        .ok()
        .and_then(|envelope| envelope.params?.meta?.protocol_version)
        .and_then(|span| string(span.of(message)).map(Cow::into_owned));
    claim
        .or(header)
        .unwrap_or_else(|| MODERN_REVISION.to_owned())
}

/// A revision that nobody knows is refused (MCP 2025-11-25, protocol version header); the modern one is
/// left to the message itself, and none means 2025-03-26.
fn check_version(headers: &HeaderMap) -> Result<(), Fault> {
    let known = |value: &str| LEGACY_REVISIONS.contains(&value) || value == MODERN_REVISION;
    let mut values = headers.get_all(VERSION_HEADER).iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(()),
        (Some(Ok(value)), None) if known(value) => Ok(()),
        (Some(_), _) => {
            let text = format!(
                "unknown {VERSION_HEADER}, expected one of {}",
                LEGACY_REVISIONS.join(", ")
            );
            Err(Fault::new(FaultKind::UnsupportedVersion, text).delivered(Delivered::No))
        }
    }
}

/// A failure as a JSON-RPC error; a status of its own where the transport names one, and where there
/// is no id to answer.
fn in_band(server: &ServerId, failure: &Failure, requested: &str) -> Response {
    let Failure { fault, id, era: _ } = failure;
    let status = match fault.kind {
        FaultKind::ServerNotFound
        | FaultKind::SessionNotFound
        | FaultKind::ParseError
        | FaultKind::InvalidRequest
        | FaultKind::UnsupportedVersion => error::status(fault.kind),
        kind if id.is_none() => error::status(kind),
        _ => StatusCode::OK,
    };
    let refused = fault.kind == FaultKind::UnsupportedVersion;
    let error = ErrorResponse {
        jsonrpc: "2.0",
        id: id.as_ref().and_then(|id| serde_json::from_slice(id).ok()),
        error: ErrorObject {
            code: fault.kind.rpc_code(),
            message: &fault.message,
            data: ErrorData {
                origin: "gateway",
                error_code: fault.kind.code(),
                server_id: server,
                delivered: fault.delivered.map(Delivered::as_str),
                retry_after_ms: fault
                    .retry_after
                    .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                supported: refused.then_some(LEGACY_REVISIONS),
                requested: refused.then_some(requested),
            },
        },
    };
    let mut response = error::json(&error);
    *response.status_mut() = status;
    response
}

#[derive(Serialize)]
struct ErrorResponse<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i32,
    message: &'a str,
    data: ErrorData<'a>,
}

/// What the gateway adds, so that its errors can be told from a server's.
#[derive(Serialize)]
struct ErrorData<'a> {
    origin: &'static str,
    error_code: &'static str,
    server_id: &'a ServerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supported: Option<[&'static str; 4]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<&'a str>,
}
