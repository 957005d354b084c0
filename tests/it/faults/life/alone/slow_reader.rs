//! A server that reads, but so slowly that a request does not get through.

use tokio::time::Instant;

use super::*;

/// What U2 allows beyond a deadline.
const MARGIN: Duration = Duration::from_secs(1);

/// One request that a slow reader cannot take in time; gives the answer's fault, and how long it took.
///
/// `control` answers all the while.
async fn unread(
    gateway: &Gateway,
    oracle: &Oracle,
    bytes: usize,
    every_ms: u64,
) -> ((u16, String, String), Duration) {
    let client = gateway.client();
    let slow = json!({"do": "trickle", "bytes": bytes, "every_ms": every_ms});
    assert_eq!(echoed(&client.deed("g1", &slow).await), "reading slowly");
    // Below the cap of 256 KiB with all that is around it, and far more than a pipe holds.
    let text = "p".repeat(250 * 1024);
    let asked = Instant::now();
    let ask = async {
        let answer = client.call("g1", "echo", &json!({"text": text})).await;
        (fault_of(&answer), asked.elapsed())
    };
    tokio::pin!(ask);
    loop {
        tokio::select! {
            end = &mut ask => return end,
            () = oracle.control_answers(gateway, MARGIN) => {}
        }
    }
}

/// F25: where nothing moves for `stdin_stall_ms`, the stall ends it.
#[tokio::test]
async fn a_request_to_a_server_that_hardly_reads_ends_by_the_stall() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let (end, took) = unread(&gateway, &oracle, 1, 1000).await;
    assert_eq!(end, server_lost());
    let stall = Duration::from_secs(1);
    assert!(stall <= took && took <= stall + MARGIN, "took {took:?}");
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["restart_count"], 1, "{status}");
    let reasons = gateway.logs().text();
    assert!(reasons.contains("did not read its stdin for stdin_stall_ms"));
    echoes(&client, "g1", "after").await;
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}

/// F25: where something moves all the time but too little, the request's own deadline ends it.
#[tokio::test]
async fn a_request_to_a_server_that_reads_too_little_ends_by_its_deadline() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    // 250 KiB take 8 s at this pace, and no write waits for half a second.
    let (end, took) = unread(&gateway, &oracle, 8 * 1024, 250).await;
    assert_eq!(end, fault(504, "server_timeout", "unknown"));
    let deadline = Duration::from_secs(2);
    assert!(
        deadline <= took && took <= deadline + MARGIN,
        "took {took:?}"
    );
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 1, "slow is not dead: {status}");
    ordered(&client, "g1", "restart").await;
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}
