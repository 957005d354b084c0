//! The operator's verbs: `POST /servers/{id}/start`, `stop` and `restart`.
//!
//! Without `?wait` the order is taken and answered with 202; with it the answer comes when it is
//! carried out, with 200, or says why it cannot be. A stop lets the requests under way be answered first, within
//! `drain_ms`, and with `?now` it does not. A body is not read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::Edge;
use super::ask::{self, PathServer};
use super::error::{Problem, json};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::relay::OperatorOrder;
use crate::supervisor::{Pace, ServerHandle, Status};
use crate::types::ServerId;

#[derive(Clone, Copy, Debug)]
enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

#[derive(Serialize)]
struct Done<'a> {
    server_id: &'a ServerId,
    status: &'static str,
}

/// Starts a server, also one that was given up.
pub(super) async fn start(
    State(edge): State<Arc<Edge>>,
    path: PathServer,
    request: Request,
) -> Result<Response, Problem> {
    carry_out(&edge, Verb::Start, &path, request).await
}

/// Stops a server and keeps it stopped.
pub(super) async fn stop(
    State(edge): State<Arc<Edge>>,
    path: PathServer,
    request: Request,
) -> Result<Response, Problem> {
    carry_out(&edge, Verb::Stop, &path, request).await
}

/// Stops a server and starts it anew.
pub(super) async fn restart(
    State(edge): State<Arc<Edge>>,
    path: PathServer,
    request: Request,
) -> Result<Response, Problem> {
    carry_out(&edge, Verb::Restart, &path, request).await
}

fn refused_for_disabled(verb: Verb) -> Fault {
    let text = format!(
        "{} does nothing: the server has \"disabled\": true in the config; remove that and reload",
        verb.as_str()
    );
    Fault::new(FaultKind::ServerDisabled, text).delivered(Delivered::No)
}

/// Carries an order out and logs what became of it: also one that is refused, because its operator may wonder later.
async fn carry_out(
    edge: &Edge,
    verb: Verb,
    path: &PathServer,
    request: Request,
) -> Result<Response, Problem> {
    let let_in = ask::let_in(request.extensions())?;
    let (name, peer) = (Arc::clone(&let_in.principal.name), let_in.peer.ip());
    let done = order(edge, verb, path, request).await;
    if let Err(problem) = &done {
        // What cannot be an id is text of a stranger's.
        let server = path.server().ok();
        edge.guard.order_refused(peer, || {
            let (verb, server) = (verb.as_str(), server.as_ref().map(tracing::field::display));
            let (code, reason) = (problem.fault().kind.code(), &*problem.fault().message);
            tracing::info!(server_id = server, verb, principal = %name, code, reason, "{verb} ordered by {name} was not carried out: {reason}");
        });
    }
    done
}

async fn order(
    edge: &Edge,
    verb: Verb,
    path: &PathServer,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    // The right first: without it, a token cannot even ask which servers exist here.
    ask::require_admin(&principal)?;
    let server = path.server()?;
    let of_server = |fault| Problem::from(fault).of(&server);
    let disabled = edge.relay.is_disabled(&principal, server.as_str());
    if disabled.map_err(of_server)? {
        return Err(of_server(refused_for_disabled(verb)));
    }
    let query = request.uri().query();
    let wait = ask::switch(query, "wait");
    let pace = if ask::switch(query, "now") {
        Pace::Now
    } else {
        Pace::Drain
    };
    let order = match verb {
        Verb::Start => OperatorOrder::Start,
        Verb::Stop => OperatorOrder::Stop(pace),
        Verb::Restart => OperatorOrder::Restart(pace),
    };
    // The body goes now: it is not `Sync`, and nobody reads it.
    drop(request);
    // Before its effects, and also for a client that hangs up while it waits for them.
    tracing::info!(server_id = %server, verb = verb.as_str(), principal = %principal.name, "operator ordered {} of {server}", verb.as_str());
    let carried_out = edge.relay.operate(&principal, server.as_str(), order, wait);
    let processes = carried_out.await.map_err(of_server)?;
    let statuses: Vec<_> = processes.iter().map(ServerHandle::status).collect();
    let mut response = json(&Done {
        server_id: &server,
        status: Status::of_all(statuses.iter().map(AsRef::as_ref))
            .state
            .as_str(),
    });
    if !wait {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}
