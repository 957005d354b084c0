//! Subscriptions of many clients at one server: bounded, in turn with everything else, and each the affair of one client.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{Session, modern, modern_post, request};
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(20);

fn listen(uris: &[String]) -> Value {
    let wishes = json!({"notifications": {"resourceSubscriptions": uris}});
    modern("listen", "subscriptions/listen", &wishes)
}

/// Opens a `subscriptions/listen`, and gives it with the resources that were granted.
async fn open(client: &Client, uris: &[String]) -> (Sse, usize) {
    let request = modern_post(client, "/g1/mcp", &listen(uris));
    let mut stream = Sse::new(request.send().await.expect("an answer"));
    let first = stream.message(SOON).await;
    let granted = &first["params"]["notifications"]["resourceSubscriptions"];
    let count = granted.as_array().map_or(0, Vec::len);
    (stream, count)
}

fn uris(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{of}:{number}")).collect()
}

/// RD01: a list that is far too long is refused; one that is as long as may be goes to the server a few at a time, with
/// the calls of others between them.
#[tokio::test]
async fn a_long_list_of_resources_keeps_nobody_from_a_server() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1").orders(&json!({"era": "legacy"})))
        .start();
    let (alice, bob, journal) = (gateway.alice(), gateway.bob(), gateway.journal("g1"));
    let endless = modern_post(&alice, "/g1/mcp", &listen(&uris("a", 200_000)));
    let refused = alice.send(endless).await.json();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(journal.count_method("resources/subscribe"), 0);

    alice
        .deed("g1", &json!({"do": "stop_reading", "ms": 2000}))
        .await;
    let many = uris("a", 1024);
    let of_bob = async {
        wait_for("subscriptions under way", SOON, async || {
            let in_flight = alice.status("g1").await["in_flight"].as_u64();
            in_flight.filter(|count| *count >= 16)
        })
        .await;
        let deed = json!({"do": "count", "nonce": "of bob"});
        let answer = bob.deed("g1", &deed).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let ((_stream, granted), ()) = tokio::join!(open(&alice, &many), of_bob);
    assert_eq!(granted, 1024);
    let entries = journal.entries();
    let before = entries.iter().take_while(|entry| !entry.contains("of bob"));
    let before = before.filter(|entry| entry.contains("resources/subscribe"));
    let before = before.count();
    assert!(
        before <= 64,
        "{before} of 1024 were written before the call of another"
    );
}

/// RD07: what a server refuses to one client fails neither the other clients of its token nor those of another, whether
/// they come at the same time or later.
#[tokio::test]
async fn a_refused_resource_fails_its_own_client_alone() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1").orders(&json!({"era": "modern"})))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let session = Session::open(&alice, "/g1/mcp", "2025-11-25").await;
    let subscribe = |uri: &str| request(uri, "resources/subscribe", &json!({"uri": uri}));
    for round in 0..3 {
        let (bad, good) = (uris("refused", 2), uris(&format!("good-{round}"), 2));
        let refused = modern_post(&alice, "/g1/mcp", &listen(&bad));
        let subscribes = (subscribe(&good[0]), subscribe("refused:x"));
        let (refused, (_own, of_own), (_other, of_other), subscribed, not_subscribed) = tokio::join!(
            alice.send(refused),
            open(&alice, &good),
            open(&bob, &good),
            session.ask(&subscribes.0),
            session.ask(&subscribes.1),
        );
        assert_eq!(
            refused.json()["error"]["code"],
            -32602,
            "{}",
            refused.text()
        );
        assert_eq!((of_own, of_other), (2, 2), "round {round}");
        assert_eq!(subscribed["result"], json!({}), "{subscribed}");
        assert_eq!(not_subscribed["error"]["code"], -32602, "{not_subscribed}");
    }
}
