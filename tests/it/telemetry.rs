//! What telemetry promises: it arrives, it tells who called whom, and it never holds anything up.

mod logs;
mod metrics;
mod relations;
mod resilience;

use std::fs::File;
use std::io::Seek;
use std::time::Duration;

use host_mcp_gateway::instruments::{Operation, Outcome};
use host_mcp_gateway::protocol::trace_context::TraceContext;
use host_mcp_gateway::spans::{self, Call, HttpCall, HttpSpan, Target};
use host_mcp_gateway::telemetry::{Config, Telemetry, build};
use host_mcp_gateway::types::ServerId;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tracing::Dispatch;

use crate::collector::{Collector, Mode, attribute};

const LIMIT: Duration = Duration::from_secs(3);
const IN_META: &str = "00-11111111111111111111111111111111-2222222222222222-01";
const IN_HEADER: &str = "00-33333333333333333333333333333333-4444444444444444-01";

/// Telemetry that was built but not installed, with its log lines in a file.
struct Fixture {
    telemetry: Telemetry,
    subscriber: Dispatch,
    log: File,
}

impl Fixture {
    fn new(variables: &[(&str, &str)]) -> Self {
        Self::logging(&Config::default(), variables)
    }

    fn logging(config: &Config, variables: &[(&str, &str)]) -> Self {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let log = tempfile::tempfile().expect("file");
        let sink = log.try_clone().expect("file");
        let (telemetry, subscriber) = build(config, &lookup, sink, false).expect("built");
        Self {
            telemetry,
            subscriber: Dispatch::new(subscriber),
            log,
        }
    }

    fn with_endpoint(endpoint: &str) -> Self {
        Self::new(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)])
    }

    /// Runs what a daemon would run under the installed subscriber.
    fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.subscriber, body)
    }

    /// Shuts down and answers the log.
    fn finish(self) -> String {
        let Self {
            telemetry,
            subscriber,
            mut log,
        } = self;
        tracing::dispatcher::with_default(&subscriber, || telemetry.shutdown(LIMIT));
        log.rewind().expect("file");
        std::io::read_to_string(log).expect("text")
    }
}

fn server_id() -> ServerId {
    "host-service".parse().expect("legal")
}

/// Makes the three spans of one `tools/call`, and answers the context that the child would be told.
fn call(header: Option<&str>, meta: Option<&str>, outcome: Outcome) -> Option<TraceContext> {
    let parse = |text: &str| TraceContext::parse(text, Some("vendor=1")).expect("valid");
    let (header, meta) = (header.map(parse), meta.map(parse));
    let peer = "127.0.0.1:9999".parse().expect("address");
    let server = server_id();
    let http = HttpSpan::start(&HttpCall {
        method: "POST",
        route: Some("/{server_id}/rpc"),
        path: "/host-service/rpc",
        scheme: "http",
        peer,
        parent: header.as_ref(),
    });
    let call = Call {
        server: &server,
        method: "tools/call",
        target: Some(Target::Tool("add")),
        id: Some("\"7\""),
        session: Some("s-1"),
        revision: Some("2025-11-25"),
    };
    let mut of_server = spans::server(&call, peer, &http, meta.as_ref());
    let mut of_client = spans::client(
        || Call {
            id: Some("42"),
            ..call
        },
        &of_server,
    );
    let told = of_client.told();
    http.in_scope(|| tracing::info!(server_id = %server, "tool called"));
    of_client.finish(outcome);
    of_server.finish(outcome);
    http.finish(200);
    told
}

fn everything_arrives(endpoint: impl Fn(&Collector) -> Vec<(&'static str, String)>) {
    let collector = Collector::start(Mode::Normal);
    let variables = endpoint(&collector);
    let variables: Vec<_> = variables.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let fixture = Fixture::new(&variables);
    fixture.run(|| {
        call(None, None, Outcome::Ok);
        let server = fixture.telemetry.instruments().for_server(&server_id());
        server.client_operation(&Operation {
            method: "tools/call",
            revision: None,
            outcome: Outcome::Ok,
            duration: Duration::from_millis(3),
        });
    });
    fixture.finish();
    let received = collector.wait_for(LIMIT, |received| {
        received.spans.len() == 3 && received.logs.len() == 1 && !received.metrics.is_empty()
    });
    let service = attribute(&received.resource, "service.name");
    assert_eq!(service.as_deref(), Some("host-mcp-gateway"));
    let names: Vec<_> = received.metrics.iter().map(|metric| &metric.name).collect();
    assert!(
        names
            .iter()
            .any(|name| *name == "mcp.client.operation.duration"),
        "{names:?}"
    );
    let http = received.span("POST /{server_id}/rpc");
    let record = &received.logs[0];
    assert_eq!(record.trace_id, http.trace_id);
    assert_eq!(record.span_id, http.span_id);
    assert_eq!(
        attribute(&record.attributes, "server_id").as_deref(),
        Some("host-service")
    );
}

#[test]
fn all_signals_arrive_over_grpc_at_an_endpoint_without_a_scheme() {
    everything_arrives(|collector| vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.authority())]);
}

#[test]
fn all_signals_arrive_over_http_and_protobuf() {
    everything_arrives(|collector| {
        vec![
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", collector.authority()),
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ]
    });
}

#[test]
fn all_signals_arrive_at_endpoints_and_protocols_of_their_own() {
    everything_arrives(|collector| {
        let at = |path: &str| format!("http://{}{path}", collector.authority());
        vec![
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", at("/v1/traces")),
            (
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "http/protobuf".to_owned(),
            ),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", at("")),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", collector.authority()),
        ]
    });
}
