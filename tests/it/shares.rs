//! What one server and one token may have under way; more is refused at once, with a time to come back.

mod alone;
mod attack;
mod caller;
mod manager;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

fn held(nonce: &str) -> Value {
    json!({"do": "sleep", "ms": 1500, "say": nonce, "nonce": nonce})
}

fn is_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.error_code()),
        (status, json!(code)),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["error"]["delivered"], "no");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

async fn load(client: &Client, in_flight: u64) {
    wait_for("the requests to be under way", SOON, async || {
        (client.status("g1").await["in_flight"] == in_flight).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_takes_its_bound_queues_some_and_refuses_the_rest() {
    let gateway = Gateway::builder()
        .limit("max_in_flight", 2)
        .limit("max_queue", 1)
        .server(Server::gremlin("g1"))
        .server(Server::control())
        .start();
    let client = gateway.client();
    client.call("g1", "echo", &json!({"text": "up"})).await;
    let deeds = ["n1", "n2", "n3", "n4"].map(held);
    let [one, two, three, four] = &deeds;
    let after = async |under_way: u64, deed: &Value| {
        load(&client, under_way).await;
        client.deed("g1", deed).await
    };
    // Two are written; of the two that come after them one waits and the other is refused.
    let (one, two, three, four, neighbour) = tokio::join!(
        client.deed("g1", one),
        client.deed("g1", two),
        after(2, three),
        after(2, four),
        async {
            load(&client, 2).await;
            client
                .call("control", "echo", &json!({"text": "here"}))
                .await
        }
    );
    assert_eq!(neighbour.status, 200, "one busy server is no other's");
    assert_eq!((one.status, two.status), (200, 200));
    let (queued, refused, nonce) = if three.status == 200 {
        (three, four, "\"n4\"")
    } else {
        (four, three, "\"n3\"")
    };
    assert_eq!(queued.status, 200, "{}", queued.text());
    is_refused(&refused, 503, "server_busy");
    assert_eq!(gateway.journal("g1").count(nonce), 0, "never delivered");
    assert_eq!(
        client.deed("g1", &json!({"do": "count"})).await.status,
        200,
        "and then there is room again"
    );
}

#[tokio::test]
async fn a_token_has_a_share_of_its_own() {
    let gateway = Gateway::builder()
        .limit("max_in_flight_per_token", 2)
        .set("tokens", json!([{"name": "other", "env": "OTHER"}]))
        .env("OTHER", "other-e1947b0c6a83d25f97")
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let other = gateway.client_with(Some("other-e1947b0c6a83d25f97"));
    client.call("g1", "echo", &json!({"text": "up"})).await;
    let (n1, n2) = (held("n1"), held("n2"));
    let (one, two, ()) = tokio::join!(client.deed("g1", &n1), client.deed("g1", &n2), async {
        load(&client, 2).await;
        is_refused(&client.deed("g1", &held("n3")).await, 429, "rate_limited");
        assert_eq!(client.get("/health").await.status, 200, "a look is free");
        assert_eq!(
            other.call("g1", "echo", &json!({"text": "x"})).await.status,
            200
        );
    });
    assert_eq!((one.status, two.status), (200, 200));
    assert_eq!(gateway.journal("g1").count("\"n3\""), 0, "never delivered");
    assert_eq!(
        client
            .call("g1", "echo", &json!({"text": "again"}))
            .await
            .status,
        200
    );
}

/// RD04: a client that hangs up has not ended its calls, so they count until the server is done with them.
#[tokio::test]
async fn calls_whose_client_is_gone_still_take_of_the_share() {
    let gateway = Gateway::builder()
        .limit("max_in_flight_per_token", 2)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    client.call("g1", "echo", &json!({"text": "up"})).await;
    let (n1, n2) = (held("n1"), held("n2"));
    tokio::select! {
        _ = client.deed("g1", &n1) => panic!("answered"),
        _ = client.deed("g1", &n2) => panic!("answered"),
        () = load(&client, 2) => {}
    }
    is_refused(&client.deed("g1", &held("n3")).await, 429, "rate_limited");
    load(&client, 0).await;
    let answer = client.call("g1", "echo", &json!({"text": "again"})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(gateway.journal("g1").count("\"n3\""), 0, "never delivered");
}

/// RD01: what a server has not read cannot be overtaken, so little of one token is written ahead of what another waits
/// for, however much there is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn little_of_one_token_is_ahead_of_another() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start();
    let (good, bad) = (gateway.alice(), gateway.bob());
    good.call("g1", "echo", &json!({"text": "up"})).await;
    let deed = json!({"do": "block", "ms": 3000});
    let text = "x".repeat(1000);
    let message =
        json!({"jsonrpc": "2.0", "method": "notifications/own", "params": {"text": text}});
    let sent = async {
        load(&good, 1).await;
        for answer in
            futures_util::future::join_all((0..200).map(|_| bad.rpc("g1", &message))).await
        {
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
        good.call("g1", "echo", &json!({"text": "mine"})).await
    };
    let (_blocked, answer) = tokio::join!(bad.deed("g1", &deed), sent);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let entries = gateway.journal("g1").entries();
    let ahead = entries.iter().take_while(|entry| !entry.contains("mine"));
    let ahead = ahead.filter(|entry| entry.contains("notifications/own"));
    let bytes: usize = ahead.map(|entry| entry.frame.len()).sum();
    assert!(
        bytes <= 48 * 1024,
        "{bytes} bytes of another token came first"
    );
}

#[tokio::test]
async fn a_token_has_a_share_of_event_streams() {
    let gateway = Gateway::builder()
        .limit("max_streams_per_token", 2)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let one = client.listen("/g1/rpc").await;
    let _two = client.listen("/g1/rpc").await;
    let third = client.get("/g1/rpc").await;
    assert_eq!(
        (third.status, third.error_code()),
        (429, json!("rate_limited"))
    );
    drop(one);
    wait_for("a place for another", SOON, async || {
        let request = client.request(reqwest::Method::GET, "/g1/rpc");
        (request.send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}
