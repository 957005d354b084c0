//! Where a body ends: lengths and chunks that lie, or that two readers could read in two ways.
//!
//! Behind each of them stands what would be a request of its own, if the body ended where it should not.

use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wire::{
    PING, Reply, SOON, ask, bare_request, chunked, exchange, exchange_and_finish, marked_call,
    nothing_reached_the_server, only, post, post_whole, reply, until_closed,
};
use crate::support::{Gateway, Server};

const CHUNKED: &str = "Transfer-Encoding: chunked";

fn gateway() -> Gateway {
    Gateway::builder()
        .limit("body_ms", 2000)
        .limit("max_body_bytes", 65_536)
        .server(Server::gremlin("s1"))
        .start()
}

/// A body with these framing headers, and behind it a call that must not be made.
async fn followed_by_another(gateway: &Gateway, framing: &[&str], body: &str) -> Reply {
    let smuggled = post_whole(gateway, "/s1/rpc", &marked_call("smuggled"));
    let bytes = format!("{}{smuggled}", post(gateway, framing, body));
    let replies = exchange(gateway, bytes).await;
    only(&replies).clone()
}

fn is_400(reply: &Reply) -> bool {
    // By the parser where the head is at fault, by the gateway where it is the body.
    if reply.body.is_empty() {
        reply.bare() == 400
    } else {
        reply.refusal() == (400, "invalid_request".to_owned())
    }
}

/// H010: the length is the lie of the two, and nothing comes after the one answer.
#[tokio::test]
async fn a_length_beside_chunks_is_one_request_and_the_end() {
    let gateway = gateway();
    for framing in [
        ["Content-Length: 5", CHUNKED],
        [CHUNKED, "Content-Length: 5"],
        [CHUNKED, "Content-Length: 100000"],
    ] {
        let reply = followed_by_another(&gateway, &framing, &chunked(PING)).await;
        assert_eq!(reply.head.status, 200, "{framing:?}: {}", reply.body);
        assert_eq!(reply.head.header("connection"), Some("close"));
    }
    nothing_reached_the_server(&gateway).await;
}

/// H011: one length, and digits only.
#[tokio::test]
async fn a_length_that_is_no_number_is_400_and_the_end() {
    let gateway = gateway();
    for lengths in [
        &["Content-Length: 40", "Content-Length: 41"][..],
        &["Content-Length: +40"],
        &["Content-Length: -1"],
        &["Content-Length: 40,40"],
        &["Content-Length: 18446744073709551616"],
        &["Content-Length: 0x28"],
        &["Content-Length: 4e1"],
        &["Content-Length: 40 40"],
        &["Content-Length:"],
    ] {
        let reply = followed_by_another(&gateway, lengths, PING).await;
        assert_eq!(reply.bare(), 400, "{lengths:?}");
    }
    // The largest that there is has another meaning in the parser, and is too large there.
    let largest = ["Content-Length: 18446744073709551615"];
    let reply = followed_by_another(&gateway, &largest, PING).await;
    assert_eq!(reply.bare(), 431);
    nothing_reached_the_server(&gateway).await;
}

/// H012: one coding, and only the one that is decoded.
#[tokio::test]
async fn a_coding_beside_chunked_is_400_and_the_end() {
    let gateway = gateway();
    for codings in [
        &["Transfer-Encoding: chunked, identity"][..],
        &["Transfer-Encoding: xchunked"],
        &[CHUNKED, CHUNKED],
        &[CHUNKED, "Transfer-Encoding: identity"],
        &["Transfer-Encoding: gzip", CHUNKED],
        &["Transfer-Encoding: gzip, chunked"],
        &["Transfer-Encoding: chunked, chunked"],
        &["Transfer-Encoding : chunked"],
        &["Transfer-Encoding: \"chunked\""],
        &["Transfer-Encoding: chunked\u{b}"],
        &["Transfer-Encoding:"],
        &["Transfer-Encoding:\r\n chunked"],
    ] {
        let reply = followed_by_another(&gateway, codings, &chunked(PING)).await;
        assert!(is_400(&reply), "{codings:?}: {reply:?}");
    }
    nothing_reached_the_server(&gateway).await;
}

/// H013: chunks came with 1.1.
#[tokio::test]
async fn chunks_in_http_1_0_are_400() {
    let gateway = gateway();
    let bytes = post(&gateway, &[CHUNKED], &chunked(&marked_call("old")));
    let replies = exchange(&gateway, bytes.replacen("HTTP/1.1", "HTTP/1.0", 1)).await;
    assert_eq!(only(&replies).bare(), 400);
    nothing_reached_the_server(&gateway).await;
}

/// H014: each size is hexadecimal digits and the last is 0.
#[tokio::test]
async fn chunks_of_no_size_are_400_and_are_not_passed_on() {
    let gateway = gateway();
    let call = marked_call("unsized");
    let size = format!("{:x}", call.len());
    for body in [
        format!("\r\n{call}\r\n0\r\n\r\n"),
        format!("0x{size}\r\n{call}\r\n0\r\n\r\n"),
        format!("-{size}\r\n{call}\r\n0\r\n\r\n"),
        format!("+{size}\r\n{call}\r\n0\r\n\r\n"),
        format!(" {size}\r\n{call}\r\n0\r\n\r\n"),
        format!("10000000000000000\r\n{call}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff{size}\r\n{call}\r\n0\r\n\r\n"),
        format!("{size}\n{call}\n0\n\n"),
        format!("{size}\r\n{call}0\r\n\r\n"),
        format!("{size};a\nb\r\n{call}\r\n0\r\n\r\n"),
        format!("{size}\r\n{call}\r\n0\r\nno header\r\n\r\n"),
    ] {
        let reply = followed_by_another(&gateway, &[CHUNKED], &body).await;
        assert!(is_400(&reply), "{body:?}: {reply:?}");
        assert_eq!(reply.head.header("connection"), Some("close"));
    }
    // Without the last chunk the body has no end: it is waited for, or the client has gone.
    let endless = post(&gateway, &[CHUNKED], &format!("{size}\r\n{call}\r\n"));
    let replies = exchange(&gateway, &endless).await;
    assert_eq!(only(&replies).refusal(), (408, "body_timeout".to_owned()));
    for reply in exchange_and_finish(&gateway, &endless).await {
        assert!(is_400(&reply), "{reply:?}");
    }
    nothing_reached_the_server(&gateway).await;
}

/// H015: what comes with chunks is bounded, and no more than bytes to be read past.
#[tokio::test]
async fn extensions_and_trailers_are_bounded_and_mean_nothing() {
    let gateway = gateway();
    let call = marked_call("trailed");
    let size = format!("{:x}", call.len());
    for body in [
        format!("{size};{}\r\n{call}\r\n0\r\n\r\n", "x".repeat(1_000_000)),
        format!("{size}\r\n{call}\r\n0\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
    ] {
        let reply = followed_by_another(&gateway, &[CHUNKED], &body).await;
        assert!(is_400(&reply), "{reply:?}");
        assert_eq!(reply.head.header("connection"), Some("close"));
    }
    let host = format!("Host: {}", gateway.address());
    let token = format!("Authorization: Bearer {TOKEN}");
    let trailed = |trailer: &str| format!("{size}\r\n{call}\r\n0\r\n{trailer}\r\n\r\n");
    let headers = [host.as_str(), "Content-Type: application/json", CHUNKED];
    let announced = [&headers[..], &["Trailer: Authorization"]].concat();
    for headers in [&headers[..], &announced] {
        let bytes = bare_request("POST /s1/rpc", headers, &trailed(&token));
        let replies = exchange(&gateway, bytes).await;
        assert_eq!(only(&replies).refusal(), (401, "auth_failed".to_owned()));
    }
    nothing_reached_the_server(&gateway).await;
    // Nor do they take anything from who may enter.
    let wrong = "Authorization: Bearer canary\r\nHost: evil.example\r\nContent-Length: 3";
    let reply = ask(&gateway, post(&gateway, &[CHUNKED], &trailed(wrong))).await;
    assert_eq!(reply.head.status, 200, "{}", reply.body);
}

/// H016: whatever is announced, no more than the cap is taken, and no less than the length.
#[tokio::test]
async fn a_body_is_bounded_whatever_it_says_of_itself() {
    let gateway = gateway();
    let over = chunked(&"x".repeat(70_000));
    let replies = exchange(&gateway, post(&gateway, &[CHUNKED], &over)).await;
    assert_eq!(
        only(&replies).refusal(),
        (413, "payload_too_large".to_owned())
    );
    let announced = post(&gateway, &["Content-Length: 70000"], "");
    let replies = exchange(&gateway, announced).await;
    assert_eq!(
        only(&replies).refusal(),
        (413, "payload_too_large".to_owned()),
        "unread"
    );

    let call = marked_call("cut");
    let more = format!("Content-Length: {}", call.len() + 1);
    let replies = exchange(&gateway, post(&gateway, &[&more], &call)).await;
    assert_eq!(only(&replies).refusal(), (408, "body_timeout".to_owned()));
    let replies = exchange_and_finish(&gateway, post(&gateway, &[&more], &call)).await;
    assert!(replies.iter().all(is_400), "{replies:?}");

    let less = format!("Content-Length: {}", call.len() - 1);
    let replies = exchange(&gateway, post(&gateway, &[&less], &call)).await;
    let [cut, rest] = &replies[..] else {
        panic!("{replies:?}")
    };
    assert_eq!(cut.refusal(), (400, "invalid_request".to_owned()));
    assert_eq!(rest.bare(), 400, "what is left is no request");
    nothing_reached_the_server(&gateway).await;
}

/// H017: nothing is decompressed, so nothing can grow.
#[tokio::test]
async fn a_compressed_body_is_415_unread() {
    let gateway = gateway();
    for coding in [
        "gzip",
        "br",
        "deflate",
        "zstd",
        "GZIP",
        "identity, gzip",
        "x",
    ] {
        let coding = format!("Content-Encoding: {coding}");
        // The head alone: the answer does not wait for what it announces.
        let bytes = post(&gateway, &[&coding, "Content-Length: 60000"], "");
        let replies = exchange(&gateway, bytes).await;
        let refusal = only(&replies).refusal();
        assert_eq!(
            refusal,
            (415, "unsupported_media_type".to_owned()),
            "{coding}"
        );
    }
    nothing_reached_the_server(&gateway).await;
}

/// H018: nobody is asked for a body that is refused.
#[tokio::test]
async fn a_stranger_is_not_told_to_continue() {
    let gateway = gateway();
    let host = format!("Host: {}", gateway.address());
    let token = "Authorization: Bearer canary-token-of-nobody";
    let headers = [
        host.as_str(),
        token,
        "Expect: 100-continue",
        "Content-Length: 40",
    ];
    let replies = exchange(&gateway, bare_request("POST /s1/rpc", &headers, "")).await;
    assert_eq!(only(&replies).refusal(), (401, "auth_failed".to_owned()));

    let mut socket = RawSocket::connect(gateway.address()).await;
    let length = format!("Content-Length: {}", PING.len());
    let invited = post(
        &gateway,
        &["Expect: 100-continue", &length, "Connection: close"],
        "",
    );
    socket.send(invited).await;
    assert_eq!(socket.head(SOON).await.expect("an answer").status, 100);
    socket.send(PING).await;
    assert_eq!(
        reply(&mut socket).await.expect("an answer").head.status,
        200
    );
    assert_eq!(until_closed(&mut socket).await.len(), 0);
}
