//! The span of a server's start. There are few of these, so that it is one of `tracing`, which has what is logged
//! meanwhile belong to it.

use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{TARGET, enabled, is_wanted};
use crate::types::{Incarnation, ServerId};

/// From the spawn of a server until it is ready or is known not to become it; a trace of its own.
#[derive(Debug)]
pub struct StartSpan(Span);

impl Default for StartSpan {
    /// A span that nobody sees.
    fn default() -> Self {
        Self(Span::none())
    }
}

/// Why a start came to nothing: the span's `error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFault {
    /// There was nothing that could be run.
    CannotStart,
    /// It ran, and there was no answer to the handshake, or none that it can be talked to with.
    Handshake,
    /// What would have said how it goes on was gone before that: its guard, or the gateway.
    Ended,
}

impl StartFault {
    fn label(self) -> &'static str {
        match self {
            Self::CannotStart => "cannot_start",
            Self::Handshake => "handshake_failed",
            Self::Ended => "ended",
        }
    }
}

impl StartSpan {
    /// Begins `server start`.
    pub fn begin(server: &ServerId, incarnation: Incarnation) -> Self {
        if !enabled() || !is_wanted(None) {
            return Self::default();
        }
        Self(tracing::info_span!(
            target: TARGET,
            parent: None,
            "server start",
            otel.kind = "internal",
            otel.status_code = Empty,
            error.type = Empty,
            host_mcp_gateway.server.id = server.as_str(),
            host_mcp_gateway.server.incarnation = %incarnation,
            process.pid = Empty,
            mcp.protocol.version = Empty,
        ))
    }

    /// The span itself, for what is done in it.
    pub fn span(&self) -> Span {
        self.0.clone()
    }

    /// Records the process.
    pub fn runs(&self, pid: u32) {
        self.0.record("process.pid", i64::from(pid));
    }

    /// Ends it: the server is ready, and speaks this revision.
    pub fn ready(mut self, revision: &str) {
        self.0.record("mcp.protocol.version", revision);
        self.0 = Span::none();
    }

    /// Ends it: the server does not become ready. Dropped, it is [`StartFault::Ended`].
    pub fn failed(mut self, fault: StartFault) {
        self.fail(fault);
    }

    fn fail(&mut self, fault: StartFault) {
        let span = std::mem::replace(&mut self.0, Span::none());
        span.record("error.type", fault.label());
        span.set_status(opentelemetry::trace::Status::error(""));
    }
}

impl Drop for StartSpan {
    fn drop(&mut self) {
        if !self.0.is_disabled() {
            self.fail(StartFault::Ended);
        }
    }
}
