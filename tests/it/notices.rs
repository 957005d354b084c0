//! Who hears what a child says of its own accord.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::process::signal;
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

/// A gateway with one gremlin and a token each for Alice and Bob.
fn two_tokens() -> Gateway {
    Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start()
}

/// An open stream and its session.
async fn listen(client: &Client) -> (Sse, String) {
    let mut stream = client.listen("/g1/rpc").await;
    let session = stream.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let first = stream.next(SOON).await;
    assert_eq!(
        first,
        Some(crate::support::sse::Item::Comment("ok".to_owned()))
    );
    (stream, session)
}

/// The next message on a stream, which must be of this method.
async fn hears(stream: &mut Sse, method: &str) -> Value {
    let message = stream.message(SOON).await;
    assert_eq!(message["method"], method, "{message}");
    message
}

/// Everything on a stream up to the next change of the tools, which everybody hears.
async fn until_tools_changed(stream: &mut Sse) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        let message = stream.message(SOON).await;
        if message["method"] == "notifications/tools/list_changed" {
            return heard;
        }
        heard.push(message);
    }
}

async fn in_session(client: &Client, session: &str, message: &Value) -> Value {
    let request = client.request(reqwest::Method::POST, "/g1/rpc");
    let request = request
        .header("content-type", "application/json")
        .header("mcp-session-id", session);
    let answer = client.send(request.body(message.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_changed_list_reaches_every_stream_of_the_server_once() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("g2"))
        .start();
    let client = gateway.client();
    let (mut one, first) = listen(&client).await;
    let (mut two, second) = listen(&client).await;
    assert_ne!(first, second);
    let mut other = client.listen("/g2/rpc").await;

    for of in ["prompts", "resources", "tools"] {
        client
            .deed("g1", &json!({"do": "list_changed", "of": of}))
            .await;
    }
    for stream in [&mut one, &mut two] {
        hears(stream, "notifications/prompts/list_changed").await;
        hears(stream, "notifications/resources/list_changed").await;
        hears(stream, "notifications/tools/list_changed").await;
    }
    // The next thing anybody hears is the next thing that happened.
    client
        .deed("g1", &json!({"do": "list_changed", "of": "resources"}))
        .await;
    client
        .deed("g2", &json!({"do": "list_changed", "of": "prompts"}))
        .await;
    hears(&mut one, "notifications/resources/list_changed").await;
    hears(&mut two, "notifications/resources/list_changed").await;
    hears(&mut other, "notifications/prompts/list_changed").await;
}

/// H101.
#[tokio::test]
async fn an_updated_resource_reaches_its_subscribers_alone() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let (mut subscriber, session) = listen(&client).await;
    let (mut other, _) = listen(&client).await;
    let subscribe = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": "gremlin://nest"}});
    in_session(&client, &session, &subscribe("resources/subscribe")).await;

    for uri in ["gremlin://elsewhere", "gremlin://nest"] {
        client
            .deed("g1", &json!({"do": "updated", "uri": uri}))
            .await;
    }
    let heard = hears(&mut subscriber, "notifications/resources/updated").await;
    assert_eq!(heard["params"]["uri"], "gremlin://nest");

    in_session(&client, &session, &subscribe("resources/unsubscribe")).await;
    assert_eq!(
        gateway.journal("g1").count_method("resources/unsubscribe"),
        1
    );
    client
        .deed("g1", &json!({"do": "updated", "uri": "gremlin://nest"}))
        .await;
    client
        .deed("g1", &json!({"do": "list_changed", "of": "tools"}))
        .await;
    assert_eq!(until_tools_changed(&mut subscriber).await, [] as [Value; 0]);
    assert_eq!(until_tools_changed(&mut other).await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_child_is_told_when_the_last_subscriber_is_gone() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "gremlin://nest"}});
    let (one, first) = listen(&client).await;
    let (two, second) = listen(&client).await;
    in_session(&client, &first, &subscribe).await;
    in_session(&client, &second, &subscribe).await;
    let journal = gateway.journal("g1");
    drop(one);
    wait_for("the end of the first session", SOON, async || {
        (client.status("g1").await["sessions"] == 1).then_some(())
    })
    .await;
    client
        .call("g1", "echo", &json!({"text": "a moment"}))
        .await;
    assert_eq!(journal.count_method("resources/unsubscribe"), 0);
    drop(two);
    wait_for("the child to be told", SOON, async || {
        (journal.count_method("resources/unsubscribe") == 1).then_some(())
    })
    .await;
}

/// H102.
#[tokio::test]
async fn a_log_message_reaches_only_the_one_it_can_be_attributed_to() {
    let gateway = two_tokens();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let (mut to_alice, _) = listen(&alice).await;
    let (mut to_bob, _) = listen(&bob).await;
    let log = |text: &str| json!({"do": "log", "level": "info", "text": text});

    // Only Alice has used this life of the child.
    alice.deed("g1", &log("for alice")).await;
    // Now both have, but only Bob waits for an answer while it is written.
    bob.deed("g1", &log("for bob")).await;
    // Both wait: it could be meant for either, so nobody hears it.
    let held = json!({"do": "sleep", "ms": 1500, "say": "done"});
    let asleep = async {
        let (answer, ()) = tokio::join!(alice.deed("g1", &held), async {
            wait_for("alice's call in the child", SOON, async || {
                (gateway.journal("g1").count("\"sleep\"") == 1).then_some(())
            })
            .await;
            bob.deed("g1", &log("for nobody")).await;
            bob.deed("g1", &json!({"do": "list_changed", "of": "tools"}))
                .await;
        });
        assert_eq!(answer.status, 200);
    };
    asleep.await;

    let texts = |heard: Vec<Value>| -> Vec<Value> {
        heard
            .iter()
            .map(|message| message["params"]["data"].clone())
            .collect()
    };
    assert_eq!(
        texts(until_tools_changed(&mut to_alice).await),
        ["for alice"]
    );
    assert_eq!(texts(until_tools_changed(&mut to_bob).await), ["for bob"]);
    let metrics = gateway.client().get("/metrics").await.text();
    assert!(metrics.contains("reason=\"unattributed\"} 1"), "{metrics}");
}

/// H085: also of the plain endpoints.
#[tokio::test]
async fn a_session_is_of_one_token_and_one_server() {
    let gateway = two_tokens();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let (stream, session) = listen(&alice).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let with = async |client: &Client, session: &str| {
        let request = client
            .request(reqwest::Method::POST, "/g1/rpc")
            .header("content-type", "application/json");
        client
            .send(request.header("mcp-session-id", session).body(ping))
            .await
    };
    assert_eq!(with(&alice, &session).await.status, 200);
    for (client, session) in [
        (&bob, session.as_str()),
        (&alice, "00112233445566778899aabbccddeeff"),
    ] {
        let answer = with(client, session).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (404, json!("session_not_found"))
        );
    }
    drop(stream);
    wait_for("the session to end with its stream", SOON, async || {
        (with(&alice, &session).await.status == 404).then_some(())
    })
    .await;
}

/// The child is killed: streams stay, are told to look at the lists again, and what they were subscribed
/// to is subscribed again in the new child.
#[tokio::test]
async fn streams_and_subscriptions_outlive_the_child() {
    let gateway = Gateway::builder()
        .set("restart_backoff_ms", json!(100))
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let (mut stream, session) = listen(&client).await;
    let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "gremlin://nest"}});
    in_session(&client, &session, &subscribe).await;
    client.deed("g1", &json!({"do": "exit", "code": 1})).await;
    hears(&mut stream, "notifications/tools/list_changed").await;
    let again = wait_for("the subscription in the new child", SOON, async || {
        let asked = gateway.journal("g1").of_method("resources/subscribe");
        (asked.len() == 2).then_some(asked)
    })
    .await;
    assert_eq!(again[1]["params"]["uri"], "gremlin://nest");
    client
        .deed("g1", &json!({"do": "updated", "uri": "gremlin://nest"}))
        .await;
    loop {
        let message = stream.message(SOON).await;
        if message["method"] == "notifications/resources/updated" {
            assert_eq!(message["params"]["uri"], "gremlin://nest");
            break;
        }
        let method = message["method"].as_str().unwrap_or_default();
        assert!(method.ends_with("/list_changed"), "{message}");
    }
}

/// What a legacy client hears of a modern server: its changes and its updates, under no mark.
#[tokio::test]
async fn a_modern_server_is_heard_as_a_legacy_one_is() {
    let gateway = Gateway::builder()
        .server(Server::conformance("g1", "modern").autostart())
        .start();
    let client = gateway.client();
    let (mut subscriber, session) = listen(&client).await;
    let (mut other, _) = listen(&client).await;
    let about = |method: &str| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": "test://watched-resource"}});
    let answer = in_session(&client, &session, &about("resources/subscribe")).await;
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        "of the gateway's own making"
    );

    for change in ["resource", "prompt", "tool"] {
        let tool = format!("test_trigger_{change}_change");
        client.call("g1", &tool, &json!({})).await;
    }
    let updated = hears(&mut subscriber, "notifications/resources/updated").await;
    assert_eq!(updated["params"]["uri"], "test://watched-resource");
    assert_eq!(updated["params"]["_meta"], json!({}), "{updated}");
    for stream in [&mut subscriber, &mut other] {
        hears(stream, "notifications/prompts/list_changed").await;
        hears(stream, "notifications/tools/list_changed").await;
    }

    in_session(&client, &session, &about("resources/unsubscribe")).await;
    client
        .call("g1", "test_trigger_resource_change", &json!({}))
        .await;
    client
        .call("g1", "test_trigger_tool_change", &json!({}))
        .await;
    assert_eq!(until_tools_changed(&mut subscriber).await, [] as [Value; 0]);
    assert_eq!(until_tools_changed(&mut other).await, [] as [Value; 0]);
}

/// A modern server knows nothing of the listens of its last life.
#[tokio::test]
async fn a_modern_server_is_listened_to_again_in_each_life() {
    let gateway = Gateway::builder()
        .set("restart_backoff_ms", json!(100))
        .server(Server::conformance("g1", "modern").autostart())
        .start();
    let client = gateway.client();
    let (mut stream, session) = listen(&client).await;
    let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "test://watched-resource"}});
    in_session(&client, &session, &subscribe).await;
    let pid = client.status("g1").await["pid"].as_u64().unwrap();
    signal(u32::try_from(pid).unwrap(), Signal::KILL);
    // Told to look at the lists again once the new life listens.
    hears(&mut stream, "notifications/tools/list_changed").await;
    client
        .call("g1", "test_trigger_resource_change", &json!({}))
        .await;
    loop {
        let message = stream.message(SOON).await;
        if message["method"] == "notifications/resources/updated" {
            break;
        }
        let method = message["method"].as_str().unwrap_or_default();
        assert!(method.ends_with("/list_changed"), "{message}");
    }
}

/// A listen that stands open is no reason to believe that a server is at work.
#[tokio::test]
async fn a_modern_server_that_is_listened_to_is_probed_like_any_other() {
    let limits = json!({"probe_interval_ms": 200, "probe_timeout_ms": 200, "probe_misses": 3});
    let gateway = Gateway::builder()
        .set("restart_backoff_ms", json!(100))
        .server(
            Server::conformance("g1", "modern")
                .set("limits", limits)
                .autostart(),
        )
        .start();
    let client = gateway.client();
    let (_stream, session) = listen(&client).await;
    let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "test://watched-resource"}});
    in_session(&client, &session, &subscribe).await;
    let pid = client.status("g1").await["pid"].as_u64().unwrap();
    signal(u32::try_from(pid).unwrap(), Signal::STOP);
    wait_for("another life", SOON, async || {
        (client.status("g1").await["incarnation"] == 2).then_some(())
    })
    .await;
}
