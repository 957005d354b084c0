//! The faults that a supervisor can hand to a caller, each in one place.

use std::fmt;
use std::time::Duration;

use super::config::RequestConfig;
use super::machine::Gate;
use crate::fault::{Delivered, Fault, FaultKind};

/// When to try again where nothing better is known.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn refused(gate: Gate) -> Fault {
    let fault = match gate {
        Gate::Failed => Fault::new(
            FaultKind::ServerFailed,
            "the server could not be kept running",
        ),
        Gate::Stopped => Fault::new(
            FaultKind::ServerStopped,
            "the server is stopped (by an operator, or by \"disabled\": true in its entry)",
        ),
        Gate::ShuttingDown => return shutting_down(Delivered::No),
        Gate::Open | Gate::Hold(_) | Gate::Asleep(_) => starting(None),
    };
    fault.delivered(Delivered::No)
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
    .delivered(Delivered::No)
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
    Fault::new(FaultKind::ServerBusy, text)
        .delivered(Delivered::No)
        .retry_after(SOON)
}

/// It waited for its turn for as long as a request waits for an answer.
pub(super) fn waited_too_long(config: &RequestConfig) -> Fault {
    let text = format!(
        "too many requests are under way to this server: max_in_flight ({}) was reached for the request_timeout_ms ({}) \
         of this one",
        config.max_in_flight,
        config.timeout.as_millis()
    );
    Fault::new(FaultKind::ServerBusy, text)
        .delivered(Delivered::No)
        .retry_after(SOON)
}

/// The principal has its share of the server already; others find room.
pub(super) fn over_share(bound: QueueBound) -> Fault {
    let text = format!("too much of this token waits for this server: it has its half of {bound}");
    Fault::new(FaultKind::RateLimited, text)
        .delivered(Delivered::No)
        .retry_after(SOON)
}

/// It waited for the calls before it, which are made one by one.
pub(super) fn no_turn(config: &RequestConfig) -> Fault {
    let text = format!(
        "timed out in the queue after request_timeout_ms ({}): client_features \"serialize\" runs one call at a time",
        config.timeout.as_millis()
    );
    Fault::new(FaultKind::ServerBusy, text)
        .delivered(Delivered::No)
        .retry_after(SOON)
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

/// The server did not answer within the time of this key of the config.
pub(super) fn timeout(key: &str, time: Duration) -> Fault {
    let text = format!(
        "the server did not answer in time, {key} ({}); the request was cancelled and may have run",
        time.as_millis()
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
