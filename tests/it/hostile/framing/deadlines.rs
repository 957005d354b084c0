//! Who is slow is not waited for. What the deadlines are by default, a test of the config says.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::support::socket::RawSocket;
use crate::support::wire::{
    PING, bare_request, nothing_reached_the_server, only, post, reply, request, until_closed,
};
use crate::support::{Gateway, Server};

/// The deadline under test; the others are far longer.
const SHORT: Duration = Duration::from_millis(1500);
/// What a slow client waits between two bytes: so much less that a machine that stalls does not make a
/// deadline for one read look like one for all.
const TRICKLE: Duration = Duration::from_millis(20);
/// By when an end that came with the deadline has been seen, on a loaded machine: well before an end by
/// any other deadline.
const LATE: Duration = Duration::from_secs(20);

fn gateway(deadline: &str) -> Gateway {
    let mut builder = Gateway::builder();
    for key in ["first_byte_ms", "headers_ms", "body_ms", "idle_ms"] {
        builder = builder.limit(key, 60_000);
    }
    let short = u64::try_from(SHORT.as_millis()).unwrap();
    builder
        .limit(deadline, short)
        .server(Server::gremlin("s1"))
        .start()
}

fn ended_in_time(since: Instant) {
    let took = since.elapsed();
    assert!(took >= SHORT && took < LATE, "ended after {took:?}");
}

/// Sends byte after byte until the connection is closed or nothing is left.
async fn trickle(socket: &mut RawSocket, text: &str) {
    let mut tick = interval(TRICKLE);
    for byte in text.as_bytes() {
        tick.tick().await;
        if !socket.try_send(&[*byte]).await {
            return;
        }
    }
    panic!("still open after {} bytes", text.len());
}

/// H001: who connects and says nothing.
#[tokio::test]
async fn a_connection_without_a_first_byte_is_closed() {
    let gateway = gateway("first_byte_ms");
    let start = Instant::now();
    let mut socket = RawSocket::connect(gateway.address()).await;
    assert_eq!(socket.rest(LATE).await, b"", "without a word");
    ended_in_time(start);
}

/// H002: the deadline is for the whole head, so a byte now and then does not move it.
#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let gateway = gateway("headers_ms");
    let line = format!("X: {}", "x".repeat(1000));
    let text = request(&gateway, "GET /health", &[&line], "");
    let start = Instant::now();
    let mut socket = RawSocket::connect(gateway.address()).await;
    trickle(&mut socket, &text).await;
    assert_eq!(socket.rest(LATE).await, b"", "without a word");
    ended_in_time(start);
}

/// H003: likewise for the body of one who may enter.
#[tokio::test]
async fn a_body_that_trickles_in_is_408_and_is_not_passed_on() {
    let gateway = gateway("body_ms");
    let start = Instant::now();
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket
        .send(post(&gateway, &["Content-Length: 10000"], ""))
        .await;
    let mut tick = interval(TRICKLE);
    loop {
        tokio::select! {
            () = socket.ready() => break,
            _ = tick.tick() => {}
        }
        socket.send("x").await;
        assert!(start.elapsed() < LATE, "still open");
    }
    ended_in_time(start);
    let refused = reply(&mut socket).await.expect("an answer");
    assert_eq!(refused.refusal(), (408, "body_timeout".to_owned()));
    assert_eq!(refused.head.header("connection"), Some("close"));
    assert_eq!(until_closed(&mut socket).await.len(), 0);
    nothing_reached_the_server(&gateway).await;
}

/// H004: who may not enter is told so at once, and of the body nothing is waited for.
#[tokio::test]
async fn a_body_that_trickles_in_from_a_stranger_is_not_waited_for() {
    let gateway = gateway("idle_ms");
    let host = format!("Host: {}", gateway.address());
    let wrong = "Authorization: Bearer canary-token-of-nobody";
    for token in [&[][..], &[wrong]] {
        let headers = ["Content-Type: application/json", "Content-Length: 10000"];
        let headers = [&[host.as_str()], &headers[..], token].concat();
        let mut socket = RawSocket::connect(gateway.address()).await;
        let start = Instant::now();
        socket
            .send(bare_request("POST /s1/rpc", &headers, "x"))
            .await;
        let replies = until_closed(&mut socket).await;
        assert!(start.elapsed() < LATE, "{:?}", start.elapsed());
        let refused = only(&replies);
        assert_eq!(refused.refusal(), (401, "auth_failed".to_owned()));
        assert_eq!(refused.head.header("connection"), Some("close"));
    }
    nothing_reached_the_server(&gateway).await;
}

/// H005: a connection that is kept open for more requests is not kept for ever.
#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let gateway = gateway("idle_ms");
    let mut socket = RawSocket::connect(gateway.address()).await;
    let length = format!("Content-Length: {}", PING.len());
    for _ in 0..2 {
        socket.send(post(&gateway, &[&length], PING)).await;
        assert_eq!(
            reply(&mut socket).await.expect("an answer").head.status,
            200
        );
    }
    let start = Instant::now();
    assert_eq!(socket.rest(LATE).await, b"");
    let took = start.elapsed();
    // The deadline runs from the end of the answer, which is before it was read.
    assert!(took >= SHORT / 2 && took < LATE, "ended after {took:?}");
}
