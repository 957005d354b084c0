//! How soon what was opened by a token that is no more comes to its end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{SOON, pid, reload};
use crate::support::client::Client;
use crate::support::mcp::{Session, modern, modern_post, request};
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const NEWEST: &str = "2025-11-25";
/// From the reload to the end of a stream whose token is no more.
const AT_ONCE: Duration = Duration::from_secs(1);

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
        while stream.next(AT_ONCE).await.is_some() {}
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
