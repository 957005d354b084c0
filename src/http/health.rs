//! `GET /health`, `GET /ready` and `GET /metrics`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::error::{Problem, json};
use super::{Edge, ask};
use crate::fault::{Fault, FaultKind};
use crate::types::ServerId;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    servers: Vec<ServerHealth>,
}

#[derive(Serialize)]
struct ServerHealth {
    server_id: ServerId,
    status: &'static str,
    restart_count: u64,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
}

/// `ok` when every server is ready, or asleep because nobody has asked for it; else `degraded`.
fn word(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "degraded" }
}

/// The state of the gateway, and in short of every server that the token reaches. Answers 200 as long
/// as the gateway itself lives: one bad server is no reason to restart it.
pub(super) async fn health(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    let servers = edge
        .relay
        .overview(&principal)
        .map(|server| {
            let status = server.status();
            ServerHealth {
                server_id: server.config.id.clone(),
                status: status.state.as_str(),
                restart_count: status.restart_count,
                last_error: status.last_error,
            }
        })
        .collect();
    Ok(json(&Health {
        status: word(edge.relay.is_healthy()),
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: edge.started.elapsed().as_secs(),
        servers,
    }))
}

/// The same rule as a status, for probes: 200 or 503.
pub(super) async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let healthy = edge.relay.is_healthy();
    let mut response = json(&Ready {
        status: word(healthy),
    });
    if !healthy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Prometheus text.
///
/// It names every server, so a token that reaches only some of them is refused.
pub(super) async fn metrics(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    if principal.servers.is_some() {
        let message = "metrics name every server, and the token reaches only some";
        return Err(Fault::new(FaultKind::AuthDenied, message).into());
    }
    let mut response = Response::new(Body::from((edge.metrics)()));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    Ok(response)
}
