//! How a request ends that the child does not answer: timed out, extended by progress, cancelled.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{Answer, Client};
use crate::support::journal::Journal;
use crate::support::mcp::{modern, modern_post};
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

/// A deed as a message with a progress token.
fn deed(id: &str, arguments: &Value) -> Value {
    let params =
        json!({"name": "gremlin", "arguments": arguments, "_meta": {"progressToken": "mine"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// What the child was told of cancellations: the id and the reason.
fn cancellations(journal: &Journal) -> Vec<(Value, Value)> {
    let frames = journal.of_method("notifications/cancelled").into_iter();
    frames
        .map(|frame| {
            (
                frame["params"]["requestId"].clone(),
                frame["params"]["reason"].clone(),
            )
        })
        .collect()
}

/// The id under which the child knows the one request with this text.
fn minted(journal: &Journal, part: &str) -> Value {
    let entries = journal.entries();
    let mut found = entries
        .iter()
        .filter(|entry| entry.contains(part) && !entry.json()["id"].is_null());
    let id = found
        .next()
        .unwrap_or_else(|| panic!("no request with {part}"))
        .json()["id"]
        .clone();
    assert!(found.next().is_none(), "two requests with {part}");
    id
}

fn is_refused(answer: &Answer, status: u16, code: &str, delivered: &str) {
    assert_eq!(
        (answer.status, answer.error_code()),
        (status, json!(code)),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["error"]["delivered"], delivered);
}

async fn told(journal: &Journal, count: usize) {
    wait_until("the child to be told", SOON, || {
        cancellations(journal).len() == count
    })
    .await;
}

#[tokio::test]
async fn a_request_without_an_answer_times_out_and_the_child_is_told() {
    let gateway = Gateway::builder()
        .set("request_timeout_ms", 400)
        .server(Server::gremlin("g1"))
        .start();
    let (client, journal) = (gateway.client(), gateway.journal("g1"));
    let asked = Instant::now();
    let answer = client
        .rpc("g1", &deed("a", &json!({"do": "nothing", "nonce": "n1"})))
        .await;
    assert!(
        asked.elapsed() >= Duration::from_millis(400),
        "{:?}",
        asked.elapsed()
    );
    is_refused(&answer, 504, "server_timeout", "unknown");
    assert_eq!(answer.json()["error"]["request_id"], "a");
    told(&journal, 1).await;
    assert_eq!(
        cancellations(&journal),
        [(minted(&journal, "\"n1\""), json!("timed out"))]
    );

    // An answer that comes too late is nobody's: the next request gets its own.
    let late = json!({"do": "late_reply", "ms": 700, "say": "late"});
    is_refused(
        &client.rpc("g1", &deed("b", &late)).await,
        504,
        "server_timeout",
        "unknown",
    );
    let dropped = "reason=\"late_reply\"} 1";
    wait_for("the late answer", SOON, async || {
        client
            .get("/metrics")
            .await
            .text()
            .contains(dropped)
            .then_some(())
    })
    .await;
    let next = client.call("g1", "echo", &json!({"text": "mine"})).await;
    assert_eq!(next.json()["result"]["content"][0]["text"], "mine");
}

/// F49: progress keeps it alive for `request_max_ms`, and no longer.
#[tokio::test]
async fn progress_extends_a_request_up_to_its_hard_end() {
    let gateway = Gateway::builder()
        .set("request_timeout_ms", 600)
        .set("request_max_ms", 2500)
        .server(Server::gremlin("g1"))
        .start();
    let (client, journal) = (gateway.client(), gateway.journal("g1"));
    client.call("g1", "echo", &json!({"text": "up"})).await;

    let steps =
        |count: u32| json!({"do": "progress", "count": count, "interval_ms": 200, "say": "done"});
    let asked = Instant::now();
    let answer = client.rpc("g1", &deed("a", &steps(6))).await;
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        "done",
        "{}",
        answer.text()
    );
    assert!(
        asked.elapsed() > Duration::from_millis(1200),
        "longer than the timeout: {:?}",
        asked.elapsed()
    );
    assert!(cancellations(&journal).is_empty());

    let asked = Instant::now();
    let answer = client.rpc("g1", &deed("b", &steps(40))).await;
    let took = asked.elapsed();
    is_refused(&answer, 504, "server_timeout", "unknown");
    assert!(
        took >= Duration::from_millis(2500) && took < Duration::from_secs(6),
        "ended after {took:?}"
    );
    told(&journal, 1).await;
}

#[tokio::test]
async fn progress_reaches_the_session_under_the_clients_own_token() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let mut stream = client.listen("/g1/rpc").await;
    let session = stream.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut stranger = client.listen("/g1/rpc").await;

    let steps = json!({"do": "progress", "count": 3, "interval_ms": 1, "say": "done"});
    let answer = in_session(&client, &session, &deed("a", &steps)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for step in 1..=3 {
        let message = stream.message(SOON).await;
        assert_eq!(message["method"], "notifications/progress");
        let params = &message["params"];
        assert_eq!(
            (&params["progressToken"], &params["progress"]),
            (&json!("mine"), &json!(step))
        );
    }
    client
        .deed("g1", &json!({"do": "list_changed", "of": "tools"}))
        .await;
    assert_eq!(
        stranger.message(SOON).await["method"],
        "notifications/tools/list_changed"
    );
}

async fn in_session(client: &Client, session: &str, message: &Value) -> Answer {
    let request = client
        .request(Method::POST, "/g1/rpc")
        .header("content-type", "application/json");
    client
        .send(
            request
                .header("mcp-session-id", session)
                .body(message.to_string()),
        )
        .await
}

fn cancel(id: &str) -> Value {
    let params = json!({"requestId": id, "reason": "changed my mind"});
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
}

#[tokio::test]
async fn a_cancelled_request_is_409_and_the_child_hears_its_own_id() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let (client, journal) = (gateway.client(), gateway.journal("g1"));
    let stream = client.listen("/g1/rpc").await;
    let session = stream.headers["mcp-session-id"].to_str().unwrap();
    let held = deed("mine", &json!({"do": "sleep", "ms": 20_000, "nonce": "n1"}));
    let (answer, ()) = tokio::join!(in_session(&client, session, &held), async {
        wait_until("the call in the child", SOON, || {
            journal.count("\"n1\"") == 1
        })
        .await;
        // Of nothing that is under way: ignored.
        for ignored in ["other", "mine"] {
            let told = match ignored {
                "mine" => client.rpc("g1", &cancel(ignored)).await,
                _ => in_session(&client, session, &cancel(ignored)).await,
            };
            assert_eq!(told.status, 202);
        }
        assert!(cancellations(&journal).is_empty());
        let told = in_session(&client, session, &cancel("mine")).await;
        assert_eq!(told.status, 202);
    });
    is_refused(&answer, 409, "request_cancelled", "unknown");
    told(&journal, 1).await;
    let id = minted(&journal, "\"n1\"");
    assert_ne!(id, "mine");
    assert_eq!(cancellations(&journal), [(id, json!("changed my mind"))]);
    let next = client
        .call("g1", "echo", &json!({"text": "on it goes"}))
        .await;
    assert_eq!(next.json()["result"]["content"][0]["text"], "on it goes");
}

/// RA12: two clients of one token count their requests alike; a cancellation of one, in a session or in none, by
/// whichever endpoint, ends no request of the other.
#[tokio::test]
async fn nobody_cancels_the_request_of_another_client_of_the_same_token() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let (client, journal) = (gateway.client(), gateway.journal("g1"));
    let other = client.listen("/g1/rpc").await;
    let session = other.headers["mcp-session-id"].to_str().unwrap();
    let held = deed(
        "mine",
        &json!({"do": "sleep", "ms": 1000, "say": "unharmed", "nonce": "n1"}),
    );
    let (answer, ()) = tokio::join!(client.rpc("g1", &held), async {
        wait_until("the call in the child", SOON, || {
            journal.count("\"n1\"") == 1
        })
        .await;
        assert_eq!(client.rpc("g1", &cancel("mine")).await.status, 202);
        let told = in_session(&client, session, &cancel("mine")).await;
        assert_eq!(told.status, 202);
        let params = json!({"requestId": "mine"});
        let mut modern = modern("mine", "notifications/cancelled", &params);
        modern.as_object_mut().unwrap().remove("id");
        let told = modern_post(&client, "/g1/mcp", &modern).send().await;
        assert_eq!(told.unwrap().status(), 202);
    });
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        "unharmed",
        "{}",
        answer.text()
    );
    assert!(cancellations(&journal).is_empty());
}

/// H079.
#[tokio::test]
async fn nobody_cancels_the_request_of_another_token() {
    let gateway = Gateway::builder()
        .set("tokens", json!([{"name": "other", "env": "OTHER"}]))
        .env("OTHER", "other-e1947b0c6a83d25f97")
        .server(Server::gremlin("g1"))
        .start();
    let (client, journal) = (gateway.client(), gateway.journal("g1"));
    let other = gateway.client_with(Some("other-e1947b0c6a83d25f97"));
    let held = deed(
        "mine",
        &json!({"do": "sleep", "ms": 600, "say": "unharmed", "nonce": "n1"}),
    );
    let (answer, ()) = tokio::join!(client.rpc("g1", &held), async {
        wait_until("the call in the child", SOON, || {
            journal.count("\"n1\"") == 1
        })
        .await;
        let minted = minted(&journal, "\"n1\"").to_string();
        for id in ["mine", minted.as_str()] {
            assert_eq!(other.rpc("g1", &cancel(id)).await.status, 202);
        }
    });
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        "unharmed",
        "{}",
        answer.text()
    );
    assert!(cancellations(&journal).is_empty());
}
