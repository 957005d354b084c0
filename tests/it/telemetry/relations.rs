//! Which span is whose parent, and what the child is told.

use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::resilience::{alone, is_alone};
use super::*;

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
            span.status.as_ref().map(Status::code),
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

/// With a share of nothing, for which no chance decides.
#[test]
fn a_trace_that_is_not_sampled_costs_no_span_and_one_that_its_caller_samples_has_all() {
    let collector = Collector::start(Mode::Normal);
    let fixture = Fixture::with_endpoint(&collector.authority());
    let unsampled = IN_HEADER.replace("-01", "-00");
    fixture.run(|| {
        spans::set_root_share(Some(0.0));
        assert_eq!(call(None, None, Outcome::Ok), None);
        assert_eq!(call(Some(&unsampled), None, Outcome::Ok), None);
        assert!(call(Some(IN_HEADER), None, Outcome::Ok).is_some());
        // The context in the message is the nearer one, and its caller records.
        assert!(call(Some(&unsampled), Some(IN_META), Outcome::Ok).is_some());
        spans::set_root_share(None);
    });
    fixture.finish();
    let received = collector.wait_for(LIMIT, |received| received.spans.len() >= 5);
    assert_eq!(received.spans.len(), 5);
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
        assert!(spans::client_of_http(&call, &HttpSpan::none()).is_disabled());
    });
    let log = fixture.finish();
    assert!(log.contains("tool called"), "{log}");
    assert!(!log.contains("trace_id"), "{log}");
}

#[test]
fn with_propagation_off_no_context_is_used_or_made() {
    if !is_alone() {
        let name = "telemetry::relations::with_propagation_off_no_context_is_used_or_made";
        let output = alone(name).output().expect("started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let collector = Collector::start(Mode::Normal);
    let authority = collector.authority();
    let lookup = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(authority.clone()),
        "OTEL_PROPAGATORS" => Some("none".to_owned()),
        _ => None,
    };
    let telemetry = host_mcp_gateway::telemetry::init(&Config::default(), &lookup).expect("first");
    assert_eq!(call(Some(IN_HEADER), Some(IN_META), Outcome::Ok), None);
    telemetry.shutdown(LIMIT);
    let received = collector.wait_for(LIMIT, |received| received.spans.len() == 3);
    let http = received.span("POST /{server_id}/rpc");
    assert!(http.parent_span_id.is_empty());
    let ids: Vec<_> = received.spans.iter().map(|span| &span.trace_id).collect();
    assert!(ids.iter().all(|id| **id == http.trace_id), "{ids:?}");
}
