//! `GET /{server_id}/rpc`: the notifications of a server for one new session.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use http::HeaderValue;

use super::ask::{self, PathServer, SESSION_HEADER};
use super::error::Problem;
use super::negotiate::{Offer, require_accept};
use super::{Edge, sse};
use crate::fault::{Fault, FaultKind};

/// Opens the stream; it ends when the client goes, or when the relay ends it.
///
/// An event is one plain `data:` line with one JSON-RPC message, without a name or an id: there is
/// nothing else on this stream, and it cannot be resumed.
pub(super) async fn events(
    State(edge): State<Arc<Edge>>,
    path: PathServer,
    request: Request,
) -> Result<Response, Problem> {
    let server = path.server()?;
    require_accept(request.headers(), Offer::EventStream)?;
    let let_in = ask::let_in(request.extensions())?;
    let place = sse::Place::take(&edge.guard, let_in)?;
    let stream = edge
        .relay
        .open_stream(&server, &let_in.principal)
        .map_err(|fault| Problem::from(fault).of(&server))?;
    let session = HeaderValue::from_str(stream.session_id()).map_err(|error| {
        tracing::error!(%error, "session id is no header value: {error}");
        Fault::new(FaultKind::InternalError, "internal error")
    })?;
    let frames = stream.flat_map(|message| stream::iter(sse::event_pieces([], message)));
    let mut response = sse::response(frames, place);
    response
        .headers_mut()
        .insert(SESSION_HEADER.clone(), session);
    Ok(response)
}
