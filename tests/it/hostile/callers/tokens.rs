//! What is a token, and where it has to stand.

use serde_json::json;

use crate::support::gateway::TOKEN;
use crate::support::wire::{Reply, ask, bare_request, exchange, nothing_reached_the_server, only};
use crate::support::{Gateway, Server};

fn gateway() -> Gateway {
    Gateway::builder()
        .set("log", json!({"level": "trace", "format": "json"}))
        .limit("failed_auth_per_minute", 1_000_000)
        .server(Server::gremlin("s1"))
        .start()
}

/// `GET /ready` with these header lines, as bytes: a value may be no text.
async fn ready(gateway: &Gateway, headers: &[&[u8]]) -> Reply {
    let mut bytes = format!("GET /ready HTTP/1.1\r\nHost: {}\r\n", gateway.address()).into_bytes();
    for line in headers {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    ask(gateway, bytes).await
}

/// One `Authorization` with this value.
async fn with(gateway: &Gateway, value: impl AsRef<[u8]>) -> Reply {
    ready(gateway, &[&[b"Authorization: ", value.as_ref()].concat()]).await
}

fn is_refused(reply: &Reply) {
    assert_eq!(reply.refusal(), (401, "auth_failed".to_owned()));
    assert_eq!(reply.head.header("www-authenticate"), Some("Bearer"));
    // The same words for every reason.
    let body = r#"{"error":{"error_code":"auth_failed","message":"exactly one valid bearer token is required"}}"#;
    assert_eq!(reply.body, body);
}

/// H033 and H034: the scheme is `Bearer` in any case, and it is there.
#[tokio::test]
async fn a_token_comes_with_the_scheme_bearer() {
    let gateway = gateway();
    for scheme in [
        "Basic ",
        "Token ",
        "",
        "Bearer",
        "Bearer:",
        "Bearer\t",
        "Bearer=",
        "Digest ",
        "Bearer Bearer ",
    ] {
        is_refused(&with(&gateway, format!("{scheme}{TOKEN}")).await);
    }
    is_refused(&with(&gateway, "Bearer").await);
    is_refused(&with(&gateway, "Bearer ").await);
    is_refused(&with(&gateway, "").await);
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer  ", "bEARER    "] {
        let reply = with(&gateway, format!("{scheme}{TOKEN}")).await;
        assert_eq!(reply.head.status, 200, "{scheme:?}");
    }
    nothing_reached_the_server(&gateway).await;
}

/// H035: two are not one, in whatever order, and the same twice is two.
#[tokio::test]
async fn there_is_one_authorization() {
    let gateway = gateway();
    let good = format!("Authorization: Bearer {TOKEN}");
    let bad = "Authorization: Bearer canary-token-of-nobody";
    for pair in [[good.as_str(), bad], [bad, &good], [&good, &good]] {
        is_refused(&ready(&gateway, &pair.map(str::as_bytes)).await);
    }
    is_refused(&with(&gateway, format!("Bearer {TOKEN}, Bearer {TOKEN}")).await);
}

/// H036: nothing but the token is the token.
#[tokio::test]
async fn what_is_almost_the_token_is_no_token() {
    let gateway = gateway();
    let encoded: Vec<String> = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (first, rest) = TOKEN.split_at(1);
    let (start, _last) = TOKEN.split_at(TOKEN.len() - 1);
    for almost in [
        start.to_owned(),
        rest.to_owned(),
        format!("{TOKEN}x"),
        format!("x{TOKEN}"),
        format!("{TOKEN}="),
        format!("{TOKEN}{TOKEN}"),
        TOKEN.to_ascii_uppercase(),
        first.to_ascii_uppercase() + rest,
        format!("\"{TOKEN}\""),
        format!("%20{TOKEN}"),
        format!("{TOKEN}%00"),
        format!("{TOKEN} x"),
        format!("{TOKEN}\u{e9}"),
        encoded.concat(),
        "canary".repeat(11_000),
        "=".to_owned(),
    ] {
        is_refused(&with(&gateway, format!("Bearer {almost}")).await);
    }
    for bytes in [&b"\x80"[..], b"\xff\xfe", b"\xed\xa0\x80"] {
        let almost = [b"Bearer ", TOKEN.as_bytes(), bytes].concat();
        is_refused(&with(&gateway, almost).await);
        is_refused(&with(&gateway, [b"Bearer ", bytes].concat()).await);
        is_refused(&with(&gateway, bytes).await);
    }
    // Such a byte is in no header at all, so nobody gets to look at the token.
    let nul = format!("Authorization: Bearer {TOKEN}\0");
    let host = format!("Host: {}", gateway.address());
    let replies = exchange(&gateway, bare_request("GET /ready", &[&host, &nul], "")).await;
    assert_eq!(only(&replies).bare(), 400);
    nothing_reached_the_server(&gateway).await;
}

/// H037: not in the target, in a cookie, in another header, or in the body; and what stood in a query is
/// in no log.
#[tokio::test]
async fn a_token_in_another_place_is_no_token_and_is_not_logged() {
    let gateway = gateway();
    let host = format!("Host: {}", gateway.address());
    for line in [
        "GET /ready",
        "POST /s1/rpc",
        "GET /s1/rpc",
        "POST /mcp",
        "GET /canary-path",
    ] {
        for query in ["access_token", "token", "api_key"] {
            let line = format!("{line}?{query}={TOKEN}");
            is_refused(&ask(&gateway, bare_request(&line, &[&host], "")).await);
        }
    }
    let userinfo = format!("GET http://x:{TOKEN}@localhost/ready");
    let reply = ask(&gateway, bare_request(&userinfo, &[&host], "")).await;
    assert_eq!(reply.refusal(), (403, "host_denied".to_owned()));
    for header in [
        "Cookie: access_token=",
        "X-Api-Key: ",
        "Proxy-Authorization: Bearer ",
        "X-Authorization: Bearer ",
        "Mcp-Session-Id: ",
    ] {
        is_refused(&ready(&gateway, &[format!("{header}{TOKEN}").as_bytes()]).await);
    }
    for (kind, body) in [
        (
            "application/x-www-form-urlencoded",
            format!("access_token={TOKEN}"),
        ),
        (
            "application/json",
            format!(r#"{{"access_token":"{TOKEN}"}}"#),
        ),
    ] {
        let kind = format!("Content-Type: {kind}");
        let length = format!("Content-Length: {}", body.len());
        let headers = [host.as_str(), &kind, &length];
        is_refused(&ask(&gateway, bare_request("POST /s1/rpc", &headers, &body)).await);
    }
    // A query is not logged either when it comes from somebody who may enter.
    let right = format!("Authorization: Bearer {TOKEN}");
    for path in ["/ready", "/canary-path", "/s1/mcp"] {
        let line = format!("GET {path}?access_token=canary-in-a-query");
        ask(&gateway, bare_request(&line, &[&host, &right], "")).await;
    }
    nothing_reached_the_server(&gateway).await;
    assert!(gateway.logs().text().contains("request answered"));
    assert!(!gateway.logs().text().contains("canary-in-a-query"));
}
