//! The metrics page: every instrument under its name, and no series that a caller can invent.

use std::sync::{Arc, Mutex};

use host_mcp_gateway::fault::FaultKind;
use host_mcp_gateway::instruments::{DropReason, Seen};
use host_mcp_gateway::supervisor::State;

use super::*;

#[test]
fn the_prometheus_text_has_every_instrument_under_its_name() {
    let fixture = Fixture::new(&[]);
    let instruments = fixture.telemetry.instruments();
    let server = instruments.for_server(&server_id());
    let connection = instruments.connection();
    instruments.connection_refused();
    server.watch(|| Some(seen(State::Ready, 3, 2)));
    let held = server.stream();
    let _active = instruments.http_request("POST");
    instruments
        .http_request("POST")
        .finish(Some("/{server_id}/rpc"), 503);
    drop(instruments.http_request("GET"));
    instruments.refused(FaultKind::HostDenied);
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
        format!("host_mcp_gateway_server_in_flight{{{id}}} 3"),
        format!("host_mcp_gateway_server_queued{{{id}}} 2"),
        format!("host_mcp_gateway_streams{{{id}}} 1"),
        format!("host_mcp_gateway_server_restarts_total{{{id}}} 1"),
        format!("host_mcp_gateway_server_dropped_total{{{id},reason=\"late_reply\"}} 1"),
        "host_mcp_gateway_refusals_total{reason=\"host_denied\"} 1".to_owned(),
        "http_server_active_requests{http_request_method=\"POST\"} 1".to_owned(),
        "host_mcp_gateway_connections_refused_total 1".to_owned(),
        "http_server_request_duration_seconds_count{error_type=\"503\",http_request_method=\"POST\",http_response_status_code=\"503\",http_route=\"/{server_id}/rpc\"} 1".to_owned(),
        "http_server_request_duration_seconds_count{error_type=\"disconnected\",http_request_method=\"GET\"} 1".to_owned(),
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
    assert!(!text.contains("otel_scope"), "{text}");

    drop(held);
    drop(connection);
    let text = fixture.telemetry.prometheus()();
    assert!(
        text.lines()
            .any(|line| line == "host_mcp_gateway_connections 0"),
        "{text}"
    );
}

fn seen(state: State, in_flight: u64, queued: u64) -> Seen {
    Seen {
        state: state.as_str(),
        in_flight,
        queued,
    }
}

/// The lines of the metrics page that begin with this.
fn lines_of(fixture: &Fixture, begin: &str) -> Vec<String> {
    let text = fixture.telemetry.prometheus_text();
    let lines = text.lines().filter(|line| line.starts_with(begin));
    lines.map(str::to_owned).collect()
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
    let present = Arc::new(Mutex::new(None));
    let look = Arc::clone(&present);
    server.watch(move || *look.lock().unwrap());
    for state in states {
        *present.lock().unwrap() = Some(seen(state, 0, 0));
        let lines = lines_of(&fixture, "host_mcp_gateway_server_state{");
        assert_eq!(lines.len(), states.len(), "{lines:?}");
        let ones: Vec<_> = lines.iter().filter(|line| line.ends_with(" 1")).collect();
        assert_eq!(ones.len(), 1, "{ones:?}");
        assert!(
            ones[0].contains(&format!("=\"{}\"", state.as_str())),
            "{ones:?}"
        );
    }
    *present.lock().unwrap() = None;
    let gone = lines_of(&fixture, "host_mcp_gateway_server_state{");
    assert_eq!(gone, Vec::<String>::new(), "a server that is gone");
}

/// Series of one session each would have no bound; two values of one series would be a lottery.
#[test]
fn instances_of_a_server_add_up_in_one_series() {
    let fixture = Fixture::new(&[]);
    let instruments = fixture.telemetry.instruments();
    let alive = Arc::new(Mutex::new(()));
    let second = Arc::downgrade(&alive);
    let server = instruments.for_server(&server_id());
    server.watch(|| Some(seen(State::Ready, 3, 0)));
    server.watch(move || second.upgrade().map(|_| seen(State::Ready, 2, 1)));
    let again = instruments.for_server(&server_id());
    again.watch(|| Some(seen(State::Starting, 0, 4)));
    let value = |name: &str, label: &str| {
        let lines = lines_of(&fixture, &format!("host_mcp_gateway_server_{name}{{"));
        let mut of_label = lines.iter().filter(|line| line.contains(label));
        let (Some(line), None) = (of_label.next(), of_label.next()) else {
            panic!("not one series {name} with {label}: {lines:?}");
        };
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    let numbers = || {
        [
            value("in_flight", ""),
            value("queued", ""),
            value("state", "\"ready\""),
            value("state", "\"starting\""),
        ]
    };
    assert_eq!(numbers(), ["5", "5", "2", "1"]);
    drop(alive);
    assert_eq!(numbers(), ["3", "4", "1", "1"], "one of them is gone");
}
