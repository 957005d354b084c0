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
use crate::protocol::Era;
use crate::relay::{Gap, Instance, Overview, Process};
use crate::supervisor::{self, Exit, Launch, Status};
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
    /// It is stopped because nobody has asked for it: a request starts it.
    asleep: bool,
    /// It is stopped because the config says so.
    disabled: bool,
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
    /// What is wrong with how it writes its messages, with the newest lines that are none.
    stdout_fault: Option<String>,
    protocol: Option<String>,
    server_info: Option<Box<RawValue>>,
    in_flight: usize,
    sessions: usize,
    /// Of the server's process and everything that it started.
    memory_bytes: Option<u64>,
    list_gaps: Vec<Gap>,
    /// Who shares a process.
    instance: &'static str,
    /// Not there where all share one process.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Vec<Own>>,
}

/// One process of a server that has several.
#[derive(Debug, Serialize)]
struct Own {
    instance_key: Option<String>,
    /// In which it is spoken to, or is started for.
    era: Option<&'static str>,
    status: &'static str,
    pid: Option<u32>,
    incarnation: u64,
    restart_count: u64,
    in_flight: usize,
    memory_bytes: Option<u64>,
    uptime_seconds: Option<u64>,
    protocol: Option<String>,
}

/// What is found of one process.
struct Found {
    name: Option<Arc<str>>,
    era: Option<Era>,
    status: Arc<Status>,
    stderr_tail: Vec<String>,
    stdout_fault: Option<String>,
    in_flight: usize,
    memory_bytes: Option<u64>,
}

impl Found {
    /// Without its memory, which is sampled for all processes at once.
    fn of(process: &Process) -> Self {
        let status = process.handle.status();
        let mut stderr_tail = process.handle.stderr_tail();
        let surplus = stderr_tail.len().saturating_sub(TAIL_LINES);
        stderr_tail.drain(..surplus);
        Self {
            name: process.name.clone(),
            era: process.handle.spoken_era(),
            stderr_tail,
            stdout_fault: process.handle.stdout_fault(),
            in_flight: process.handle.mux().load().in_flight,
            memory_bytes: None,
            status,
        }
    }

    fn own(&self, now: Instant) -> Own {
        let status = &self.status;
        Own {
            instance_key: self.name.as_deref().map(str::to_owned),
            era: self.era.map(Era::as_str),
            status: status.state.as_str(),
            pid: status.pid,
            incarnation: status.incarnation.0,
            restart_count: status.restart_count,
            in_flight: self.in_flight,
            memory_bytes: self.memory_bytes,
            uptime_seconds: uptime(status, now),
            protocol: status.protocol.clone(),
        }
    }
}

/// The servers that the token reaches, in the order of the config file.
pub(super) async fn list(
    State(edge): State<Arc<Edge>>,
    request: Request,
) -> Result<Response, Problem> {
    let principal = ask::principal(request.extensions())?;
    // The body goes now: it is not `Sync`, and nobody reads it.
    drop(request);
    let overviews = edge.relay.overview(&principal);
    let mut found: Vec<Vec<Found>> = overviews
        .iter()
        .map(|overview| overview.processes.iter().map(Found::of).collect())
        .collect();
    let processes = found.iter().flatten();
    let pids = processes.filter_map(|process| process.status.pid).collect();
    let memory = supervisor::resident_bytes(pids).await;
    for process in found.iter_mut().flatten() {
        let pid = process.status.pid;
        process.memory_bytes = pid.and_then(|pid| memory.get(&pid).copied());
    }
    let servers = overviews
        .iter()
        .zip(&found)
        .map(|(overview, found)| view(overview, found, Instant::now()))
        .collect();
    Ok(json(&Servers { servers }))
}

/// Of a server with several processes, what stands beside `instances` is the worst of them, and the sums.
fn view(overview: &Overview, found: &[Found], now: Instant) -> View {
    let Overview {
        config,
        processes: _,
        stopped: _,
        sessions,
        list_gaps,
    } = overview;
    let (config, instance) = (&config.supervisor, config.instance);
    let Launch {
        command,
        program: _,
        args: _,
        working_dir,
        env: _,
        withheld: _,
    } = &config.launch;
    let status = overview.status_of(found.iter().map(|process| &*process.status));
    let instances = match (instance, found) {
        (Instance::Shared, [] | [_]) => None,
        // With two processes of different eras it is as one that is not shared.
        (Instance::Shared | Instance::Session | Instance::Client, _) => {
            Some(found.iter().map(|process| process.own(now)).collect())
        }
    };
    let worst = found.iter().max_by_key(|process| process.status.severity());
    let memory = found.iter().filter_map(|process| process.memory_bytes);
    let (last_exit_code, last_exit_signal) = match status.last_exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(exit @ Exit::Signal(_)) => (None, exit.signal_name()),
        None => (None, None),
    };
    let info = status.server_info.as_deref();
    View {
        server_id: config.id.clone(),
        status: status.state.as_str(),
        asleep: status.asleep && !config.disabled,
        disabled: config.disabled,
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
        uptime_seconds: uptime(&status, now),
        next_start_in_ms: status
            .next_start
            .map(|at| millis(at.saturating_duration_since(now))),
        last_exit_signal,
        last_error: status.last_error.clone(),
        stderr_tail: worst
            .map(|process| process.stderr_tail.clone())
            .unwrap_or_default(),
        // All run the same program: what one of them does wrong, the others do.
        stdout_fault: found
            .iter()
            .find_map(|process| process.stdout_fault.clone()),
        protocol: status.protocol.clone(),
        // The child's own words; what is no JSON is shown as unknown.
        server_info: info.and_then(|info| serde_json::from_str(info).ok()),
        in_flight: found.iter().map(|process| process.in_flight).sum(),
        sessions: *sessions,
        memory_bytes: memory.reduce(u64::saturating_add),
        list_gaps: list_gaps.clone(),
        instance: instance.as_str(),
        instances,
    }
}

fn uptime(status: &Status, now: Instant) -> Option<u64> {
    let since = status.ready_since?;
    Some(now.saturating_duration_since(since).as_secs())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
