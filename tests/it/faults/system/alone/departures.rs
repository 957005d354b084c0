//! Clients that hang up while their call is under way, in either era.

use serde_json::json;
use tokio::time::Instant;

use super::super::*;
use crate::alone::{echoes, fault_gateway, journal_has};
use crate::support::Server;
use crate::support::mcp::{Session, modern, modern_post, tool_call};
use crate::support::oracle::Oracle;

/// F52: a legacy call belongs to its session, which lives on: the server is not told, and answers nobody.
#[tokio::test]
async fn a_legacy_call_is_finished_without_its_client() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let leaving = gateway.client();
    let session = Session::open(&leaving, "/g1/mcp", "2025-11-25").await;
    let sleep = json!({"do": "sleep", "ms": 300, "nonce": "left"});
    let call = tool_call(1, "gremlin", &sleep);
    tokio::select! {
        _ = session.tell(&call) => panic!("answered before it was left"),
        () = journal_has(&gateway, "g1", "\"left\"", 1) => {}
    }
    drop((session, leaving));
    assert_eq!(client.status("g1").await["in_flight"], 1);
    nothing_is_under_way(&client, "g1").await;
    let finished = "mcp_client_operation_duration_seconds_count";
    let text = client.get("/metrics").await.text();
    let calls = text
        .lines()
        .filter(|line| line.starts_with(finished) && line.contains("tools/call"));
    let calls: Vec<&str> = calls.filter(|line| line.contains("\"g1\"")).collect();
    assert_eq!(calls.len(), 1, "one series, without an error: {calls:?}");
    assert!(!calls[0].contains("error_type"), "{calls:?}");
    assert_eq!(
        gateway
            .journal("g1")
            .count_method("notifications/cancelled"),
        0
    );
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}

/// F52: a modern call is its connection's: the server is told at once.
#[tokio::test]
async fn a_modern_call_is_cancelled_at_once_when_its_client_hangs_up() {
    let gateway = fault_gateway(Server::gremlin("g1").orders(&json!({"era": "modern"})));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let params = json!({"name": "gremlin", "arguments": {"do": "nothing", "nonce": "left"}});
    let call = modern(1, "tools/call", &params);
    let leaving = gateway.client();
    tokio::select! {
        _ = modern_post(&leaving, "/g1/mcp", &call).send() => panic!("answered before it was left"),
        () = journal_has(&gateway, "g1", "\"left\"", 1) => {}
    }
    drop(leaving);
    let left = Instant::now();
    journal_has(&gateway, "g1", "notifications/cancelled", 1).await;
    let took = left.elapsed();
    assert!(took <= Duration::from_millis(100), "told after {took:?}");
    nothing_is_under_way(&client, "g1").await;
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}
