//! A flood of guesses.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wire::SOON;
use crate::support::wire::{bare_request, only, reply, until_closed};
use crate::support::{Gateway, Server};

const GUESSER: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];

/// Four at once, each with one connection after the other, because a guess ends its connection.
const GUESSERS: usize = 4;
const GUESSES: usize = 1000;

fn ready(gateway: &Gateway, token: &str) -> String {
    let host = format!("Host: {}", gateway.address());
    bare_request(
        "GET /ready",
        &[&host, &format!("Authorization: Bearer {token}")],
        "",
    )
}

/// The status of one more request on a connection.
async fn status(socket: &mut RawSocket, bytes: &str) -> u16 {
    socket.send(bytes).await;
    reply(socket).await.expect("an answer").head.status
}

/// Guesses again and again: how many got 401, and how many 429.
async fn guess(at: SocketAddr, guess: String) -> (usize, usize) {
    let (mut failed, mut limited) = (0, 0);
    for _ in 0..GUESSES {
        let mut socket = RawSocket::connect_from(GUESSER, at).await;
        // The second is not even read.
        socket.send(guess.repeat(2)).await;
        let replies = until_closed(&mut socket).await;
        let reply = only(&replies);
        assert_eq!(reply.head.header("connection"), Some("close"));
        match reply.refusal() {
            (401, code) if code == "auth_failed" => failed += 1,
            (429, code) if code == "rate_limited" => {
                let after = reply.head.header("retry-after").expect("when to come back");
                assert!((1..=60).contains(&after.parse::<u32>().unwrap()), "{after}");
                limited += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    (failed, limited)
}

/// H040, RD05: a guess ends its connection, and whoever guesses is told to wait after 60 in a minute; whoever has a right token does not notice,
/// from another address, from the same one on a connection that is open, and on a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_guesses_is_slowed_and_hurts_nobody_else() {
    let gateway = Gateway::builder()
        .set("allowed_clients", json!(["localhost"]))
        .server(Server::gremlin("s1"))
        .start();
    let right = ready(&gateway, TOKEN);
    let wrong = ready(&gateway, "canary-token-of-nobody");
    let at = gateway.address();
    let mut same = RawSocket::connect_from(GUESSER, at).await;
    assert_eq!(status(&mut same, &right).await, 200);
    let mut other = RawSocket::connect_from(OTHER, at).await;

    let start = Instant::now();
    let mut guessers = JoinSet::new();
    for _ in 0..GUESSERS {
        guessers.spawn(guess(at, wrong.clone()));
    }
    let (mut failed, mut limited) = (0, 0);
    let mut times = Vec::new();
    while !guessers.is_empty() {
        for socket in [&mut other, &mut same] {
            let asked = Instant::now();
            assert_eq!(status(socket, &right).await, 200);
            times.push(asked.elapsed());
        }
        let mut new = RawSocket::connect_from(GUESSER, at).await;
        assert_eq!(status(&mut new, &right).await, 200);
        while let Some(ended) = guessers.try_join_next() {
            let (more_failed, more_limited) = ended.unwrap();
            failed += more_failed;
            limited += more_limited;
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(50),
        "within one minute: {:?}",
        start.elapsed()
    );
    assert_eq!((failed, limited), (60, GUESSERS * GUESSES - 60));
    times.sort_unstable();
    let median = times[times.len() / 2];
    // They share the processor with the flood, and no more than that.
    assert!(median < Duration::from_secs(1), "{median:?}");
    // Neither is the log flooded.
    let logged = gateway
        .logs()
        .text()
        .matches("refused by the check of its token")
        .count();
    assert_eq!(logged, 5);
    assert!(!gateway.logs().text().contains("canary"));
}

/// RD05: connections that show no token give way, the oldest first, so whoever has one is served and keeps his.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_without_a_token_keeps_nobody_out() {
    const PLACES: usize = 16;
    let gateway = Gateway::builder()
        .limit("max_connections", PLACES)
        .limit("max_connections_per_ip", PLACES)
        .server(Server::gremlin("s1"))
        .start();
    let at = gateway.address();
    let right = ready(&gateway, TOKEN);
    let mut owner = RawSocket::connect(at).await;
    assert_eq!(status(&mut owner, &right).await, 200);
    let mut crowd = Vec::new();
    for host in 2..6 {
        for _ in 0..PLACES {
            crowd.push(RawSocket::connect_from([127, 0, 0, host], at).await);
        }
        // More than there are places, and all of them silent.
        let mut new = RawSocket::connect(at).await;
        assert_eq!(status(&mut new, &right).await, 200);
        assert_eq!(status(&mut owner, &right).await, 200);
    }
    let oldest = &mut crowd[0];
    assert_eq!(oldest.rest(SOON).await, b"", "closed");
}
