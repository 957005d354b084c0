//! Requests to a server that is not up: asleep, starting, or waiting for its restart.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::client::Answer;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

fn text(answer: &Answer) -> String {
    let said = &answer.json()["result"]["content"][0]["text"];
    said.as_str()
        .unwrap_or_else(|| panic!("{}", answer.text()))
        .to_owned()
}

#[tokio::test]
async fn a_sleeping_server_is_healthy_and_wakes_for_its_first_request() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("lazy").orders(&json!({"slow_start_ms": 400})))
        .start();
    let client = gateway.client();
    let asleep = client.status("lazy").await;
    assert_eq!(
        (&asleep["status"], &asleep["incarnation"]),
        (&json!("stopped"), &json!(0))
    );
    assert_eq!(client.get("/health").await.json()["status"], "ok");
    assert_eq!(client.get("/ready").await.status, 200);
    assert!(gateway.journal("lazy").entries().is_empty());

    // Several at once: one start, each held and answered.
    let call = |word: &'static str| {
        let client = client.clone();
        async move { client.call("lazy", "echo", &json!({"text": word})).await }
    };
    let (one, two, three) = tokio::join!(call("one"), call("two"), call("three"));
    assert_eq!(
        [text(&one), text(&two), text(&three)],
        ["one", "two", "three"]
    );
    let awake = client.status("lazy").await;
    assert_eq!(
        (&awake["status"], &awake["incarnation"]),
        (&json!("ready"), &json!(1))
    );
    assert_eq!(gateway.journal("lazy").count_method("tools/call"), 3);
}

#[tokio::test]
async fn a_first_request_is_held_beyond_hold_ms_while_the_server_starts() {
    let gateway = Gateway::builder()
        .limit("hold_ms", 100)
        .set("request_timeout_ms", 500)
        .server(Server::gremlin("lazy").orders(&json!({"slow_start_ms": 900})))
        .start();
    let answer = gateway
        .client()
        .call("lazy", "echo", &json!({"text": "held"}))
        .await;
    assert_eq!(text(&answer), "held");
}

#[tokio::test]
async fn a_request_during_backoff_is_held_and_then_told_when_to_come_back() {
    let gateway = Gateway::builder()
        .limit("hold_ms", 400)
        .set("restart_backoff_ms", 8000)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    client
        .deed("g1", &json!({"do": "exit", "code": 1, "reply": true}))
        .await;
    let entry = wait_for("the backoff", SOON, async || {
        let entry = client.status("g1").await;
        (entry["status"] == "backoff").then_some(entry)
    })
    .await;
    assert!(
        entry["next_start_in_ms"].as_u64().unwrap() <= 9600,
        "{entry}"
    );
    assert_eq!(entry["last_error"], "exited with code 1");

    let asked = Instant::now();
    let answer = client
        .call("g1", "echo", &json!({"text": "x", "nonce": "n1"}))
        .await;
    let held = asked.elapsed();
    assert_eq!(
        (answer.status, answer.error_code()),
        (503, json!("server_starting"))
    );
    assert!(
        held >= Duration::from_millis(400) && held < Duration::from_secs(4),
        "held for {held:?}"
    );
    let error = &answer.json()["error"];
    assert_eq!(error["delivered"], "no");
    let again = error["retry_after_ms"].as_u64().unwrap();
    assert!(
        again > 1000 && again <= 9600,
        "when the start is due: {error}"
    );
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert_eq!(seconds, again.div_ceil(1000));
    assert_eq!(gateway.journal("g1").count("\"n1\""), 0, "never delivered");
}

#[tokio::test]
async fn a_request_during_a_short_backoff_is_held_and_answered_by_the_next_life() {
    let gateway = Gateway::builder()
        .set("restart_backoff_ms", 300)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    client
        .deed("g1", &json!({"do": "exit", "code": 1, "reply": true}))
        .await;
    wait_for("the end of the first life", SOON, async || {
        (client.status("g1").await["status"] != "ready").then_some(())
    })
    .await;
    let answer = client
        .call("g1", "echo", &json!({"text": "second life"}))
        .await;
    assert_eq!(text(&answer), "second life");
    let entry = client.status("g1").await;
    assert_eq!(
        (
            &entry["incarnation"],
            &entry["restart_count"],
            &entry["last_exit_code"]
        ),
        (&json!(2), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_given_up_and_says_so() {
    let gateway = Gateway::builder()
        .fault_profile()
        .set("restart_limit", json!({"count": 2, "window_ms": 10_000}))
        .server(
            Server::gremlin("g1")
                .orders(&json!({"exit": 9, "stderr_line": "no licence"}))
                .autostart(),
        )
        .start();
    let client = gateway.client();
    let entry = wait_for("the end of trying", SOON, async || {
        let entry = client.status("g1").await;
        (entry["status"] == "failed").then_some(entry)
    })
    .await;
    let reason = entry["last_error"].as_str().unwrap();
    assert!(
        reason.contains("2 failed starts in a row") && reason.contains("code 9"),
        "{reason}"
    );
    assert!(
        entry["stderr_tail"].to_string().contains("no licence"),
        "{entry}"
    );
    let refused = client.call("g1", "echo", &json!({"text": "x"})).await;
    assert_eq!(
        (refused.status, refused.error_code()),
        (503, json!("server_failed"))
    );
    wait_until("the log to say so", SOON, || {
        gateway.logs().text().contains("given up after")
    })
    .await;
}
