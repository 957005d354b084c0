//! What the machine hears, says and is.

use std::time::Duration;

use tokio::time::Instant;

use crate::supervisor::status::Exit;
use crate::types::Incarnation;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Event {
    /// A request waits and the server is asleep.
    Demand,
    /// The operator wants it running.
    Start,
    /// The operator wants it stopped.
    Stop,
    /// The operator wants a new process.
    Restart,
    /// The server is no more in the config, or its only client is gone.
    Retire,
    /// The gateway shuts down.
    Shutdown,
    /// The process runs, and is sent the first message.
    Running,
    /// The process did not read all that it was sent; told before `Ended`.
    Unread,
    /// Nothing is under way in the process that is to stop, or an operator does not want to wait for it.
    Drained,
    /// The handshake is done.
    Ready,
    /// The process cannot be started, or fails its handshake.
    CannotStart(String),
    /// The server broke the contract of its pipes.
    Broken(&'static str),
    /// The process ended by itself, and what it had written was read.
    Ended(Exit),
    /// No process of this life is left.
    Gone,
    /// A probe was answered.
    ProbeAnswered,
    /// A probe was not answered in time.
    ProbeMissed,
    /// A deadline has passed.
    Timer,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Action {
    /// Start a process.
    Spawn(Incarnation),
    /// Close its stdin and let the guard run the stop ladder; `Gone` follows.
    Stop,
    /// What is done with requests from now on.
    Gate(Gate),
    /// Requests that wait must not wait longer than this.
    LimitHold(Duration),
    /// The state changed for a reason that belongs in the log.
    Note(String),
}

/// What is done with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Gate {
    /// They are written to the child.
    Open,
    /// They wait, each for at most this long, for a child that is being started.
    Hold(Duration),
    /// They wait, and the first wakes the server.
    Asleep(Duration),
    /// They are refused: it was stopped.
    Stopped,
    /// They are refused: it was given up.
    Failed,
    /// They are refused: the gateway shuts down.
    ShuttingDown,
}

/// The state of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum State {
    Stopped(Rest),
    Starting { deadline: Instant },
    Ready { since: Instant },
    Unhealthy { since: Instant, misses: u32 },
    Stopping(Next),
    Backoff { until: Instant },
    Failed(Retry),
}

/// When a server that has failed is tried again without an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Retry {
    /// Not at all: there is nothing to start.
    Never,
    /// At this time.
    At(Instant),
    /// When it is asked for.
    OnRequest,
}

impl Retry {
    /// The time, where there is one.
    pub(super) fn at(self) -> Option<Instant> {
        match self {
            Self::At(time) => Some(time),
            Self::Never | Self::OnRequest => None,
        }
    }
}

impl State {
    /// When a server that waits for its restart is started, or one that was given up is tried again.
    pub(in crate::supervisor) fn next_start(&self) -> Option<Instant> {
        match self {
            Self::Backoff { until } => Some(*until),
            Self::Failed(retry) => retry.at(),
            Self::Stopped(_)
            | Self::Starting { .. }
            | Self::Ready { .. }
            | Self::Unhealthy { .. }
            | Self::Stopping(_) => None,
        }
    }
}

/// Why a server does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Rest {
    /// Nobody has asked for it, or not since it ended by itself.
    Asleep,
    /// The operator or the configuration wants it so.
    Decided,
    /// The gateway shuts down.
    Shutdown,
}

/// What follows when the last process of a life is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Next {
    /// Nothing.
    Rest(Rest),
    /// A new start at once.
    Start,
    /// A new start after a delay, or the end of trying.
    Retry,
    /// A new start after a delay, which counts against no limit: the end was a clean one.
    Again,
    /// The end of trying.
    GiveUp,
}
