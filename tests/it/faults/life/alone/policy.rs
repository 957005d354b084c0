//! What it costs to ask a server that rests.

use tokio::time::Instant;

use super::*;

/// F02: a clean end under `on-failure` is the end, and who asks later is told so at once.
#[tokio::test]
async fn a_clean_end_under_on_failure_is_the_end_and_is_told_at_once() {
    const AT_ONCE: Duration = Duration::from_millis(50);
    let gateway = fault_gateway(Server::gremlin("g1").set("restart_policy", "on-failure"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    exits(&client, "g1", 0).await;
    let status = status_where(&client, "g1", "stopped", SOON, |status| {
        status["status"] == "stopped"
    })
    .await;
    assert_eq!(status["last_exit_code"], 0, "{status}");
    assert!(status["last_exit_signal"].is_null(), "{status}");
    assert!(status["pid"].is_null(), "{status}");
    let mut took = Vec::new();
    for _ in 0..15 {
        let asked = Instant::now();
        let answer = client.call("g1", "echo", &json!({"text": "no"})).await;
        took.push(asked.elapsed());
        assert_eq!(fault_of(&answer), fault(503, "server_stopped", "no"));
    }
    took.sort_unstable();
    let median = took[took.len() / 2];
    assert!(median < AT_ONCE, "told after {took:?}");
    let status = client.status("g1").await;
    assert_eq!(status["status"], "stopped", "{status}");
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}
