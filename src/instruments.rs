//! What is measured: every metric instrument of the gateway, behind verbs.
//!
//! The same instruments feed `/metrics` and OTLP. Names and attributes of `mcp.*` follow the OpenTelemetry
//! conventions for MCP (semantic-conventions-genai, `docs/gen-ai/mcp.md`), those of `http.*` the stable HTTP
//! conventions; what is ours begins with `host_mcp_gateway.`.
//!
//! Every attribute has a bounded set of values, whatever clients and children send: unknown methods,
//! error codes and revisions share one value, and the names of tools, prompts and resources, which a
//! caller may invent at will, are on spans only.

mod bound;
mod labels;
mod memory;
mod seen;
mod server;

pub use labels::{DropReason, Outcome, method_label, revision_label};
pub use seen::Seen;
pub use server::{Operation, ServerInstruments};

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::noop::NoopMeterProvider;
use opentelemetry::metrics::{
    BoundUpDownCounter, Counter, Histogram, Meter, MeterProvider, UpDownCounter,
};
use tokio::time::Instant;

use bound::Bound;
use labels::Labels;
use memory::MemoryGauges;
use seen::Watched;

use crate::fault::FaultKind;
use crate::memory_budget::MemoryBudget;
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
    http: Arc<Http>,
    connections: BoundUpDownCounter<i64>,
    refused_connections: Counter<u64>,
    failed_handshakes: Counter<u64>,
    refusals: Counter<u64>,
    streams: UpDownCounter<i64>,
    restarts: Counter<u64>,
    watched: Watched,
    memory: MemoryGauges,
    dropped: Counter<u64>,
    tolerated_messages: Counter<u64>,
}

/// What is measured of every HTTP request.
#[derive(Debug)]
struct Http {
    duration: Histogram<f64>,
    /// By method, route and status.
    durations: Bound<(&'static str, Option<&'static str>, Option<u16>)>,
    /// By method, as many as there are labels for one.
    active: [BoundUpDownCounter<i64>; labels::HTTP_METHODS.len()],
}

impl Http {
    fn new(duration: Histogram<f64>, active: &UpDownCounter<i64>) -> Self {
        Self {
            duration,
            durations: Bound::default(),
            active: labels::HTTP_METHODS
                .map(|method| active.bind(&[KeyValue::new("http.request.method", method)])),
        }
    }

    /// `status` is `None` for a request without a response.
    fn record(
        &self,
        method: usize,
        route: Option<&'static str>,
        status: Option<u16>,
        took: Duration,
    ) {
        let method = labels::http_method(method);
        let bind = || {
            let mut labels = Labels::new(&[KeyValue::new("http.request.method", method)]);
            if let Some(status) = status {
                let code = i64::from(status);
                labels.push(KeyValue::new("http.response.status_code", code));
            }
            if let Some(route) = route {
                labels.push(KeyValue::new("http.route", route));
            }
            let error = status.map_or(Some("disconnected"), labels::http_error_label);
            if let Some(kind) = error {
                labels.push(KeyValue::new("error.type", kind));
            }
            self.duration.bind(labels.as_slice())
        };
        let key = (method, route, status);
        self.durations.record(key, took.as_secs_f64(), bind);
    }
}

fn seconds(
    meter: &Meter,
    name: &'static str,
    bounds: [f64; 14],
    description: &'static str,
) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_boundaries(bounds.to_vec())
        .with_description(description)
        .build()
}

impl Instruments {
    /// Creates the instruments on a meter.
    pub fn new(meter: &Meter) -> Self {
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
                meter,
                "mcp.server.operation.duration",
                OPERATION_SECONDS,
                "MCP requests and notifications as clients see them",
            ),
            client_operation: seconds(
                meter,
                "mcp.client.operation.duration",
                OPERATION_SECONDS,
                "MCP requests and notifications as sent to the stdio servers",
            ),
            http: Arc::new(Http::new(
                seconds(
                    meter,
                    "http.server.request.duration",
                    HTTP_SECONDS,
                    "HTTP requests, until the head of the response",
                ),
                &level(
                    "http.server.active_requests",
                    "{request}",
                    "HTTP requests without a response yet",
                ),
            )),
            connections: level(own!("connections"), "{connection}", "open TCP connections")
                .bind(&[]),
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
            memory: MemoryGauges::new(meter),
            tolerated_messages: count(
                own!("server.tolerated_messages"),
                "{message}",
                "messages of a server that were taken although they deviate from the specification, by deviation",
            ),
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

    /// Shows the memory budget of the process from now on.
    pub fn watch_memory(&self, budget: &MemoryBudget) {
        self.memory.watch(budget);
    }

    /// Counts a TCP connection as open until the answer is dropped.
    pub fn connection(&self) -> Held {
        Held::new(&self.connections)
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
        let method = labels::http_method_place(method);
        HttpRequest {
            active: self.http.active.get(method).map(Held::new),
            http: Arc::clone(&self.http),
            method,
            started: Instant::now(),
            answered: false,
        }
    }
}

/// One thing that is counted while this value lives.
#[derive(Debug)]
#[must_use = "the count goes down again when this is dropped"]
pub struct Held(BoundUpDownCounter<i64>);

impl Held {
    fn new(counter: &BoundUpDownCounter<i64>) -> Self {
        counter.add(1);
        Self(counter.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
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
    active: Option<Held>,
    http: Arc<Http>,
    /// The place of its method among the labels.
    method: usize,
    started: Instant,
    answered: bool,
}

impl HttpRequest {
    /// Records the request's duration; `route` is the template (`/{server_id}/rpc`), never the path.
    pub fn finish(mut self, route: Option<&'static str>, status: u16) {
        self.answered = true;
        let took = self.started.elapsed();
        self.http.record(self.method, route, Some(status), took);
    }
}

impl Drop for HttpRequest {
    fn drop(&mut self) {
        if !self.answered {
            let took = self.started.elapsed();
            self.http.record(self.method, None, None, took);
        }
    }
}
