//! Telemetry of a whole gateway: one call is one trace, and what is counted arrives over OTLP and on `/metrics`.

use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::collector::{Collector, Mode, Received, attribute};
use crate::support::gateway::Builder;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const IN_META: &str = "00-11111111111111111111111111111111-2222222222222222-01";
const IN_HEADER: &str = "00-33333333333333333333333333333333-4444444444444444-01";

/// A collector; it has a runtime of its own and may not be started on that of a test.
async fn collector(mode: Mode) -> Collector {
    tokio::task::spawn_blocking(move || Collector::start(mode))
        .await
        .unwrap()
}

fn exporting(builder: Builder, collector: &Collector) -> Builder {
    builder.env(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        &format!("http://{}", collector.authority()),
    )
}

/// One call with the caller's context in the header and, if given, in `_meta`; the `_meta` the child saw, and all spans.
async fn traced_call(meta: Option<&str>) -> (Value, Received) {
    let collector = collector(Mode::Normal).await;
    let gateway = exporting(Gateway::builder(), &collector)
        .server(Server::gremlin("g1"))
        .start();
    let mut params = json!({"name": "echo", "arguments": {"text": "hi"}});
    if let Some(meta) = meta {
        params["_meta"] = json!({"traceparent": meta, "mine": 1});
    }
    let body = json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params});
    let client = gateway.client();
    let request = client
        .request(Method::POST, "/g1/rpc")
        .header("content-type", "application/json");
    let answer = client
        .send(
            request
                .header("traceparent", IN_HEADER)
                .body(body.to_string()),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let called = gateway.journal("g1").of_method("tools/call").remove(0);
    assert_eq!(gateway.stop().await.code(), Some(0));
    let received = collector.wait_for(SOON, |received| of_call(received).len() == 3);
    (called["params"]["_meta"].clone(), received)
}

/// The spans of the one call: the gateway's own handshake has traces of its own.
fn of_call(received: &Received) -> Vec<&Span> {
    let names = ["POST /{server_id}/rpc", "tools/call echo"];
    received
        .spans
        .iter()
        .filter(|span| names.contains(&span.name.as_str()))
        .collect()
}

fn kind(received: &Received, name: &str, kind: SpanKind) -> Span {
    let spans = of_call(received);
    let mut found = spans
        .into_iter()
        .filter(|span| span.name == name && span.kind == kind as i32);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no {kind:?} span {name}"))
        .clone();
    assert!(found.next().is_none(), "two {kind:?} spans {name}");
    span
}

/// A span's context as the child is told of it.
fn traceparent(span: &Span) -> String {
    let (trace, id) = (hex::encode(&span.trace_id), hex::encode(&span.span_id));
    format!("00-{trace}-{id}-01")
}

#[tokio::test]
async fn a_call_is_one_trace_from_the_callers_header_to_the_child() {
    let (meta, received) = traced_call(None).await;
    let http = kind(&received, "POST /{server_id}/rpc", SpanKind::Server);
    let server = kind(&received, "tools/call echo", SpanKind::Server);
    let client = kind(&received, "tools/call echo", SpanKind::Client);
    for span in [&http, &server, &client] {
        assert_eq!(span.trace_id, [0x33; 16], "the caller's trace: {span:?}");
    }
    assert_eq!(http.parent_span_id, [0x44; 8]);
    assert_eq!(server.parent_span_id, http.span_id);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(meta["traceparent"], traceparent(&client));
    let text = |span: &Span, key: &str| attribute(&span.attributes, key);
    assert_eq!(
        text(&http, "http.response.status_code").as_deref(),
        Some("200")
    );
    assert_eq!(text(&server, "jsonrpc.request.id").as_deref(), Some("a"));
    assert_eq!(
        text(&server, "host_mcp_gateway.server.id").as_deref(),
        Some("g1")
    );
    assert_eq!(
        text(&client, "mcp.protocol.version").as_deref(),
        Some("2025-11-25")
    );
}

#[tokio::test]
async fn a_start_is_a_trace_of_its_own_whichever_way_it_ends() {
    let collector = collector(Mode::Normal).await;
    let gremlin = |id, fault: &str| {
        let orders = json!({ "fail_handshake": fault });
        Server::gremlin(id).orders(&orders).autostart()
    };
    let gateway = exporting(Gateway::builder(), &collector)
        .server(Server::gremlin("well").autostart())
        .server(Server::new("missing", "/nowhere/to/be/found", &[]).autostart())
        .server(gremlin("refuses", "error"))
        .server(gremlin("silent", "silent").set("startup_timeout_ms", 500))
        .start();
    let ends = [
        ("well", None),
        ("missing", Some("cannot_start")),
        ("refuses", Some("handshake_failed")),
        ("silent", Some("handshake_failed")),
    ];
    let first_start = |received: &Received, id: &str| {
        let mut starts = received.spans.iter().filter(|span| {
            let server = attribute(&span.attributes, "host_mcp_gateway.server.id");
            span.name == "server start" && server.as_deref() == Some(id)
        });
        starts.next().cloned()
    };
    let received = collector.wait_for(SOON, |received| {
        let mut ids = ends.iter().map(|(id, _)| id);
        ids.all(|id| first_start(received, id).is_some())
    });
    for (id, fault) in ends {
        let span = first_start(&received, id).unwrap();
        let text = |key: &str| attribute(&span.attributes, key);
        assert_eq!(text("error.type").as_deref(), fault, "{id}");
        assert_eq!(text("process.pid").is_some(), id != "missing", "{id}");
        let revision = fault.is_none().then_some("2025-11-25");
        assert_eq!(text("mcp.protocol.version").as_deref(), revision, "{id}");
        let code = span.status.as_ref().map_or(0, |status| status.code);
        assert_eq!(code == StatusCode::Error as i32, fault.is_some(), "{id}");
        assert!(span.parent_span_id.is_empty(), "{id}");
    }
    assert_eq!(gateway.stop().await.code(), Some(0));
}

#[tokio::test]
async fn the_context_in_meta_goes_first_and_the_http_span_is_linked() {
    let (meta, received) = traced_call(Some(IN_META)).await;
    let http = kind(&received, "POST /{server_id}/rpc", SpanKind::Server);
    let server = kind(&received, "tools/call echo", SpanKind::Server);
    let client = kind(&received, "tools/call echo", SpanKind::Client);
    assert_eq!(
        (http.trace_id.as_slice(), http.parent_span_id.as_slice()),
        (&[0x33; 16][..], &[0x44; 8][..])
    );
    assert_eq!(
        (server.trace_id.as_slice(), server.parent_span_id.as_slice()),
        (&[0x11; 16][..], &[0x22; 8][..])
    );
    let links: Vec<_> = server
        .links
        .iter()
        .map(|link| (&link.trace_id, &link.span_id))
        .collect();
    assert_eq!(links, [(&http.trace_id, &http.span_id)]);
    assert_eq!(
        (&client.trace_id, &client.parent_span_id),
        (&server.trace_id, &server.span_id)
    );
    assert_eq!(
        meta,
        json!({"traceparent": traceparent(&client), "mine": 1}),
        "the rest of it untouched"
    );
}

#[tokio::test]
async fn without_telemetry_the_callers_context_passes_on() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let params =
        json!({"name": "echo", "arguments": {"text": "hi"}, "_meta": {"traceparent": IN_META}});
    let call = json!({"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params});
    assert_eq!(gateway.client().rpc("g1", &call).await.status, 200);
    assert_eq!(gateway.journal("g1").count(IN_META), 1);
}

/// The newest value of a counter or a gauge with this attribute, or the count of a histogram over all its series.
fn newest(received: &Received, name: &str, with: (&str, &str)) -> Option<f64> {
    let mut metrics = received.metrics.iter().rev();
    let metric = metrics.find(|metric| metric.name == name)?;
    let fits = |attributes: &[_]| attribute(attributes, with.0).as_deref() == Some(with.1);
    let points = match metric.data.as_ref()? {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Histogram(histogram) => {
            let points = histogram.data_points.iter();
            let counts = points.filter(|point| fits(&point.attributes));
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let count = counts.map(|point| point.count).sum::<u64>() as f64;
            return Some(count);
        }
        other => panic!("{name} is {other:?}"),
    };
    let point = points.iter().find(|point| fits(&point.attributes))?;
    match point.value? {
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        Number::AsInt(value) => Some(value as f64),
        Number::AsDouble(value) => Some(value),
    }
}

/// The value of the one series of `/metrics` that starts with this name and has all these labels.
fn series(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut lines = text
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    let line = lines.next()?;
    assert!(
        lines.next().is_none(),
        "several series {name} {labels:?} in {text}"
    );
    line.rsplit(' ').next()?.parse().ok()
}

/// What the collector has at the end of the same things.
fn the_same_arrives(collector: &Collector) {
    let of_server = ("host_mcp_gateway.server.id", "g1");
    for (name, with, expected) in [
        (
            "http.server.request.duration",
            ("http.route", "/{server_id}/rpc"),
            5.0,
        ),
        ("mcp.server.operation.duration", of_server, 5.0),
        ("mcp.client.operation.duration", of_server, 5.0),
        ("host_mcp_gateway.server.restarts", of_server, 1.0),
        ("host_mcp_gateway.server.in_flight", of_server, 0.0),
        ("host_mcp_gateway.refusals", ("reason", "auth_failed"), 2.0),
    ] {
        collector.wait_for(SOON, |received| {
            newest(received, name, with) == Some(expected)
        });
    }
}

#[tokio::test]
async fn requests_latency_restarts_load_and_refusals_are_counted_on_both_ways() {
    let collector = collector(Mode::Normal).await;
    let gateway = exporting(Gateway::builder(), &collector)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    for _ in 0..3 {
        assert_eq!(
            client
                .call("g1", "echo", &json!({"text": "hi"}))
                .await
                .status,
            200
        );
    }
    for _ in 0..2 {
        assert_eq!(gateway.client_with(None).get("/health").await.status, 401);
    }
    let of_g1 = "host_mcp_gateway_server_id=\"g1\"";
    let in_flight = async |expected: f64| {
        wait_for(&format!("{expected} in flight"), SOON, async || {
            let text = client.get("/metrics").await.text();
            (series(&text, "host_mcp_gateway_server_in_flight{", &[of_g1]) == Some(expected))
                .then_some(())
        })
        .await;
    };
    let held = json!({"do": "sleep", "ms": 1000, "say": "done"});
    tokio::join!(
        client.deed("g1", &held),
        client.deed("g1", &held),
        in_flight(2.0)
    );
    in_flight(0.0).await;
    let restart = client.request(Method::POST, "/servers/g1/restart?wait");
    assert_eq!(client.send(restart).await.status, 200);

    let text = client.get("/metrics").await.text();
    let calls = ["mcp_method_name=\"tools/call\"", of_g1];
    for (name, labels, expected) in [
        (
            "http_server_request_duration_seconds_count{",
            &["http_route=\"/{server_id}/rpc\"", "\"200\""][..],
            5.0,
        ),
        ("mcp_server_operation_duration_seconds_count{", &calls, 5.0),
        ("mcp_client_operation_duration_seconds_count{", &calls, 5.0),
        ("host_mcp_gateway_server_restarts_total{", &[of_g1], 1.0),
        (
            "host_mcp_gateway_refusals_total{",
            &["reason=\"auth_failed\""],
            2.0,
        ),
        ("host_mcp_gateway_server_state{", &["\"ready\"", of_g1], 1.0),
    ] {
        assert_eq!(
            series(&text, name, labels),
            Some(expected),
            "{name} {labels:?} in {text}"
        );
    }
    let total = series(&text, "mcp_server_operation_duration_seconds_sum{", &calls).unwrap();
    assert!(
        total > 2.0 && total < 60.0,
        "two calls of a second each, in seconds: {total}"
    );

    assert_eq!(gateway.stop().await.code(), Some(0));
    the_same_arrives(&collector);
}

#[tokio::test]
async fn what_waits_to_be_written_is_counted_apart_from_what_was() {
    let gateway = Gateway::builder()
        .limit("max_in_flight", 1)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    client.call("g1", "echo", &json!({"text": "up"})).await;
    let held = json!({"do": "sleep", "ms": 1500, "say": "done"});
    let of_g1 = "host_mcp_gateway_server_id=\"g1\"";
    let counted = async {
        wait_for(
            "one written and one waiting",
            Duration::from_secs(3),
            async || {
                let text = client.get("/metrics").await.text();
                let is_one = |name: &str| series(&text, name, &[of_g1]) == Some(1.0);
                let both = is_one("host_mcp_gateway_server_in_flight{")
                    && is_one("host_mcp_gateway_server_queued{");
                both.then_some(())
            },
        )
        .await;
    };
    let (one, two, ()) = tokio::join!(client.deed("g1", &held), client.deed("g1", &held), counted);
    assert_eq!((one.status, two.status), (200, 200));
}
