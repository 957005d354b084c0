//! A server dies under its clients: their sessions and streams stay, and what they had subscribed to is there again.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{Session, modern, modern_call, modern_post, request, tool_call};
use crate::support::process;
use crate::support::sse::Sse;
use crate::support::stdio::text_of;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const WATCHED: &str = "test://watched-resource";
const CHANGE: &str = "test_trigger_resource_change";
const UPDATED: &str = "notifications/resources/updated";
const ERAS: [&str; 3] = ["legacy", "modern", "dual"];

fn gateway(era: &str) -> Gateway {
    Gateway::builder()
        .fault_profile()
        .server(Server::conformance("c1", era))
        .start()
}

/// Kills the server's process and waits for the next one.
async fn killed(client: &Client) {
    let before = client.status("c1").await;
    let pid = before["pid"].as_u64().expect("a pid");
    process::signal(u32::try_from(pid).unwrap(), Signal::KILL);
    wait_for("the next life of the server", SOON, async || {
        let now = client.status("c1").await;
        let is_next = now["incarnation"].as_u64() > before["incarnation"].as_u64();
        (is_next && now["status"] == "ready").then_some(())
    })
    .await;
}

/// What is on a stream up to the change of a list, that included.
async fn until_list_changed(stream: &mut Sse, of: &str) -> Vec<Value> {
    let expected = format!("notifications/{of}/list_changed");
    let mut heard = Vec::new();
    loop {
        heard.push(stream.message(SOON).await);
        if heard.last().unwrap()["method"] == expected {
            return heard;
        }
    }
}

/// The next update on a stream, whatever lists are said to have changed before it.
async fn next_update(stream: &mut Sse) -> Value {
    loop {
        let message = stream.message(SOON).await;
        let method = message["method"].as_str().unwrap_or_default();
        if !method.ends_with("/list_changed") {
            assert_eq!(method, UPDATED, "{message}");
            return message;
        }
    }
}

#[tokio::test]
async fn a_session_its_stream_and_its_subscription_survive_the_death_of_the_server() {
    for era in ERAS {
        let gateway = gateway(era);
        let client = gateway.client();
        let session = Session::open(&client, "/c1/mcp", "2025-11-25").await;
        let mut own = session.listen().await;
        let wish = request("s", "resources/subscribe", &json!({"uri": WATCHED}));
        let subscribed = session.ask(&wish).await;
        assert!(subscribed["result"].is_object(), "{subscribed}");
        assert_eq!(session.call(CHANGE, &json!({})).await, "told");
        let update = next_update(&mut own).await;
        assert_eq!(update["params"]["uri"], WATCHED, "{era}: {update}");

        for life in 2..4 {
            killed(&client).await;
            until_list_changed(&mut own, "tools").await;
            assert_eq!(
                session.call(CHANGE, &json!({})).await,
                "told",
                "{era}, life {life}"
            );
            let update = next_update(&mut own).await;
            assert_eq!(
                update["params"]["uri"], WATCHED,
                "{era}, life {life}: {update}"
            );
        }
        assert_eq!(session.end().await.status, 204);
        own.messages(SOON).await;
    }
}

/// A tool call of a client without a session.
async fn called(client: &Client, tool: &str) -> String {
    let call = modern_call(tool, &json!({}), &json!({}));
    let answer = client.send(modern_post(client, "/c1/mcp", &call)).await;
    text_of(&answer.json())
}

#[tokio::test]
async fn a_subscription_of_a_modern_client_survives_the_death_of_the_server() {
    for era in ERAS {
        let gateway = gateway(era);
        let client = gateway.client();
        let wishes = json!({
            "toolsListChanged": true,
            "promptsListChanged": true,
            "resourceSubscriptions": [WATCHED],
        });
        let wish = modern(
            "l",
            "subscriptions/listen",
            &json!({"notifications": wishes}),
        );
        let mut stream = client.stream(modern_post(&client, "/c1/mcp", &wish)).await;
        let granted = stream.message(SOON).await;
        let expected = "notifications/subscriptions/acknowledged";
        assert_eq!(granted["method"], expected, "{era}: {granted}");
        assert_eq!(
            granted["params"]["notifications"], wishes,
            "{era}: {granted}"
        );
        assert_eq!(called(&client, CHANGE).await, "told");
        next_update(&mut stream).await;

        for life in 2..4 {
            killed(&client).await;
            let mut heard = until_list_changed(&mut stream, "tools").await;
            assert_eq!(called(&client, CHANGE).await, "told", "{era}, life {life}");
            heard.push(next_update(&mut stream).await);
            for message in heard {
                let of = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
                assert_eq!(of, "l", "{era}, life {life}: {message}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_server_had_asked_dies_with_it_and_its_calls_are_told_so() {
    let gateway = gateway("legacy");
    let client = gateway.client();
    let capabilities = json!({"elicitation": {}});
    let tool = "test_input_required_result_elicitation";
    let session = Session::open_with(&client, "/c1/mcp", "2025-11-25", &capabilities).await;
    let mut stream = session.stream(&tool_call("call", tool, &json!({}))).await;
    let question = stream.message(SOON).await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    // The same for a client that is asked by a result.
    let mut held = modern_call(tool, &json!({}), &capabilities);

    killed(&client).await;
    let lost = stream.messages(SOON).await;
    let code = &lost.last().unwrap()["error"]["data"]["error_code"];
    assert_eq!(code, "server_lost", "{lost:?}");
    let said = json!({"action": "accept", "content": {"name": "late"}});
    let withdrawn = &lost[0]["params"]["requestId"];
    assert_eq!(*withdrawn, question["id"], "{lost:?}");
    // It crosses with the withdrawal, so it is taken, and goes nowhere.
    let late = json!({"jsonrpc": "2.0", "id": question["id"], "result": said});
    assert_eq!(session.tell(&late).await.status, 202);

    let asked = client
        .send(modern_post(&client, "/c1/mcp", &held))
        .await
        .json();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    held["params"]["requestState"] = asked["result"]["requestState"].clone();
    for key in asked["result"]["inputRequests"].as_object().unwrap().keys() {
        held["params"]["inputResponses"][key] = said.clone();
    }
    killed(&client).await;
    let lost = client
        .send(modern_post(&client, "/c1/mcp", &held))
        .await
        .json();
    assert_eq!(lost["error"]["data"]["error_code"], "server_lost", "{lost}");

    // The next life is asked and answers as if nothing had been.
    let mut stream = session.stream(&tool_call("again", tool, &json!({}))).await;
    let question = stream.message(SOON).await;
    session.reply(&question, &said).await;
    let response = stream.message(SOON).await;
    assert_eq!(text_of(&response), "Hello, late!", "{response}");
}
