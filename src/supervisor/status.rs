//! What is known of a server, as operators see it.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::types::Incarnation;

/// Why a server does not run that an operator has stopped.
pub(super) const STOPPED: &str = "stopped by the operator";

/// The state of a server in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running, and nothing is about to start it but a request or an operator.
    Stopped,
    /// Spawned, the handshake is not done.
    Starting,
    /// The handshake was done and the last probe answered.
    Ready,
    /// The last probe was missed.
    Unhealthy,
    /// Waiting to be started again.
    Backoff,
    /// Being stopped.
    Stopping,
    /// Given up: tried again from time to time, or when an operator starts it.
    Failed,
}

impl State {
    /// The word in `/servers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unhealthy => "unhealthy",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

/// How a server's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl Exit {
    /// Whether `on-failure` takes this for a clean end: exit code 0, or a signal by which programs are
    /// asked to end (the table of `Restart=` in systemd.service).
    pub fn is_clean(self) -> bool {
        // SIGHUP, SIGINT, SIGPIPE, SIGTERM: the same numbers on every Unix.
        matches!(self, Self::Code(0) | Self::Signal(1 | 2 | 13 | 15))
    }

    /// The signal's name, such as `SIGKILL`.
    pub fn signal_name(self) -> Option<String> {
        let Self::Signal(number) = self else {
            return None;
        };
        let known = signal_hook::low_level::signal_name(number);
        Some(known.map_or_else(|| format!("signal {number}"), str::to_owned))
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self, self.signal_name()) {
            (Self::Code(code), _) => write!(f, "exited with code {code}"),
            (Self::Signal(_), name) => write!(f, "was ended by {}", name.unwrap_or_default()),
        }
    }
}

/// A snapshot of what is known of one server.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state in one word.
    pub state: State,
    /// Stopped for lack of demand or by its own end, not by anybody's decision: a request starts it.
    pub asleep: bool,
    /// Given up, for long enough that the next request may try it again.
    pub tries_on_request: bool,
    /// A request waits as for a first start: the server sleeps, or has not been ready since it did.
    pub awaits_first_start: bool,
    /// The server's own process, while there is one.
    pub pid: Option<u32>,
    /// The present or last life; 0 before the first.
    pub incarnation: Incarnation,
    /// A random name of the present life, the `session_id` of `/servers`.
    pub session_id: Option<String>,
    /// Starts after the first, since the gateway started. A start that the era probe ended and its repetition are one.
    pub restart_count: u64,
    /// When the present life became ready.
    pub ready_since: Option<Instant>,
    /// When the next start is due, in `backoff` and `failed`.
    pub next_start: Option<Instant>,
    /// How the last process ended.
    pub last_exit: Option<Exit>,
    /// When it ended.
    pub last_exit_at: Option<SystemTime>,
    /// Why the server is not ready, or was not the last time, in one sentence.
    pub last_error: Option<String>,
    /// The protocol revision spoken with the child, such as `2025-11-25`.
    pub protocol: Option<String>,
    /// The child's `serverInfo`, a JSON object.
    pub server_info: Option<std::sync::Arc<str>>,
}

impl Status {
    /// It does not run, and no request will change that.
    pub fn has_ended(&self) -> bool {
        match self.state {
            State::Failed => !self.tries_on_request,
            State::Stopped => !self.asleep,
            State::Starting
            | State::Ready
            | State::Unhealthy
            | State::Backoff
            | State::Stopping => false,
        }
    }

    /// How badly off it is: the higher, the more an operator wants to know of it.
    pub fn severity(&self) -> u8 {
        match self.state {
            State::Stopped if self.asleep => 0,
            State::Ready => 1,
            State::Stopping => 2,
            State::Starting => 3,
            State::Stopped => 4,
            State::Unhealthy => 5,
            State::Backoff => 6,
            State::Failed => 7,
        }
    }

    /// One status for all instances of a server: that of the one that is worst off, with the restarts of
    /// all, and without what belongs to a single process. Where there is none, the server is asleep.
    pub fn of_all<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let Some(worst) = all.clone().max_by_key(|status| status.severity()) else {
            return Self::new();
        };
        // Only an instance whose handshake was done knows these, and they know the same, but for the protocol where the
        // server is spoken to in both eras.
        let known = all.clone().find(|status| status.protocol.is_some());
        let known = known.unwrap_or(worst);
        Self {
            pid: None,
            incarnation: Incarnation::default(),
            session_id: None,
            ready_since: None,
            restart_count: all.clone().map(|status| status.restart_count).sum(),
            protocol: one_protocol(all),
            server_info: known.server_info.clone(),
            ..worst.clone()
        }
    }

    /// That of a server which the configuration does not say how to start.
    pub fn refused(reason: &str) -> Self {
        Self {
            state: State::Failed,
            asleep: false,
            awaits_first_start: false,
            last_error: Some(reason.to_owned()),
            ..Self::new()
        }
    }

    /// One status for a server that an operator has stopped and of which there is no process.
    pub fn stopped() -> Self {
        Self {
            asleep: false,
            awaits_first_start: false,
            last_error: Some(STOPPED.to_owned()),
            ..Self::new()
        }
    }

    /// What is known before the actor has said anything.
    pub(super) fn new() -> Self {
        Self {
            state: State::Stopped,
            asleep: true,
            tries_on_request: false,
            awaits_first_start: true,
            pid: None,
            incarnation: Incarnation::default(),
            session_id: None,
            restart_count: 0,
            ready_since: None,
            next_start: None,
            last_exit: None,
            last_exit_at: None,
            last_error: None,
            protocol: None,
            server_info: None,
        }
    }
}

/// The protocol revision that all processes speak; `None` where none is known, or several are.
fn one_protocol<'a>(all: impl Iterator<Item = &'a Status>) -> Option<String> {
    let mut known = all.filter_map(|status| status.protocol.as_deref());
    let first = known.next()?;
    known.all(|other| other == first).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: State, asleep: bool, restart_count: u64) -> Status {
        Status {
            state,
            asleep,
            pid: Some(7),
            incarnation: Incarnation(restart_count + 1),
            restart_count,
            last_error: Some(state.as_str().to_owned()),
            ..Status::new()
        }
    }

    #[test]
    fn several_instances_are_as_badly_off_as_the_worst_of_them() {
        let mut ready = status(State::Ready, false, 1);
        ready.protocol = Some("2025-11-25".to_owned());
        let all = [
            status(State::Stopped, true, 0),
            status(State::Backoff, false, 3),
            ready,
        ];
        let one = Status::of_all(all.iter());
        assert_eq!((one.state, one.restart_count), (State::Backoff, 4));
        assert_eq!(one.last_error.as_deref(), Some("backoff"));
        assert_eq!(one.protocol.as_deref(), Some("2025-11-25"));
        assert_eq!((one.pid, one.incarnation), (None, Incarnation(0)));
        let [asleep, _, ready] = &all;
        let fine = Status::of_all([ready, asleep].into_iter());
        assert_eq!(fine.state, State::Ready);
        let modern = Status {
            protocol: Some("2026-07-28".to_owned()),
            ..ready.clone()
        };
        let both = Status::of_all([ready, &modern].into_iter());
        assert_eq!(both.protocol, None, "each process shows its own");
    }

    #[test]
    fn a_server_without_an_instance_is_asleep() {
        let none = Status::of_all(std::iter::empty());
        assert!(none.asleep && !none.has_ended());
    }
}
