//! The faults that a supervisor can hand to a caller, each in one place.

use std::time::Duration;

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
        Gate::Stopped => Fault::new(FaultKind::ServerStopped, "the server is stopped"),
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

pub(super) fn busy() -> Fault {
    Fault::new(
        FaultKind::ServerBusy,
        "too many requests are under way to this server",
    )
    .delivered(Delivered::No)
    .retry_after(SOON)
}

/// The principal has its share of the server already; others find room.
pub(super) fn over_share() -> Fault {
    Fault::new(
        FaultKind::RateLimited,
        "too many requests of this token wait for this server",
    )
    .delivered(Delivered::No)
    .retry_after(SOON)
}

/// It waited for the calls before it, which are made one by one.
pub(super) fn no_turn() -> Fault {
    Fault::new(
        FaultKind::ServerBusy,
        "timed out in the queue: client_features \"serialize\" runs one call at a time",
    )
    .delivered(Delivered::No)
    .retry_after(SOON)
}

/// It kept the turn while its client did not answer a question, and others waited for theirs.
pub(super) fn turn_taken() -> Fault {
    Fault::new(
        FaultKind::RequestCancelled,
        "the call waited for input of its client longer than input_wait_ms while other calls waited for their turn; \
         it was cancelled and may have run",
    )
    .delivered(Delivered::Unknown)
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

pub(super) fn timeout() -> Fault {
    Fault::new(
        FaultKind::ServerTimeout,
        "the server did not answer in time; the request was cancelled and may have run",
    )
    .delivered(Delivered::Unknown)
}

pub(super) fn cancelled(delivered: Delivered) -> Fault {
    Fault::new(
        FaultKind::RequestCancelled,
        "the request was cancelled by its sender",
    )
    .delivered(delivered)
}

pub(super) fn reply_too_large() -> Fault {
    Fault::new(
        FaultKind::ReplyTooLarge,
        "the server's answer is longer than max_line_bytes",
    )
    .delivered(Delivered::Unknown)
}

pub(super) fn bad_reply() -> Fault {
    Fault::new(
        FaultKind::BadReply,
        "the server's answer is not a JSON-RPC response",
    )
    .delivered(Delivered::Unknown)
}
