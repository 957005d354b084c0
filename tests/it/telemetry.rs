//! What telemetry promises: it arrives, it tells who called whom, and it never holds anything up.

mod logs;
mod resilience;

use std::fs::File;
use std::io::Seek;
use std::time::Duration;

use host_mcp_gateway::instruments::{DropReason, Operation, Outcome};
use host_mcp_gateway::protocol::trace_context::TraceContext;
use host_mcp_gateway::spans::{self, Call, HttpCall, Target};
use host_mcp_gateway::supervisor::State;
use host_mcp_gateway::telemetry::{Config, Telemetry, build};
use host_mcp_gateway::types::ServerId;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tracing::{Dispatch, Span};

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
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let log = tempfile::tempfile().expect("file");
        let sink = log.try_clone().expect("file");
        let (telemetry, subscriber) =
            build(&Config::default(), &lookup, sink, false).expect("built");
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
    let http = spans::http(&HttpCall {
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
    let of_server = spans::server(&call, peer, &http, meta.as_ref());
    let of_client = spans::client(
        &Call {
            id: Some("42"),
            ..call
        },
        &of_server,
    );
    let told = spans::context_of(&of_client);
    of_server.in_scope(|| tracing::info!(server_id = %server, "tool called"));
    spans::finish(&of_client, outcome);
    spans::finish(&of_server, outcome);
    spans::finish_http(&http, 200);
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
    let of_server = received
        .spans
        .iter()
        .find(|span| span.name == "tools/call add" && span.kind == SpanKind::Server as i32);
    let of_server = of_server.expect("server span");
    let record = &received.logs[0];
    assert_eq!(record.trace_id, of_server.trace_id);
    assert_eq!(record.span_id, of_server.span_id);
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

#[test]
fn the_context_in_meta_is_the_parent_and_the_http_span_a_link() {
    let collector = Collector::start(Mode::Normal);
    let fixture = Fixture::with_endpoint(&collector.authority());
    let told = fixture.run(|| call(Some(IN_HEADER), Some(IN_META), Outcome::ToolError));
    fixture.finish();
    let received = collector.wait_for(LIMIT, |received| received.spans.len() == 3);

    let http = received.span("POST /{server_id}/rpc");
    assert_eq!(
        (http.trace_id.as_slice(), http.parent_span_id.as_slice()),
        (&[0x33; 16][..], &[0x44; 8][..])
    );
    assert_eq!(
        attribute(&http.attributes, "http.response.status_code").as_deref(),
        Some("200")
    );
    assert_eq!(
        attribute(&http.attributes, "http.route").as_deref(),
        Some("/{server_id}/rpc")
    );

    let of_kind = |kind: SpanKind| {
        let found = received
            .spans
            .iter()
            .find(|span| span.name == "tools/call add" && span.kind == kind as i32);
        found.expect("span")
    };
    let server = of_kind(SpanKind::Server);
    assert_eq!(
        (server.trace_id.as_slice(), server.parent_span_id.as_slice()),
        (&[0x11; 16][..], &[0x22; 8][..])
    );
    assert_eq!(server.links.len(), 1);
    assert_eq!(server.links[0].span_id, http.span_id);
    assert_eq!(server.links[0].trace_id, http.trace_id);

    let client = of_kind(SpanKind::Client);
    assert_eq!(client.trace_id, server.trace_id);
    assert_eq!(client.parent_span_id, server.span_id);
    let told = told.expect("the span is exported");
    assert_eq!(told.span_id().as_slice(), client.span_id);
    assert_eq!(told.trace_id(), [0x11; 16]);
    assert_eq!(told.tracestate(), Some("vendor=1"));

    let expected = [
        ("mcp.method.name", "tools/call", "tools/call"),
        ("gen_ai.tool.name", "add", "add"),
        ("gen_ai.operation.name", "execute_tool", "execute_tool"),
        ("jsonrpc.request.id", "7", "42"),
        ("network.transport", "tcp", "pipe"),
        ("mcp.protocol.version", "2025-11-25", "2025-11-25"),
        ("error.type", "tool_error", "tool_error"),
        ("host_mcp_gateway.server.id", "host-service", "host-service"),
    ];
    for (key, of_server, of_client) in expected {
        assert_eq!(
            attribute(&server.attributes, key).as_deref(),
            Some(of_server),
            "{key}"
        );
        assert_eq!(
            attribute(&client.attributes, key).as_deref(),
            Some(of_client),
            "{key}"
        );
    }
    for span in [server, client] {
        assert_eq!(
            span.status
                .as_ref()
                .map(opentelemetry_proto::tonic::trace::v1::Status::code),
            Some(StatusCode::Error)
        );
        for noise in [
            "busy_ns",
            "idle_ns",
            "code.file.path",
            "thread.id",
            "target",
        ] {
            assert_eq!(attribute(&span.attributes, noise), None, "{noise}");
        }
    }
}

#[test]
fn without_meta_the_http_span_is_the_parent_and_the_header_its_own() {
    let collector = Collector::start(Mode::Normal);
    let fixture = Fixture::with_endpoint(&collector.authority());
    fixture.run(|| call(Some(IN_HEADER), None, Outcome::Error(-32602)));
    fixture.finish();
    let received = collector.wait_for(LIMIT, |received| received.spans.len() == 3);
    let http = received.span("POST /{server_id}/rpc");
    assert_eq!(http.parent_span_id, [0x44; 8]);
    let server = received
        .spans
        .iter()
        .find(|span| span.parent_span_id == http.span_id);
    let server = server.expect("a child of the HTTP span");
    assert_eq!(server.trace_id, [0x33; 16]);
    assert!(server.links.is_empty());
    for key in ["error.type", "rpc.response.status_code"] {
        assert_eq!(
            attribute(&server.attributes, key).as_deref(),
            Some("-32602")
        );
    }
}

#[test]
fn a_caller_that_does_not_sample_keeps_its_own_context() {
    let collector = Collector::start(Mode::Normal);
    let fixture = Fixture::with_endpoint(&collector.authority());
    let unsampled = IN_META.replace("-01", "-00");
    fixture.run(|| {
        assert_eq!(call(None, Some(&unsampled), Outcome::Ok), None);
        // Something that is exported, to wait for.
        call(None, Some(IN_META), Outcome::Ok);
    });
    fixture.finish();
    let received = collector.wait_for(LIMIT, |received| received.spans.len() >= 4);
    // Of the first call only the HTTP span, which has no unsampled parent.
    assert_eq!(received.spans.len(), 4);
}

#[test]
fn without_an_endpoint_spans_are_disabled() {
    let fixture = Fixture::new(&[]);
    fixture.run(|| {
        assert!(!spans::enabled());
        assert_eq!(call(Some(IN_HEADER), Some(IN_META), Outcome::Ok), None);
        let server = server_id();
        let call = Call {
            server: &server,
            method: "ping",
            target: None,
            id: None,
            session: None,
            revision: None,
        };
        assert!(spans::client(&call, &Span::none()).is_disabled());
    });
    let log = fixture.finish();
    assert!(log.contains("tool called"), "{log}");
    assert!(!log.contains("trace_id"), "{log}");
}

#[test]
fn the_prometheus_text_has_every_instrument_under_its_name() {
    let fixture = Fixture::new(&[]);
    let instruments = fixture.telemetry.instruments();
    let server = instruments.for_server(&server_id());
    let connection = instruments.connection();
    let held = [server.in_flight(), server.queued(), server.stream()];
    instruments
        .http_request("POST")
        .finish(Some("/{server_id}/rpc"), 503);
    drop(instruments.http_request("BREW"));
    instruments.refused(host_mcp_gateway::fault::FaultKind::HostDenied);
    server.restarted();
    server.dropped(DropReason::LateReply);
    for method in ["tools/call", "invented/1", "invented/2"] {
        server.server_operation(&Operation {
            method,
            revision: Some("2025-11-25"),
            outcome: Outcome::Ok,
            duration: Duration::from_millis(3),
        });
    }
    let text = fixture.telemetry.prometheus_text();
    let id = "host_mcp_gateway_server_id=\"host-service\"";
    let series = [
        "host_mcp_gateway_connections 1".to_owned(),
        format!("host_mcp_gateway_server_in_flight{{{id}}} 1"),
        format!("host_mcp_gateway_server_queued{{{id}}} 1"),
        format!("host_mcp_gateway_streams{{{id}}} 1"),
        format!("host_mcp_gateway_server_restarts_total{{{id}}} 1"),
        format!("host_mcp_gateway_server_dropped_total{{{id},reason=\"late_reply\"}} 1"),
        "host_mcp_gateway_refusals_total{reason=\"host_denied\"} 1".to_owned(),
        "http_server_active_requests{http_request_method=\"POST\"} 0".to_owned(),
        "host_mcp_gateway_log_dropped_total 0".to_owned(),
    ];
    for expected in series {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected} in\n{text}"
        );
    }
    let of_unknown = |line: &&str| {
        line.starts_with("mcp_server_operation_duration_seconds_count")
            && line.contains("mcp_method_name=\"_OTHER\"")
    };
    let unknown: Vec<_> = text.lines().filter(of_unknown).collect();
    assert_eq!(unknown.len(), 1, "{text}");
    assert!(unknown[0].ends_with(" 2"), "{unknown:?}");
    assert!(text.contains("error_type=\"disconnected\""), "{text}");
    assert!(!text.contains("otel_scope"), "{text}");

    drop((connection, held));
    let text = fixture.telemetry.prometheus()();
    assert!(
        text.lines()
            .any(|line| line == "host_mcp_gateway_connections 0"),
        "{text}"
    );
}

#[test]
fn each_state_of_a_server_is_a_series_of_which_one_is_1() {
    let fixture = Fixture::new(&[]);
    let server = fixture.telemetry.instruments().for_server(&server_id());
    let states = [
        State::Stopped,
        State::Starting,
        State::Ready,
        State::Unhealthy,
        State::Backoff,
        State::Stopping,
        State::Failed,
    ];
    let ones = || {
        let text = fixture.telemetry.prometheus_text();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("host_mcp_gateway_server_state{"));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        assert_eq!(lines.len(), states.len(), "{lines:?}");
        lines
            .into_iter()
            .filter(|line| line.ends_with(" 1"))
            .collect::<Vec<_>>()
    };
    for state in states {
        server.state(state.as_str());
        let ones = ones();
        assert_eq!(ones.len(), 1, "{ones:?}");
        assert!(
            ones[0].contains(&format!("=\"{}\"", state.as_str())),
            "{ones:?}"
        );
    }
    server.removed();
    assert_eq!(ones(), Vec::<String>::new());
}
