//! What a page in somebody's browser can make it send.

use std::collections::BTreeMap;

use crate::support::wait::wait_for;
use crate::support::wire::{
    PING, Reply, SOON, ask, bare_request, nothing_reached_the_server, post_whole, request,
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

const PREFLIGHT: [&str; 3] = [
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization,content-type,mcp-param-region,x-forwarded-for",
    "Access-Control-Request-Private-Network: true",
];

/// The headers of CORS in an answer, and `Vary`.
fn leave(reply: &Reply) -> BTreeMap<String, String> {
    let lines = reply
        .head
        .text
        .lines()
        .filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .filter(|(name, _)| name.starts_with("access-control") || name == "vary")
        .collect()
}

fn headers(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    expected.iter().map(owned).collect()
}

/// H045, RF03: a page of a listed origin is told what it may send, on every path alike and without a token; the page of
/// another one is told nothing.
#[tokio::test]
async fn a_preflight_is_given_leave_to_listed_origins_only() {
    let gateway = gateway();
    let host = format!("Host: {}", gateway.address());
    let given = headers(&[
        ("access-control-allow-origin", "http://localhost"),
        ("access-control-allow-methods", "GET, POST, DELETE"),
        (
            "access-control-allow-headers",
            "authorization, content-type, mcp-param-region",
        ),
        (
            "access-control-expose-headers",
            "Mcp-Session-Id, WWW-Authenticate, Retry-After",
        ),
        ("access-control-max-age", "7200"),
        ("access-control-allow-private-network", "true"),
        ("vary", "Origin"),
    ]);
    let routes = host_mcp_gateway::http::routes().iter();
    let paths = routes.map(|route| route.path).chain(["/unknown", "/", "*"]);
    for path in paths {
        let path = path.replace("{id}", "s1").replace("{server_id}", "s1");
        let line = format!("OPTIONS {path}");
        let from = |origin| {
            bare_request(
                &line,
                &[&[host.as_str(), origin], &PREFLIGHT[..]].concat(),
                "",
            )
        };
        let reply = ask(&gateway, from("Origin: http://localhost")).await;
        assert_eq!(
            (reply.head.status, reply.body.as_str()),
            (204, ""),
            "{line}"
        );
        assert_eq!(leave(&reply), given, "{line}");
        for origin in [
            "Origin: https://evil.example",
            "Origin: null",
            "Origin: http://localhost:1",
        ] {
            let reply = ask(&gateway, from(origin)).await;
            assert_eq!(
                reply.refusal(),
                (403, "origin_denied".to_owned()),
                "{line} {origin}"
            );
            assert_eq!(leave(&reply), headers(&[]), "{line} {origin}");
        }
        // Without an origin, or without a method that is asked for, it is a request like any other.
        let reply = ask(&gateway, bare_request(&line, &[&host], "")).await;
        assert_eq!(reply.refusal(), (401, "auth_failed".to_owned()), "{line}");
        let reply = ask(
            &gateway,
            bare_request(&line, &[&host, "Origin: http://localhost"], ""),
        )
        .await;
        assert_eq!(reply.head.status, 401, "{line}");
    }
    // The name of the gateway is checked before.
    let foreign = [
        &["Host: evil.example", "Origin: http://localhost"],
        &PREFLIGHT[..],
    ]
    .concat();
    let reply = ask(&gateway, bare_request("OPTIONS /mcp", &foreign, "")).await;
    assert_eq!(reply.refusal(), (403, "host_denied".to_owned()));
    nothing_reached_the_server(&gateway).await;
}

/// RF03: a page of a listed origin can read answers and refusals, with the headers that it needs; whoever sends no
/// origin is told nothing of origins.
#[tokio::test]
async fn a_listed_origin_can_read_answers_and_refusals() {
    let gateway = gateway();
    let given = headers(&[
        ("access-control-allow-origin", "http://localhost"),
        (
            "access-control-expose-headers",
            "Mcp-Session-Id, WWW-Authenticate, Retry-After",
        ),
        ("vary", "Origin"),
    ]);
    let host = format!("Host: {}", gateway.address());
    let origin = "Origin: http://localhost";
    for (bytes, status) in [
        (request(&gateway, "GET /ready", &[origin], ""), 200),
        (request(&gateway, "GET /unknown", &[origin], ""), 404),
        (request(&gateway, "POST /mcp", &[origin], ""), 415),
        (request(&gateway, "OPTIONS /mcp", &[origin], ""), 405),
        (bare_request("GET /ready", &[&host, origin], ""), 401),
    ] {
        let reply = ask(&gateway, bytes).await;
        assert_eq!(reply.head.status, status);
        assert_eq!(leave(&reply), given, "{status}");
    }
    let reply = ask(&gateway, request(&gateway, "GET /ready", &[], "")).await;
    assert_eq!(leave(&reply), headers(&[]));
}

/// RF02: the log has the name that was refused and the key that lists those that are let in.
#[tokio::test]
async fn a_refused_name_is_in_the_log() {
    let gateway = gateway();
    for (headers, expected) in [
        (
            ["Host: gw.lan:7411", "X: y"],
            r#"host "gw.lan:7411" is not in allowed_hosts"#,
        ),
        (
            ["Host: localhost", "Origin: http://ui.lan"],
            r#"origin "http://ui.lan" is not in allowed_origins"#,
        ),
    ] {
        let reply = ask(&gateway, bare_request("GET /ready", &headers, "")).await;
        assert_eq!(reply.head.status, 403);
        reply.says_nothing();
        let lines = gateway.logs();
        wait_for("the refusal in the log", SOON, async || {
            let told = lines.lines();
            let escaped = serde_json::json!(expected).to_string();
            let escaped = escaped.trim_matches('"');
            let is_told = |line: &String| line.contains(expected) || line.contains(escaped);
            told.iter().any(is_told).then_some(())
        })
        .await;
    }
}
