//! What a page in somebody's browser can make it send.

use crate::support::wire::{
    PING, ask, bare_request, nothing_reached_the_server, post_whole, request,
};
use crate::support::{Gateway, Server};

fn gateway() -> Gateway {
    Gateway::builder()
        .limit("failed_auth_per_minute", 1_000_000)
        .server(Server::gremlin("s1"))
        .start()
}

/// H042: an origin is ours, or it is absent.
#[tokio::test]
async fn a_foreign_origin_is_refused_with_the_right_token() {
    let gateway = gateway();
    let port = gateway.address().port();
    let own = format!("Origin: http://127.0.0.1:{port}");
    let other_scheme = format!("Origin: https://127.0.0.1:{port}");
    let other_port = format!("Origin: http://127.0.0.1:{}", port ^ 1);
    for origins in [
        &["Origin: https://evil.example"][..],
        &["Origin: null"],
        &[&own, &own],
        &[&own, "Origin: https://evil.example"],
        &[&other_scheme],
        &[&other_port],
        &["Origin:"],
        &["Origin: 127.0.0.1"],
        &["Origin: http://localhost.evil.example"],
        &["Origin: http://canary@localhost"],
        &["Origin: file://"],
    ] {
        let reply = ask(&gateway, request(&gateway, "GET /ready", origins, "")).await;
        assert_eq!(
            reply.refusal(),
            (403, "origin_denied".to_owned()),
            "{origins:?}"
        );
    }
    for origins in [&[][..], &[&own], &["Origin: http://localhost"]] as [&[&str]; 3] {
        let reply = ask(&gateway, request(&gateway, "GET /ready", origins, "")).await;
        assert_eq!(reply.head.status, 200, "{origins:?}: {}", reply.body);
    }
}

/// H044: what a page can send without asking first is not JSON, and so no message.
#[tokio::test]
async fn a_message_that_does_not_say_that_it_is_json_is_415() {
    let gateway = gateway();
    for path in ["/rpc", "/s1/rpc", "/mcp", "/s1/mcp"] {
        let whole = post_whole(&gateway, path, PING);
        for kind in [
            "Content-Type: text/plain",
            "Content-Type: text/plain; charset=utf-8; x=application/json",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Type: multipart/form-data; boundary=x",
            "Content-Type: text/plain, application/json",
            "Content-Type:",
            "X: y",
        ] {
            let bytes = whole.replacen("Content-Type: application/json", kind, 1);
            let reply = ask(&gateway, bytes).await;
            assert_eq!(reply.head.status, 415, "{path} {kind}: {}", reply.body);
            reply.says_nothing();
        }
    }
    nothing_reached_the_server(&gateway).await;
}

/// H045: no header gives leave to a page, not even to one whose origin is let in.
#[tokio::test]
async fn a_preflight_is_given_no_leave() {
    let gateway = gateway();
    let host = format!("Host: {}", gateway.address());
    let asked = [
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: authorization, content-type",
        "Access-Control-Request-Private-Network: true",
    ];
    for route in host_mcp_gateway::http::routes() {
        let path = route
            .path
            .replace("{id}", "s1")
            .replace("{server_id}", "s1");
        let line = format!("OPTIONS {path}");
        // As a browser sends it, without the token; `refusal` looks for headers that allow anything.
        for (origin, expected) in [
            ("Origin: https://evil.example", (403, "origin_denied")),
            ("Origin: http://localhost", (401, "auth_failed")),
        ] {
            let headers = [&[host.as_str(), origin], &asked[..]].concat();
            let reply = ask(&gateway, bare_request(&line, &headers, "")).await;
            let (status, code) = reply.refusal();
            assert_eq!((status, code.as_str()), expected, "{line} {origin}");
        }
        let headers = [&["Origin: http://localhost"], &asked[..]].concat();
        let reply = ask(&gateway, request(&gateway, &line, &headers, "")).await;
        assert_eq!(
            reply.refusal(),
            (405, "method_not_allowed".to_owned()),
            "{line}"
        );
    }
    // Nor with what is served.
    let headers = ["Origin: http://localhost"];
    let reply = ask(&gateway, request(&gateway, "GET /ready", &headers, "")).await;
    assert_eq!(reply.head.status, 200);
    assert!(
        !reply
            .head
            .text
            .to_ascii_lowercase()
            .contains("access-control")
    );
}
