//! The order of the checks, which is a promise of its own: a refusal tells nothing of what comes after it.

use serde_json::json;

use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wire::{bare_request, nothing_reached_the_server, reply};
use crate::support::{Gateway, Server};

/// A request with everything wrong, and one thing after another put right: who asks, by which name, from
/// which page, with which token, for what, how, in which type, and with which message.
#[tokio::test]
async fn the_first_thing_that_is_wrong_is_the_one_that_is_told() {
    const STRANGER: [u8; 4] = [127, 0, 0, 2];
    const CLIENT: [u8; 4] = [127, 0, 0, 1];
    let gateway = Gateway::builder()
        .set("allowed_clients", json!(["127.0.0.1"]))
        .limit("max_body_bytes", 1024)
        .server(Server::gremlin("s1"))
        .start();
    let right = format!("Authorization: Bearer {TOKEN}");
    let short = "Content-Length: 2";
    let mut headers = [
        "Host: evil.example",
        "Origin: https://evil.example",
        "Authorization: Bearer canary-token-of-nobody",
        "Content-Type: text/plain",
        "Accept: text/html",
        "Content-Length: 5000",
    ];
    let (nowhere, no_such, post) = ("PUT /nowhere", "PUT /s1/rpc", "POST /s1/rpc");
    for (mended, peer, line, status, code) in [
        (headers[0], STRANGER, nowhere, 403, "auth_denied"),
        (headers[0], CLIENT, nowhere, 403, "host_denied"),
        ("Host: localhost", CLIENT, nowhere, 403, "origin_denied"),
        (
            "Origin: http://localhost",
            CLIENT,
            nowhere,
            401,
            "auth_failed",
        ),
        (&right, CLIENT, nowhere, 404, "not_found"),
        (&right, CLIENT, no_such, 405, "method_not_allowed"),
        (&right, CLIENT, post, 415, "unsupported_media_type"),
        (
            "Content-Type: application/json",
            CLIENT,
            post,
            406,
            "not_acceptable",
        ),
        ("Accept: */*", CLIENT, post, 413, "payload_too_large"),
        (short, CLIENT, post, 400, "invalid_request"),
    ] {
        let (name, _) = mended.split_once(':').unwrap();
        let line_of = headers.iter_mut().find(|line| line.starts_with(name));
        *line_of.expect("a header to mend") = mended;
        let mut socket = RawSocket::connect_from(peer, gateway.address()).await;
        // Of a body that is refused unread, not a byte is sent.
        let body = if mended == short { "{}" } else { "" };
        socket.send(bare_request(line, &headers, body)).await;
        let refusal = reply(&mut socket).await.expect("an answer").refusal();
        assert_eq!(refusal, (status, code.to_owned()), "{line} {headers:?}");
    }
    nothing_reached_the_server(&gateway).await;
}
