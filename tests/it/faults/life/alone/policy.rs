//! Asking a server that rests.

use tokio::time::Instant;

use super::*;

/// F02, RC01: a clean end under `on-failure` is left alone; who asks later is answered by the next process.
#[tokio::test]
async fn a_clean_end_under_on_failure_is_left_alone_until_somebody_asks() {
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
    let health = client.get("/health").await.json();
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(client.status("g1").await["incarnation"], 1);
    let asked = Instant::now();
    echoes(&client, "g1", "again").await;
    assert!(asked.elapsed() < SOON);
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 2, "{status}");
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}
