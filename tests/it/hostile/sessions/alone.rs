//! Many sessions, and much traffic between them (H090, H092).

mod crowd;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use super::*;
use crate::support::oracle::Oracle;
use crate::support::wait::wait_for;
use crowd::{PEOPLE, Worker};

/// H090: whoever shakes hands again and again gets as many sessions as its token may have; the rest is
/// refused and costs nothing, and other tokens do not notice.
#[tokio::test]
async fn handshakes_without_end_fill_one_tokens_share_and_no_more() {
    const SHARE: usize = 256;
    const TRIES: usize = 2000;
    let gateway = Gateway::builder()
        .people()
        .limit("max_sessions_per_token", SHARE)
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::gremlin("s1"))
        .server(Server::control())
        .start();
    let oracle = Oracle::before(&gateway, &["control", "s1"]).await;
    let alice = gateway.alice();
    let shaken = stream::iter(0..TRIES).map(|_| async {
        let hello = mcp::post(&alice, "/s1/mcp", &mcp::initialize(REVISION));
        let answer = alice.send(hello).await;
        let told = answer.json();
        assert_eq!(answer.status, 200, "{told}");
        let admitted = answer.headers.contains_key("mcp-session-id");
        assert_eq!(admitted, told["result"].is_object(), "{told}");
        if !admitted {
            assert_eq!(
                told["error"]["data"]["error_code"], "rate_limited",
                "{told}"
            );
        }
        usize::from(admitted)
    });
    let shaken: Vec<usize> = shaken.buffer_unordered(20).collect().await;
    assert_eq!(shaken.iter().sum::<usize>(), SHARE);
    let of_bob = open(&gateway.bob()).await;
    assert_eq!(of_bob.tell(&ping()).await.status, 200);
    let status = gateway.client().status("s1").await;
    assert_eq!(status["sessions"], SHARE + 1, "{status}");
    assert_eq!(gateway.journal("s1").count_method("initialize"), 1);
    drop(alice);
    oracle.holds(&gateway, "s1").await;
}

/// H090: sessions that nobody uses make room by themselves.
#[tokio::test]
async fn sessions_that_nobody_uses_make_room() {
    let gateway = Gateway::builder()
        .limit("max_sessions_per_token", 50)
        .limit("session_idle_ms", 300)
        .server(Server::gremlin("s1"))
        .start();
    let client = gateway.client();
    // Whatever is refused at first is let in when the first ones are too old.
    let mut opened = 0;
    wait_for("three times as many as fit", SOON, async || {
        let hello = mcp::post(&client, "/s1/mcp", &mcp::initialize(REVISION));
        opened += usize::from(
            client
                .send(hello)
                .await
                .headers
                .contains_key("mcp-session-id"),
        );
        (opened == 150).then_some(())
    })
    .await;
    wait_for("the end of all", SOON, async || {
        (client.status("s1").await["sessions"] == 0).then_some(())
    })
    .await;
}

/// H092: three people at once, each with several clients of both eras, use the same ids and the same two
/// servers for whatever comes to their minds. Nobody ever sees a word of another's.
#[tokio::test]
async fn in_a_crowd_everybody_sees_what_is_their_own() {
    let seed = std::env::var("HMG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(0x5eed_0092);
    println!("HMG_SEED={seed} draws the same again");
    let gateway = Gateway::builder()
        .people()
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::gremlin("s1"))
        .server(Server::gremlin("s2").orders(&json!({"era": "modern"})))
        .start();
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    let mut workers = Vec::new();
    for number in 0..9 {
        let name = PEOPLE[number % PEOPLE.len()];
        let client = match name {
            "alice" => gateway.alice(),
            "bob" => gateway.bob(),
            _ => gateway.client(),
        };
        workers.push(Worker::new(name, number, client, seed).await);
    }
    let known: Vec<_> = workers.iter().map(Worker::session_ids).collect();
    let done = join_all(workers.iter_mut().map(|worker| worker.work(&known, end))).await;
    let done = done.into_iter().sum::<usize>();
    println!("{done} deeds");
    assert!(done > 200, "{done} deeds in all");
    for server in ["s1", "s2"] {
        Oracle::written_at_most_once(&gateway, server);
    }
    drop(workers);
    for server in ["s1", "s2"] {
        wait_for("nothing to be under way", SOON, async || {
            (gateway.client().status(server).await["in_flight"] == 0).then_some(())
        })
        .await;
    }
}
