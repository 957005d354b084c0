//! What the edge tells whoever measures it.

use std::time::Duration;

use super::admission::Check;

/// Receives what is worth counting at the edge. Every method is called in one place and must return
/// at once.
pub trait Observer: Send + Sync {
    /// A connection was accepted.
    fn connection_opened(&self) {}

    /// An accepted connection has ended.
    fn connection_closed(&self) {}

    /// A connection was closed for being over a cap.
    fn connection_refused(&self) {}

    /// A request was not let in.
    fn request_refused(&self, _check: Check) {}

    /// A request was let in.
    fn request_started(&self) {}

    /// A request that was let in got its response (for an event stream: its head), or was dropped
    /// before that because its client went away.
    fn request_ended(&self, _request: &Observed) {}

    /// An event stream was opened.
    fn stream_opened(&self) {}

    /// An event stream has ended.
    fn stream_closed(&self) {}
}

/// One request, in words from closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The method, or `_OTHER` where it is none of the standard ones.
    pub method: &'static str,
    /// The path template of the route, where one matched.
    pub route: Option<&'static str>,
    /// The status of the response; `None` where the client went away first.
    pub status: Option<u16>,
    /// From the parsed head to the response's head.
    pub elapsed: Duration,
}

/// Measures nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unobserved;

impl Observer for Unobserved {}
