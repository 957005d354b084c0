//! Servers that cannot be kept running: they are given up, and then cost nothing.

use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;

/// The restarts of the fault profile, all delays and starts together, on a loaded machine.
const GIVEN_UP: Duration = Duration::from_secs(20);
/// The longest delay of the fault profile, with its jitter.
const LONGEST_DELAY: Duration = Duration::from_millis(1920);

async fn failed(client: &Client) -> Value {
    status_where(client, "g1", "failed", GIVEN_UP, |status| {
        status["status"] == "failed"
    })
    .await
}

/// Requests are refused at once and start nothing.
async fn costs_nothing(gateway: &Gateway, incarnation: u64) {
    let client = gateway.client();
    let until = Instant::now() + LONGEST_DELAY + Duration::from_millis(500);
    let mut slowest = Duration::ZERO;
    while Instant::now() < until {
        let asked = Instant::now();
        let answer = client.call("g1", "echo", &json!({"text": "no"})).await;
        slowest = slowest.max(asked.elapsed());
        assert_eq!(fault_of(&answer), fault(503, "server_failed", "no"));
    }
    assert!(slowest < Duration::from_millis(250), "took {slowest:?}");
    let status = client.status("g1").await;
    assert_eq!(status["status"], "failed", "{status}");
    assert_eq!(status["incarnation"], incarnation, "{status}");
    let next = status["next_start_in_ms"].as_u64().unwrap();
    assert!((240_000..=360_000).contains(&next), "{status}");
    assert!(status["pid"].is_null(), "{status}");
    let health = client.get("/health").await.json();
    assert_eq!(health["status"], "degraded", "{health}");
}

/// F07: before it is ever ready, as many starts as `restart_limit.count`.
#[tokio::test]
async fn a_server_that_never_becomes_ready_is_given_up() {
    let orders = json!({"exit": 3});
    let server = Server::gremlin("g1").orders(&orders);
    let gateway = fault_gateway(server.set("restart_policy", "always"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control"]).await;
    let answer = client.call("g1", "echo", &json!({"text": "up"})).await;
    assert_eq!(fault_of(&answer), fault(503, "server_starting", "no"));
    let status = failed(&client).await;
    assert_eq!(status["restart_count"], 4, "{status}");
    assert_eq!(status["last_exit_code"], 3, "{status}");
    costs_nothing(&gateway, 5).await;
    oracle.holds(&gateway, "g1").await;
}

/// F07: ready each time, as many restarts as `restart_limit.count`, and the end after that is the last.
#[tokio::test]
async fn a_server_that_crashes_again_and_again_is_given_up_until_an_operator_starts_it() {
    let gateway = fault_gateway(Server::gremlin("g1").set("restart_policy", "always"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    for incarnation in 1..=6 {
        ready_in(&client, "g1", incarnation).await;
        let answer = client.deed("g1", &json!({"do": "exit", "code": 1})).await;
        assert_eq!(fault_of(&answer), server_lost(), "life {incarnation}");
    }
    let status = failed(&client).await;
    assert_eq!(status["restart_count"], 5, "{status}");
    costs_nothing(&gateway, 6).await;
    let started = client.post("/servers/g1/start?wait", "").await;
    assert_eq!(started.status, 200, "{}", started.text());
    echoes(&client, "g1", "again").await;
    oracle.holds(&gateway, "g1").await;
}

/// F10: it is given up even though the starts span more than the window of `restart_limit`.
#[tokio::test]
async fn a_handshake_that_is_never_answered_is_a_failed_start() {
    let orders = json!({"fail_handshake": "silent"});
    let gateway = fault_gateway(Server::gremlin("g1").orders(&orders));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control"]).await;
    let asked = Instant::now();
    let answer = client.call("g1", "echo", &json!({"text": "up"})).await;
    let took = asked.elapsed();
    assert_eq!(fault_of(&answer), fault(503, "server_starting", "no"));
    assert!(!answer.header("retry-after").is_empty());
    let (least, most) = (Duration::from_secs(2), Duration::from_secs(3));
    assert!(least <= took && took <= most, "held for {took:?}");
    let status = failed(&client).await;
    assert!(asked.elapsed() > Duration::from_secs(10));
    // Five that count, and those that the client's capabilities and the era probe may have silenced.
    assert_eq!(status["incarnation"], 7, "{status}");
    let reason = status["last_error"].as_str().unwrap();
    assert!(reason.contains("startup_timeout_ms"), "{reason}");
    assert_eq!(gateway.journal("g1").count("\"echo\""), 0);
    costs_nothing(&gateway, 7).await;
    oracle.holds(&gateway, "g1").await;
}
