//! What is known of a server, as operators see it.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::types::Incarnation;

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
    /// Given up, until an operator starts it.
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

/// A snapshot of what is known of one server.
#[derive(Clone, Debug)]
pub struct Status {
    /// The state in one word.
    pub state: State,
    /// Stopped for lack of demand, not by anybody's decision: a request starts it.
    pub asleep: bool,
    /// The server's own process, while there is one.
    pub pid: Option<u32>,
    /// The present or last life; 0 before the first.
    pub incarnation: Incarnation,
    /// A random name of the present life, the `session_id` of `/servers`.
    pub session_id: Option<String>,
    /// Starts after the first, since the gateway started.
    pub restart_count: u64,
    /// When the present life became ready.
    pub ready_since: Option<Instant>,
    /// When the next start is due, in `backoff`.
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
