//! `GET /servers`: everything that an operator may know of each server.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::error::{Problem, json};
use super::{Edge, ask};
use crate::supervisor::{self, Exit, Launch, ServerHandle, Status};
use crate::types::{ServerId, wall};

/// Lines of stderr in a listing; `/servers/{id}/logs` has them all.
const TAIL_LINES: usize = 20;

#[derive(Serialize)]
struct Servers {
    servers: Vec<View>,
}

/// One server; members keep this order, and those that are unknown are `null`.
#[derive(Debug, Serialize)]
struct View {
    server_id: ServerId,
    status: &'static str,
    pid: Option<u32>,
    restart_count: u64,
    last_exit_code: Option<i32>,
    last_exit_at: Option<String>,
    session_id: Option<String>,
    autostart: bool,
    restart_policy: &'static str,
    /// Without its arguments, which may hold secrets.
    command: String,
    /// Empty where the server runs in the gateway's own directory.
    working_directory: String,
    incarnation: u64,
    uptime_seconds: Option<u64>,
    next_start_in_ms: Option<u64>,
    last_exit_signal: Option<String>,
    last_error: Option<String>,
    stderr_tail: Vec<String>,
    protocol: Option<String>,
    server_info: Option<Box<RawValue>>,
    in_flight: usize,
    sessions: usize,
    memory_bytes: Option<u64>,
}

/// What a handle knows beside its status.
struct Facts {
    stderr_tail: Vec<String>,
    load: (usize, usize),
    memory_bytes: Option<u64>,
    now: Instant,
}

/// The servers that the token reaches, in the order of the config file.
pub(super) async fn list(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    let servers = edge
        .relay
        .servers(&principal)
        .map(|handle| describe(&edge, handle))
        .collect();
    Ok(json(&Servers { servers }))
}

fn describe(edge: &Edge, handle: &ServerHandle) -> View {
    let status = handle.status();
    let mut stderr_tail = handle.stderr_tail();
    let surplus = stderr_tail.len().saturating_sub(TAIL_LINES);
    stderr_tail.drain(..surplus);
    let facts = Facts {
        stderr_tail,
        load: edge.relay.load(handle.id()),
        memory_bytes: status.pid.and_then(supervisor::resident_bytes),
        now: Instant::now(),
    };
    view(handle.config(), &status, facts)
}

fn view(config: &supervisor::Config, status: &Status, facts: Facts) -> View {
    let Launch {
        command,
        program: _,
        args: _,
        working_dir,
        env: _,
    } = &config.launch;
    let Facts {
        stderr_tail,
        load: (in_flight, sessions),
        memory_bytes,
        now,
    } = facts;
    let (last_exit_code, last_exit_signal) = match status.last_exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(exit @ Exit::Signal(_)) => (None, exit.signal_name()),
        None => (None, None),
    };
    let info = status.server_info.as_deref();
    View {
        server_id: config.id.clone(),
        status: status.state.as_str(),
        pid: status.pid,
        restart_count: status.restart_count,
        last_exit_code,
        last_exit_at: status.last_exit_at.map(wall::rfc3339),
        session_id: status.session_id.clone(),
        autostart: config.autostart,
        restart_policy: config.restart_policy.as_str(),
        command: command.clone(),
        working_directory: working_dir
            .as_ref()
            .map(|dir| dir.display().to_string())
            .unwrap_or_default(),
        incarnation: status.incarnation.0,
        uptime_seconds: status
            .ready_since
            .map(|since| now.saturating_duration_since(since).as_secs()),
        next_start_in_ms: status
            .next_start
            .map(|at| millis(at.saturating_duration_since(now))),
        last_exit_signal,
        last_error: status.last_error.clone(),
        stderr_tail,
        protocol: status.protocol.clone(),
        // The child's own words; what is no JSON is shown as unknown.
        server_info: info.and_then(|info| serde_json::from_str(info).ok()),
        in_flight,
        sessions,
        memory_bytes,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
