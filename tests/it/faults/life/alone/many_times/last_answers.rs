//! A server that answers and ends in the same breath.

use super::*;

const USUALLY: u64 = 200;

/// F17: an answer that was written before the end is the answer, also when the end follows at once.
#[tokio::test]
async fn an_answer_written_just_before_the_end_is_delivered_every_time() {
    let lives = cycles(USUALLY);
    let gateway = fault_gateway(Server::gremlin("g1").set("restart_policy", "on-failure"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let exit = json!({"do": "exit", "reply": true, "code": 0});
    for life in 1..=lives {
        let answer = client.deed("g1", &exit).await;
        assert_eq!(echoed(&answer), "goodbye", "life {life}");
        // A clean end is not undone by this policy, which leaves the pace to this test.
        status_where(&client, "g1", "stopped", SOON, |status| {
            status["status"] == "stopped" && status["incarnation"] == life
        })
        .await;
        ordered(&client, "g1", "start").await;
    }
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], lives + 1, "{status}");
    assert_eq!(status["restart_count"], lives, "{status}");
    oracle.holds(&gateway, "g1").await;
}
