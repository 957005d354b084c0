//! The faults that a supervisor can hand to a caller, each in one place.

use std::fmt;
use std::time::Duration;

use super::config::RequestConfig;
use super::machine::Gate;
use crate::fault::{Delivered, Fault, FaultKind};

/// When to try again where nothing better is known.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn refused(gate: Gate) -> Fault {
    match gate {
        Gate::Failed => Fault::new(
            FaultKind::ServerFailed,
            "the server could not be kept running",
        ),
        Gate::Stopped => Fault::new(
            FaultKind::ServerStopped,
            "the server is stopped (by an operator, or by \"disabled\": true in its entry)",
        ),
        Gate::ShuttingDown => shutting_down(Delivered::No),
        Gate::Open | Gate::Hold(_) | Gate::Asleep(_) => starting(None),
    }
}

pub(super) fn shutting_down(delivered: Delivered) -> Fault {
    let text = "the gateway, or this process of the server, is being shut down";
    Fault::new(FaultKind::ShuttingDown, text).delivered(delivered)
}

pub(super) fn starting(next_start: Option<Duration>) -> Fault {
    Fault::new(
        FaultKind::ServerStarting,
        "the server is starting and was not ready in time",
    )
    .retry_after(next_start.unwrap_or(SOON).max(SOON))
}

/// A bound of the queue of a server: the key of the config, and the value that is in force.
#[derive(Clone, Copy, Debug)]
pub(super) enum QueueBound {
    Messages(usize),
    Bytes(usize),
}

impl fmt::Display for QueueBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages(most) => write!(f, "max_queue ({most})"),
            Self::Bytes(most) => write!(f, "max_queue_bytes ({most})"),
        }
    }
}

pub(super) fn busy(bound: QueueBound) -> Fault {
    let text = format!("too much waits for this server: {bound} is reached");
    Fault::new(FaultKind::ServerBusy, text).retry_after(SOON)
}

/// The time in which a request must be written, or answered: where it is set, and its length.
#[derive(Clone, Copy, Debug)]
pub(super) enum TimeLimit {
    Timeout(Duration),
    Max(Duration),
    /// Of one request, which the gateway sends.
    Own(Duration),
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(time) => write!(f, "request_timeout_ms ({})", time.as_millis()),
            Self::Max(time) => write!(f, "request_max_ms ({})", time.as_millis()),
            Self::Own(time) => write!(
                f,
                "the limit of {} ms that the gateway has for this request",
                time.as_millis()
            ),
        }
    }
}

/// The reason that a request was not written, although requests may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteBlock {
    /// Another exclusive request is at the server.
    Turn,
    /// As many requests are at the server as may be.
    InFlight,
    /// As many of its principal are.
    Share,
    /// The server does not read what was written before it.
    Stdin,
    /// Nothing by now: others were before it.
    Others,
}

/// It waited to be written for as long as a request waits for an answer.
pub(super) fn not_written(block: WriteBlock, config: &RequestConfig, limit: TimeLimit) -> Fault {
    let most = config.max_in_flight;
    let share = config.share(most);
    let cause = match block {
        WriteBlock::Turn => {
            "client_features \"serialize\" runs one call at a time, and another one has the turn"
                .to_owned()
        }
        WriteBlock::InFlight => {
            format!(
                "too many requests are under way to this server: max_in_flight ({most}) is reached"
            )
        }
        WriteBlock::Share => format!(
            "too many requests of this token are under way to this server: it has its share ({share}) of max_in_flight \
             ({most})"
        ),
        WriteBlock::Stdin => "the server does not read its stdin fast enough".to_owned(),
        WriteBlock::Others => "too many requests were before it".to_owned(),
    };
    let text = format!("timed out in the queue after {limit}: {cause}");
    Fault::new(FaultKind::ServerBusy, text).retry_after(SOON)
}

/// The principal has its share of the server already; others find room.
pub(super) fn over_share(bound: QueueBound) -> Fault {
    let text = format!("too much of this token waits for this server: it has its half of {bound}");
    Fault::new(FaultKind::RateLimited, text).retry_after(SOON)
}

/// It kept the turn while its client did not answer a question, and others waited for theirs.
pub(super) fn turn_taken(config: &RequestConfig) -> Fault {
    let text = format!(
        "the call waited for input of its client longer than input_wait_ms ({}) while other calls waited for their turn; \
         it was cancelled and may have run",
        config.input_wait.as_millis()
    );
    Fault::new(FaultKind::RequestCancelled, text).delivered(Delivered::Unknown)
}

pub(super) fn lost() -> Fault {
    Fault::new(
        FaultKind::ServerLost,
        "the server ended before it answered; the request may have run",
    )
    .delivered(Delivered::Unknown)
}

/// The fault of what the server had not answered when the gateway stopped it.
pub(super) fn stopped_too_early() -> Fault {
    Fault::new(
        FaultKind::ServerLost,
        "the gateway stopped the server (a reload, a restart or a stop) before it answered; the request may have run",
    )
    .delivered(Delivered::Unknown)
}

/// The server did not answer within this time.
pub(super) fn timeout(limit: TimeLimit) -> Fault {
    let text = format!(
        "the server did not answer in time, {limit}; the request was cancelled and may have run"
    );
    Fault::new(FaultKind::ServerTimeout, text).delivered(Delivered::Unknown)
}

pub(super) fn cancelled(delivered: Delivered) -> Fault {
    Fault::new(
        FaultKind::RequestCancelled,
        "the request was cancelled by its sender",
    )
    .delivered(delivered)
}

pub(super) fn reply_too_large(most: usize) -> Fault {
    let text = format!("the server's answer is longer than max_line_bytes ({most})");
    Fault::new(FaultKind::ReplyTooLarge, text).delivered(Delivered::Unknown)
}

pub(super) fn bad_reply() -> Fault {
    Fault::new(
        FaultKind::BadReply,
        "the server's answer is not a JSON-RPC response",
    )
    .delivered(Delivered::Unknown)
}
