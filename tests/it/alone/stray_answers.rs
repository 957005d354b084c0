//! Answers that nobody asked for, twice, too late, or under another name.

use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;

/// The request timeout of the fault profile, and what U2 allows on top.
const TIMEOUT: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_secs(3);

async fn times_out(client: &Client, deed: &Value) {
    let asked = Instant::now();
    let answer = client.deed("g1", deed).await;
    let took = asked.elapsed();
    assert_eq!(fault_of(&answer), fault(504, "server_timeout", "unknown"));
    assert!(TIMEOUT <= took && took <= LATEST, "{deed} took {took:?}");
}

/// Waits until this many messages were dropped for a reason.
async fn dropped_in_all(client: &Client, reason: &str, count: u32) {
    let what = format!("{count} dropped as {reason}");
    wait_for(&what, SOON, async || {
        let number = dropped(client, "g1", reason).await;
        assert!(
            number < f64::from(count) + 0.5,
            "{number} dropped as {reason}"
        );
        (number > f64::from(count) - 0.5).then_some(())
    })
    .await;
}

/// F46: what is dropped is counted, and so is the answer that is taken with its id as a text.
#[tokio::test]
async fn of_two_answers_the_first_counts_and_a_stray_one_for_nobody() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let twice = json!({"do": "dup_reply", "say": "one"});
    assert_eq!(echoed(&client.deed("g1", &twice).await), "one");
    dropped_in_all(&client, "late_reply", 1).await;
    echoes(&client, "g1", "after the second of two").await;

    times_out(&client, &json!({"do": "wrong_id", "say": "stray"})).await;
    dropped_in_all(&client, "unknown_reply", 1).await;
    times_out(&client, &json!({"do": "no_id", "say": "nameless"})).await;
    dropped_in_all(&client, "garbage_line", 1).await;

    // The gateway mints integers only, so the digits as text can mean nothing else.
    let text = json!({"do": "string_id", "say": "text"});
    assert_eq!(echoed(&client.deed("g1", &text).await), "text");
    let tolerated = "host_mcp_gateway_server_tolerated_messages_total{deviation=\"id_as_string\",host_mcp_gateway_server_id=\"g1\"}";
    let counted = metric(&client, tolerated).await;
    assert!((counted - 1.0).abs() < 0.5, "{counted} counted");
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.holds(&gateway, "g1").await;
}

/// F47: the answer to a request that was given up is not the answer to the next one of the same name.
#[tokio::test]
async fn a_late_answer_is_not_taken_for_that_of_a_request_with_the_same_id() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    // `call` gives every request the id 1.
    let late = json!({"do": "late_reply", "ms": 3000, "say": "late", "nonce": "late"});
    times_out(&client, &late).await;
    journal_has(&gateway, "g1", "\"notifications/cancelled\"", 1).await;
    let slow = json!({"do": "sleep", "ms": 1500, "say": "own", "nonce": "own"});
    let answer = client.deed("g1", &slow).await;
    assert_eq!(echoed(&answer), "own");
    dropped_in_all(&client, "late_reply", 1).await;
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}
