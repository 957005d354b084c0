//! What is measured: every metric instrument of the gateway, behind verbs.
//!
//! The same instruments feed `/metrics` and OTLP. Names and attributes of `mcp.*` follow the OpenTelemetry
//! conventions for MCP (semantic-conventions-genai, `docs/gen-ai/mcp.md`), those of `http.*` the stable HTTP
//! conventions; what is ours begins with `host_mcp_gateway.`.
//!
//! Every attribute has a bounded set of values, whatever clients and children send: unknown methods,
//! error codes and revisions share one value, and the names of tools, prompts and resources, which a
//! caller may invent at will, are on spans only.

mod labels;
mod seen;
mod server;

pub use labels::{DropReason, Outcome, method_label, revision_label};
pub use seen::Seen;
pub use server::{Operation, ServerInstruments};

use opentelemetry::KeyValue;
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter};
use tokio::time::Instant;

use seen::Watched;

use crate::fault::FaultKind;
use crate::types::ServerId;

/// Prefix of the instruments and attributes that no convention names.
macro_rules! own {
    ($name:literal) => {
        concat!("host_mcp_gateway.", $name)
    };
}
use own;

/// Bounds in seconds that the MCP conventions give for operation durations.
const OPERATION_SECONDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Bounds in seconds that the HTTP conventions give for request durations.
const HTTP_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Every instrument of the gateway; a clone is a handle on the same ones.
#[derive(Clone, Debug)]
pub struct Instruments {
    server_operation: Histogram<f64>,
    client_operation: Histogram<f64>,
    http_duration: Histogram<f64>,
    http_active: UpDownCounter<i64>,
    connections: UpDownCounter<i64>,
    refused_connections: Counter<u64>,
    failed_handshakes: Counter<u64>,
    refusals: Counter<u64>,
    streams: UpDownCounter<i64>,
    restarts: Counter<u64>,
    watched: Watched,
    dropped: Counter<u64>,
}

impl Instruments {
    /// Creates the instruments on a meter.
    pub fn new(meter: &Meter) -> Self {
        let seconds = |name, bounds: [f64; 14], description| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_boundaries(bounds.to_vec())
                .with_description(description)
                .build()
        };
        let level = |name, unit, description| {
            meter
                .i64_up_down_counter(name)
                .with_unit(unit)
                .with_description(description)
                .build()
        };
        let count = |name, unit, description| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(description)
                .build()
        };
        Self {
            server_operation: seconds(
                "mcp.server.operation.duration",
                OPERATION_SECONDS,
                "MCP requests and notifications as clients see them",
            ),
            client_operation: seconds(
                "mcp.client.operation.duration",
                OPERATION_SECONDS,
                "MCP requests and notifications as sent to the stdio servers",
            ),
            http_duration: seconds(
                "http.server.request.duration",
                HTTP_SECONDS,
                "HTTP requests, until the head of the response",
            ),
            http_active: level(
                "http.server.active_requests",
                "{request}",
                "HTTP requests without a response yet",
            ),
            connections: level(own!("connections"), "{connection}", "open TCP connections"),
            refused_connections: count(
                own!("connections.refused"),
                "{connection}",
                "TCP connections that were closed for being over a cap",
            ),
            failed_handshakes: count(
                own!("handshakes.failed"),
                "{connection}",
                "TCP connections that were closed before TLS was agreed on, by reason",
            ),
            refusals: count(
                own!("refusals"),
                "{request}",
                "requests refused at the door, by reason",
            ),
            streams: level(own!("streams"), "{stream}", "open event streams"),
            restarts: count(
                own!("server.restarts"),
                "{restart}",
                "starts of a server after its first",
            ),
            watched: Watched::new(meter),
            dropped: count(
                own!("server.dropped"),
                "{message}",
                "messages and lines of a server that were dropped, by reason",
            ),
        }
    }

    /// Instruments that record nothing, at the cost of a virtual call.
    pub fn noop() -> Self {
        Self::new(&NoopMeterProvider::new().meter("noop"))
    }

    /// The instruments of one server, with what they are labelled by made once.
    pub fn for_server(&self, server: &ServerId) -> ServerInstruments {
        ServerInstruments::new(self.clone(), server)
    }

    /// Counts a TCP connection as open until the answer is dropped.
    pub fn connection(&self) -> Held {
        Held::new(&self.connections, None)
    }

    /// Counts a TCP connection that was closed for being over a cap.
    pub fn connection_refused(&self) {
        self.refused_connections.add(1, &[]);
    }

    /// Counts a TLS handshake that came to nothing; `reason` is one word of a few.
    pub fn handshake_failed(&self, reason: &'static str) {
        self.failed_handshakes
            .add(1, &[KeyValue::new("reason", reason)]);
    }

    /// Counts a request that was refused before it reached an endpoint: `auth_failed`, `auth_denied`,
    /// `host_denied`, `origin_denied`, `rate_limited` or another kind.
    pub fn refused(&self, why: FaultKind) {
        self.refusals.add(1, &[KeyValue::new("reason", why.code())]);
    }

    /// Counts an HTTP request as active and starts its clock; see [`HttpRequest::finish`].
    pub fn http_request(&self, method: &str) -> HttpRequest {
        let method = KeyValue::new("http.request.method", labels::http_method_label(method));
        HttpRequest {
            active: Held::new(&self.http_active, Some(method.clone())),
            duration: self.http_duration.clone(),
            method,
            started: Instant::now(),
            answered: false,
        }
    }
}

/// One thing that is counted while this value lives.
#[derive(Debug)]
#[must_use = "the count goes down again when this is dropped"]
pub struct Held {
    counter: UpDownCounter<i64>,
    label: Option<KeyValue>,
}

impl Held {
    fn new(counter: &UpDownCounter<i64>, label: Option<KeyValue>) -> Self {
        counter.add(1, label.as_slice());
        Self {
            counter: counter.clone(),
            label,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counter.add(-1, self.label.as_slice());
    }
}

/// One HTTP request that has no response yet.
///
/// Dropped without [`HttpRequest::finish`], it is recorded with the `error.type` `disconnected`: the
/// client went away first.
#[derive(Debug)]
#[must_use = "the request counts as active until this is finished or dropped"]
pub struct HttpRequest {
    #[expect(dead_code, reason = "held for its drop")]
    active: Held,
    duration: Histogram<f64>,
    method: KeyValue,
    started: Instant,
    answered: bool,
}

impl HttpRequest {
    /// Records the request's duration; `route` is the template (`/{server_id}/rpc`), never the path.
    pub fn finish(mut self, route: Option<&'static str>, status: u16) {
        self.answered = true;
        let mut labels = labels::Labels::new(&[self.method.clone()]);
        labels.push(KeyValue::new(
            "http.response.status_code",
            i64::from(status),
        ));
        if let Some(route) = route {
            labels.push(KeyValue::new("http.route", route));
        }
        if let Some(kind) = labels::http_error_label(status) {
            labels.push(KeyValue::new("error.type", kind));
        }
        self.duration
            .record(self.started.elapsed().as_secs_f64(), labels.as_slice());
    }
}

impl Drop for HttpRequest {
    fn drop(&mut self) {
        if !self.answered {
            let labels = [
                self.method.clone(),
                KeyValue::new("error.type", "disconnected"),
            ];
            self.duration
                .record(self.started.elapsed().as_secs_f64(), &labels);
        }
    }
}
