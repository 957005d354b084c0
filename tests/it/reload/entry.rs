//! Who may enter, and how much, by the config that is in force.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{SOON, config_health, pid, reload};
use crate::support::client::Client;
use crate::support::mcp::{Session, modern, modern_post, request};
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const NEWEST: &str = "2025-11-25";
/// From the reload to the end of a stream whose token is no more.
const AT_ONCE: Duration = Duration::from_secs(1);

fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Waits for the end of a stream; panics when it goes on.
async fn ends(stream: &mut Sse) {
    while stream.next(AT_ONCE).await.is_some() {}
}

/// Shows that a stream goes on: it is told what a gremlin tells everybody.
async fn goes_on(stream: &mut Sse, by: &Client) {
    let deed = json!({"do": "list_changed", "of": "tools"});
    assert_eq!(by.deed("g1", &deed).await.status, 200);
    let heard = stream.message(SOON).await;
    assert_eq!(heard["method"], "notifications/tools/list_changed");
}

/// Every kind of event stream that a client can have open.
async fn open_streams(client: &Client, session: &Session) -> Vec<Sse> {
    let wishes = json!({"notifications": {"toolsListChanged": true}});
    let listen = modern("l", "subscriptions/listen", &wishes);
    let mut streams = vec![
        client.listen("/g1/rpc").await,
        session.listen().await,
        client.stream(modern_post(client, "/g1/mcp", &listen)).await,
        client.stream(modern_post(client, "/mcp", &listen)).await,
        client.listen("/servers/g1/logs?follow").await,
    ];
    for stream in &mut streams[2..4] {
        let told = stream.message(SOON).await["method"].clone();
        assert_eq!(told, "notifications/subscriptions/acknowledged");
    }
    streams
}

/// H041: the streams of a token that was taken out end within a second, its sessions with them, and its next
/// request is unauthorized; whoever else is connected notices nothing.
#[tokio::test]
async fn a_revoked_token_ends_what_was_opened_by_it() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    pid(&gateway, "g1").await;
    let session = Session::open(&alice, "/g1/mcp", NEWEST).await;
    let streams = open_streams(&alice, &session).await;
    let mut other = bob.listen("/g1/rpc").await;
    let before = gateway.client().status("g1").await["sessions"].clone();
    assert_eq!(before, 3, "a session and two plain streams");

    reload(&gateway, |config| {
        config["tokens"]
            .as_array_mut()
            .unwrap()
            .retain(|token| token["name"] != "alice");
    })
    .await;
    let revoked = Instant::now();
    for mut stream in streams {
        ends(&mut stream).await;
    }
    assert!(revoked.elapsed() < AT_ONCE, "{:?}", revoked.elapsed());
    for path in ["/health", "/g1/rpc", "/none"] {
        let refused = alice.get(path).await;
        assert_eq!(
            (refused.status, refused.error_code()),
            (401, json!("auth_failed"))
        );
    }
    let refused = session.tell(&request(1, "tools/list", &json!({}))).await;
    assert_eq!(refused.status, 401);
    goes_on(&mut other, &bob).await;
    wait_for("the end of the session", SOON, async || {
        (gateway.client().status("g1").await["sessions"] == 1).then_some(())
    })
    .await;

    // The same token again is a new principal: what it had is not there any more.
    reload(&gateway, |config| {
        let alice = json!({"name": "alice", "env": "ALICE"});
        config["tokens"].as_array_mut().unwrap().push(alice);
    })
    .await;
    let unknown = session.tell(&request(1, "tools/list", &json!({}))).await;
    assert_eq!(
        (unknown.status, unknown.error_code()),
        (404, Value::Null),
        "{}",
        unknown.text()
    );
    assert_eq!(alice.get("/health").await.status, 200);
}

/// H041: so does a token that reaches less now, or whose text is another.
#[tokio::test]
async fn a_token_whose_entry_has_changed_is_another_token() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("g2"))
        .start();
    let alice = gateway.alice();
    let mut stream = alice.listen("/g1/rpc").await;
    reload(&gateway, |config| {
        config["tokens"][0]["servers"] = json!(["g2"])
    })
    .await;
    ends(&mut stream).await;
    assert_eq!(alice.get("/g1/rpc").await.error_code(), "server_not_found");
    assert_eq!(alice.get("/health").await.status, 200);

    let mut stream = alice.listen("/g2/rpc").await;
    let other = "another-1f2e3d4c5b6a79880123";
    reload(&gateway, |config| {
        config["tokens"][0] = json!({"name": "alice", "sha256": digest(other)});
    })
    .await;
    ends(&mut stream).await;
    assert_eq!(alice.get("/health").await.status, 401);
    let with_other = gateway.client_with(Some(other));
    assert_eq!(with_other.get("/health").await.status, 200);
}

#[tokio::test]
async fn addresses_limits_and_the_log_level_are_those_of_the_new_file() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let big =
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x".repeat(2000)}});
    assert_eq!(client.rpc("g1", &big).await.status, 200);
    gateway.logs().event("request answered", SOON).await;
    reload(&gateway, |config| {
        config["limits"]["max_body_bytes"] = 1000.into();
        config["log"]["level"] = "info".into();
    })
    .await;
    assert_eq!(
        client.rpc("g1", &big).await.error_code(),
        "payload_too_large"
    );
    reload(&gateway, |config| {
        config["request_timeout_ms"] = 20_000.into();
    })
    .await;
    // The log is in its order: what was answered between the reloads stands before the second.
    wait_for("the second reload in the log", SOON, async || {
        (gateway.logs().events("config reloaded").len() == 2).then_some(())
    })
    .await;
    let answered = gateway.logs().events("request answered");
    assert!(answered.iter().all(|event| event["status"] == 200));

    gateway.rewrite_config(|config| config["allowed_clients"] = json!(["192.0.2.0/24"]));
    gateway.signal(rustix::process::Signal::HUP);
    wait_for("a closed door", SOON, async || {
        (client.get("/health").await.error_code() == "auth_denied").then_some(())
    })
    .await;
    gateway.rewrite_config(|config| config["allowed_clients"] = json!(["127.0.0.1"]));
    gateway.signal(rustix::process::Signal::HUP);
    wait_for("an open door", SOON, async || {
        (client.get("/health").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_named_and_left_as_it_was() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    reload(&gateway, |config| {
        config["bind_host"] = "127.0.0.2".into();
        config["bind_port"] = 9.into();
        config["log"]["format"] = "text".into();
    })
    .await;
    // The Host that a client of the old address sends is still let in, and so is its Origin.
    let origin = format!("http://{}", gateway.address());
    let asked = client
        .request(reqwest::Method::GET, "/health")
        .header("origin", origin);
    assert_eq!(client.send(asked).await.status, 200);
    let keys = ["bind_host", "bind_port", "log.format"];
    assert_eq!(config_health(&gateway).await["restart_needed"], json!(keys));
    let text = "what has changed in bind_host, bind_port, log.format takes effect when the gateway is restarted";
    let warned = gateway.logs().events(text);
    assert_eq!((warned.len(), &warned[0]["level"]), (1, &json!("warn")));
}
