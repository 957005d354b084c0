//! `GET /health`, `GET /ready` and `GET /metrics`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::error::{Problem, json};
use super::{ConfigStatus, Edge, ask};
use crate::fault::{Fault, FaultKind};
use crate::types::{ServerId, wall};

/// `pid` is the process that SIGHUP has reload its config.
#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
    config: ConfigHealth,
    /// For tokens that reach every server, because it tells what others do.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryHealth>,
    servers: Vec<ServerHealth>,
}

/// The memory budget of the process.
#[derive(Serialize)]
struct MemoryHealth {
    held_bytes: usize,
    limit_bytes: usize,
    refusals: u64,
}

/// Which config is in force.
#[derive(Serialize)]
struct ConfigHealth {
    /// Counted from 1, the one that the gateway was started with.
    generation: u64,
    /// RFC 3339, UTC.
    loaded_at: String,
    /// What is in the file now was refused.
    refused: Option<RefusedHealth>,
    /// Keys of the file that take effect with the next start of the gateway.
    restart_needed: Vec<&'static str>,
}

#[derive(Serialize)]
struct RefusedHealth {
    at: String,
    faults: usize,
    /// Some of the faults; for tokens that reach every server, because a fault may name any.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
}

impl ConfigHealth {
    fn new(status: &ConfigStatus, reaches_all: bool) -> Self {
        let ConfigStatus {
            generation,
            loaded_at,
            refused,
            restart_needed,
        } = status;
        Self {
            generation: *generation,
            loaded_at: wall::rfc3339(*loaded_at),
            refused: refused.as_ref().map(|refused| RefusedHealth {
                at: wall::rfc3339(refused.at),
                faults: refused.faults,
                reasons: reaches_all.then(|| refused.reasons.clone()),
            }),
            restart_needed: restart_needed.clone(),
        }
    }
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

/// `ok` when every server that the token reaches is ready, or asleep because nobody has asked for it; else `degraded`.
fn word(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "degraded" }
}

/// The state of the gateway, and in short of every server that the token reaches. Answers 200 as long
/// as the gateway itself lives: one bad server is no reason to restart it.
///
/// `degraded` also while the config file holds what a reload has refused: a start would refuse it, too.
pub(super) async fn health(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    let servers = edge
        .relay
        .overview(&principal)
        .iter()
        .map(|server| {
            let status = server.status();
            ServerHealth {
                server_id: server.config.supervisor.id.clone(),
                status: status.state.as_str(),
                restart_count: status.restart_count,
                last_error: status.last_error,
            }
        })
        .collect();
    let config = edge.guard.rulebook.status();
    let reaches_all = principal.servers.is_none();
    let memory = edge.relay.memory();
    Ok(json(&Health {
        status: word(edge.relay.is_healthy(&principal) && config.refused.is_none()),
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: edge.started.elapsed().as_secs(),
        config: ConfigHealth::new(&config, reaches_all),
        memory: reaches_all.then(|| MemoryHealth {
            held_bytes: memory.held(),
            limit_bytes: memory.limit(),
            refusals: memory.refusals(),
        }),
        servers,
    }))
}

/// Whether the servers that the token reaches are as they should be as a status, for probes: 200 or 503. A refused
/// config takes nothing away from who is served, so it does not count here.
pub(super) async fn ready(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    let healthy = edge.relay.is_healthy(&principal);
    let mut response = json(&Ready {
        status: word(healthy),
    });
    if !healthy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
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
