//! Log lines: what they hold, and what they never hold.

use host_mcp_gateway::audit;
use host_mcp_gateway::fault::FaultKind;
use host_mcp_gateway::telemetry::Format;
use host_mcp_gateway::types::{Principal, PrincipalId, TokenFingerprint};

use super::*;

#[test]
fn a_line_is_json_with_its_fields_those_of_its_spans_and_its_trace() {
    let collector = Collector::start(Mode::Normal);
    let fixture = Fixture::with_endpoint(&collector.authority());
    fixture.run(|| {
        let around = tracing::info_span!("request", request_id = 5);
        around.in_scope(|| call(Some(IN_HEADER), Some(IN_META), Outcome::Ok));
    });
    let log = fixture.finish();
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("one JSON line");
    assert_eq!(line["level"], "info");
    assert_eq!(line["message"], "tool called");
    assert_eq!(line["server_id"], "host-service");
    assert_eq!(line["request_id"], 5);
    assert_eq!(line["trace_id"], "3".repeat(32), "that of the HTTP request");
    assert!(
        line["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );
}

/// H120
#[test]
fn control_characters_reach_a_line_only_as_escapes() {
    let fixture = Fixture::new(&[]);
    let evil = "a\nb\r\u{1b}]0;title\u{7}\u{9b}2J\u{202e}";
    fixture.run(|| tracing::warn!(path = evil, debug = ?evil, display = %evil, "got {evil}"));
    let log = fixture.finish();
    assert_eq!(log.lines().count(), 1, "{log:?}");
    let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!log.contains(bad), "{log:?}");
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("JSON");
    assert_eq!(line["path"], evil);
}

/// H115
#[test]
fn the_startup_line_says_where_things_go_and_no_password() {
    let fixture = Fixture::new(&[
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://user:hunter2@127.0.0.1:9/hunter2?key=hunter2",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_PROPAGATORS", "hunter2"),
    ]);
    fixture.run(|| fixture.telemetry.announce());
    assert_eq!(fixture.telemetry.warnings().len(), 1);
    let log = fixture.finish();
    assert!(
        log.contains("\"traces\":\"http://127.0.0.1:9 (grpc)\""),
        "{log}"
    );
    assert!(log.contains("\"logs\":\"off\""), "{log}");
    assert!(log.contains("OTEL_PROPAGATORS is ignored"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn exporters_repeat_a_complaint_once_a_minute_at_most() {
    let fixture = Fixture::new(&[]);
    fixture.run(|| {
        for _ in 0..10 {
            tracing::warn!(name: "ExportFailed", target: "opentelemetry_sdk", "refused");
            tracing::warn!(name: "QueueFull", target: "opentelemetry_sdk", "dropped");
        }
    });
    assert_eq!(fixture.finish().lines().count(), 2);
}

#[test]
fn the_text_form_is_a_line_for_people() {
    let log = tempfile::NamedTempFile::new().expect("file");
    let config = Config {
        filter: "warn".parse().expect("legal"),
        format: Format::Text,
    };
    let sink = log.reopen().expect("file");
    let (telemetry, subscriber) = build(&config, &|_| None, sink, false).expect("built");
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("left out");
        tracing::warn!(server_id = "a", error = "two words", "server\nlost");
        telemetry.shutdown(LIMIT);
    });
    let text = std::fs::read_to_string(log.path()).expect("text");
    let (time, rest) = text.split_once(' ').expect("time");
    assert_eq!(time.len(), "2026-01-01T00:00:00.000Z".len());
    let expected = " WARN it::telemetry::logs: server\\nlost server_id=a error=\"two words\"\n";
    assert_eq!(rest, expected);
}

#[test]
fn an_audit_line_names_who_and_what_and_holds_no_payload() {
    let config = Config {
        filter: "info,audit=debug".parse().expect("legal"),
        ..Config::default()
    };
    let fixture = Fixture::logging(&config, &[]);
    let server = server_id();
    let principal = Principal {
        id: PrincipalId(1),
        fingerprint: TokenFingerprint::default(),
        name: "laptop".into(),
        admin: false,
        servers: None,
    };
    let call = Call {
        server: &server,
        method: "resources/read",
        target: Some(Target::Resource("file:///payload")),
        id: Some("\"payload\""),
        session: Some("payload"),
        revision: None,
    };
    fixture.run(|| {
        audit::log(|| audit::Entry {
            principal: &principal,
            call,
            outcome: Outcome::Fault(FaultKind::ServerTimeout),
            duration: Duration::from_millis(1500),
            bytes_in: 10,
            bytes_out: 20,
        });
    });
    let log = fixture.finish();
    let line: serde_json::Value = serde_json::from_str(log.trim()).expect("one JSON line");
    let expected = [
        ("target", serde_json::json!("audit")),
        ("token", "laptop".into()),
        ("server_id", "host-service".into()),
        ("method", "resources/read".into()),
        ("outcome", "server_timeout".into()),
        ("duration_ms", 1500.0.into()),
        ("bytes_in", 10.into()),
        ("bytes_out", 20.into()),
    ];
    for (key, value) in expected {
        assert_eq!(line[key], value, "{key}");
    }
    assert!(!log.contains("payload"), "{log}");
}
