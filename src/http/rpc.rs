//! One JSON-RPC message in, its answer out: `POST /{server_id}/rpc` and `POST /rpc`.
//!
//! The bytes of message and answer are the client's and the server's own; the relay looks at them,
//! this floor does not.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;

use super::ask::{self, Asker};
use super::error::{self, Problem};
use super::gate::LetIn;
use super::negotiate::{Offer, require_accept, require_json_body};
use super::{Edge, body, wrapper};
use crate::fault::{Fault, FaultKind};
use crate::protocol::{self, ClientMessage};
use crate::relay::{Answer, Reply, Target};
use crate::types::ServerId;

/// `POST /{server_id}/rpc`: the body is the message, the response's body is the answer.
pub(super) async fn plain(
    State(edge): State<Arc<Edge>>,
    path: ask::PathServer,
    request: Request,
) -> Result<Response, Problem> {
    let let_in = ask::let_in(request.extensions())?.clone();
    to(&edge, &path.server()?, let_in, request).await
}

/// Takes a message to a server.
pub(super) async fn to(
    edge: &Edge,
    server: &ServerId,
    let_in: LetIn,
    request: Request,
) -> Result<Response, Problem> {
    let (asker, message) = take(edge, let_in, request).await?;
    let answer = relay(edge, server, asker, message).await?;
    Ok(answer.map_or_else(accepted, |reply| error::json_bytes(reply.message)))
}

/// `POST /rpc`: server and message in a wrapper, and so the answer.
pub(super) async fn wrapped(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let let_in = ask::let_in(request.extensions())?.clone();
    let (asker, text) = take(&edge, let_in, request).await?;
    let wrapper::Wrapped { server_id, payload } = wrapper::open(&text)?;
    let server = ask::server_id(&server_id)?;
    let answer = relay(&edge, &server, asker, payload).await?;
    Ok(answer.map_or_else(accepted, |reply| {
        error::json_body(wrapper::close(&server, reply.message))
    }))
}

/// Checks the headers, then reads the body.
async fn take(edge: &Edge, let_in: LetIn, request: Request) -> Result<(Asker, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    require_json_body(&parts.headers)?;
    require_accept(&parts.headers, Offer::Json)?;
    let asker = Asker::of(let_in, &parts.headers)?;
    let (memory, principal) = (edge.relay.memory(), asker.caller.principal.id);
    let text = body::read(body, edge.body_limits(), memory, principal, &asker.mark).await?;
    Ok((asker, text))
}

async fn relay(
    edge: &Edge,
    server: &ServerId,
    asker: Asker,
    message: Bytes,
) -> Result<Option<Reply>, Problem> {
    let target = Target::Server(server.clone());
    let answer = edge
        .relay
        .message(&target, asker.caller, message.clone())
        .await
        .map_err(|mut failure| {
            // What fails before the message is read, such as an unknown server, still names the request.
            failure.id = failure.id.or_else(|| request_id(&message));
            Problem::from(failure).of(server)
        })?;
    match answer {
        Answer::Reply(reply) => Ok(Some(reply)),
        Answer::Accepted => Ok(None),
        Answer::Stream(_) => {
            tracing::error!(server_id = %server, "an answer without a stream was to be one");
            Err(Fault::new(FaultKind::InternalError, "internal error").into())
        }
    }
}

/// The id of a message that is a request.
pub(super) fn request_id(message: &Bytes) -> Option<Bytes> {
    let envelope = protocol::scan(message).ok()?;
    match ClientMessage::read(&envelope, message).ok()? {
        ClientMessage::Request { id, method: _ } => Some(message.slice_ref(id.of(message))),
        ClientMessage::Notification { .. } | ClientMessage::Response { .. } => None,
    }
}

/// A notification or a response has no answer, not even an empty object.
pub(super) fn accepted() -> Response {
    (StatusCode::ACCEPTED, Body::empty()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_request_is_found_and_of_nothing_else() {
        for (message, id) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#, Some("1")),
            (
                r#"{"id" : "a" ,"method":"m","jsonrpc":"2.0"}"#,
                Some(r#""a""#),
            ),
            (r#"{"jsonrpc":"2.0","method":"m"}"#, None),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, None),
            ("{", None),
        ] {
            let found = request_id(&Bytes::from_static(message.as_bytes()));
            assert_eq!(found, id.map(Bytes::from), "{message}");
        }
    }
}
