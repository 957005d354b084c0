//! Nothing is served to whom it should not be: every route, every method, unknown paths too.
//!
//! The routes come from the router's own list, so one that is added is tested the day it is added.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::TOKEN;
use crate::support::socket::{Head, RawSocket};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "BREW",
];

const UNKNOWN: [&str; 8] = [
    "/",
    "/favicon.ico",
    "/robots.txt",
    "/ui",
    "/health//",
    "/s1/rpc/more",
    "/%2e%2e/health",
    "/.well-known/oauth-protected-resource",
];

/// One way to ask: what comes between the request line and the empty line.
struct Way {
    name: &'static str,
    headers: String,
}

fn way(name: &'static str, host: SocketAddr, more: &[&str]) -> Way {
    let mut headers = format!("Host: {host}\r\n");
    for line in more {
        headers += line;
        headers += "\r\n";
    }
    Way { name, headers }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Every method on every route and on paths that are none.
fn everything() -> Vec<(&'static str, String)> {
    let routes = host_mcp_gateway::http::routes().iter();
    let mut paths: Vec<String> = routes
        .map(|route| {
            route
                .path
                .replace("{id}", "s1")
                .replace("{server_id}", "s1")
        })
        .chain(UNKNOWN.map(str::to_owned))
        .collect();
    paths.sort();
    paths.dedup();
    assert!(paths.len() > UNKNOWN.len() + 8, "{paths:?}");
    let mut all: Vec<_> = paths
        .iter()
        .flat_map(|path| METHODS.map(|method| (method, path.clone())))
        .collect();
    all.push(("CONNECT", "localhost:443".to_owned()));
    all.push(("OPTIONS", "*".to_owned()));
    all
}

/// Asks on a connection of its own; a body comes only with answers to methods that have one.
async fn ask(address: SocketAddr, method: &str, path: &str, way: &Way) -> (Head, Vec<u8>) {
    let mut socket = RawSocket::connect(address).await;
    let headers = &way.headers;
    socket
        .send(format!("{method} {path} HTTP/1.1\r\n{headers}\r\n"))
        .await;
    if method == "HEAD" {
        let head = socket.head(SOON).await;
        return (
            head.unwrap_or_else(|| panic!("no answer to {method} {path}")),
            Vec::new(),
        );
    }
    let answer = socket.answer(SOON).await;
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}, {}", way.name))
}

async fn refuses_everything(address: SocketAddr, way: &Way, status: u16, code: &str) {
    for (method, path) in everything() {
        let (head, body) = ask(address, method, &path, way).await;
        let what = format!("{method} {path}, {}", way.name);
        assert_eq!(head.status, status, "{what}: {}", head.text);
        if status == 401 {
            assert_eq!(head.header("www-authenticate"), Some("Bearer"), "{what}");
        }
        assert_eq!(
            head.header("content-type"),
            Some("application/json"),
            "{what}"
        );
        if method != "HEAD" {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let members = body["error"].as_object().unwrap();
            assert_eq!(body["error"]["error_code"], code, "{what}: {body}");
            // No word about what is behind the door.
            assert_eq!(
                members.keys().collect::<Vec<_>>(),
                ["error_code", "message"],
                "{what}"
            );
        }
    }
}

/// A gateway that does not lose patience with failed authentications.
fn patient() -> Gateway {
    Gateway::builder()
        .limit("failed_auth_per_minute", 1_000_000)
        .server(Server::gremlin("s1"))
        .start()
}

/// H026, and H033 and H035 on every route: the list of routes is the router's own.
#[tokio::test]
async fn without_exactly_one_right_token_everything_is_refused() {
    let gateway = patient();
    let at = gateway.address();
    let (right, wrong) = (
        bearer(TOKEN),
        bearer("canary-token-5bd1c4a7e0f24c1f9b3d8a6f"),
    );
    let basic = format!("Authorization: Basic {TOKEN}");
    for way in [
        way("no token", at, &[]),
        way("a wrong token", at, &[&wrong]),
        way("the right token twice", at, &[&right, &right]),
        way("a wrong token after the right one", at, &[&right, &wrong]),
        way("another scheme", at, &[&basic]),
    ] {
        refuses_everything(at, &way, 401, "auth_failed").await;
    }
    assert!(
        gateway.journal("s1").entries().is_empty(),
        "the server was never started"
    );
}

/// H043: on every route, the streams of events included.
#[tokio::test]
async fn a_foreign_host_is_refused_everywhere() {
    let gateway = patient();
    let at = gateway.address();
    let headers = format!("Host: rebound.example\r\n{}\r\n", bearer(TOKEN));
    // The target of CONNECT is a host itself, and one of ours here: the header counts all the same.
    let way = Way {
        name: "a foreign host",
        headers,
    };
    refuses_everything(at, &way, 403, "host_denied").await;
}

/// H042, on every route.
#[tokio::test]
async fn a_foreign_origin_is_refused_everywhere() {
    let gateway = patient();
    let at = gateway.address();
    let right = bearer(TOKEN);
    for origin in ["Origin: https://evil.example", "Origin: null"] {
        let way = way("a foreign origin", at, &[&right, origin]);
        refuses_everything(at, &way, 403, "origin_denied").await;
    }
}

/// H032, of a peer that is no proxy, on every route.
#[tokio::test]
async fn an_address_outside_the_list_is_refused_everywhere_whatever_it_brings() {
    let gateway = Gateway::builder()
        .set("allowed_clients", json!(["192.0.2.0/24"]))
        .server(Server::gremlin("s1"))
        .start();
    let at = gateway.address();
    let right = bearer(TOKEN);
    let forwarded = "X-Forwarded-For: 192.0.2.7";
    for way in [
        way("everything right but the address", at, &[&right]),
        way(
            "an address of its own claim",
            at,
            &[&right, forwarded, "Forwarded: for=192.0.2.7"],
        ),
        way("nothing right", at, &["Origin: https://evil.example"]),
    ] {
        refuses_everything(at, &way, 403, "auth_denied").await;
    }
    assert!(
        gateway.journal("s1").entries().is_empty(),
        "the server was never started"
    );
}

#[tokio::test]
async fn with_everything_right_nothing_is_refused_at_the_door() {
    let gateway = patient();
    let at = gateway.address();
    let right = bearer(TOKEN);
    let way = way(
        "everything right",
        at,
        // A session that is unknown: without one, `GET` and `DELETE` of the MCP endpoints are 400.
        &[&right, "Origin: http://localhost", "Mcp-Session-Id: none"],
    );
    let mut served = 0;
    for (method, path) in everything() {
        let mut socket = RawSocket::connect(at).await;
        let headers = &way.headers;
        socket
            .send(format!("{method} {path} HTTP/1.1\r\n{headers}\r\n"))
            .await;
        let head = socket.head(SOON).await.unwrap();
        assert!(
            ![400, 401, 403].contains(&head.status),
            "{method} {path}: {}",
            head.text
        );
        served += usize::from(head.status < 300);
    }
    // At least every route that wants no body, and HEAD of those with GET.
    assert!(served >= 9 + 6, "{served} requests were served");
}

#[tokio::test]
async fn too_many_failures_from_one_address_are_slowed_and_the_right_token_still_passes() {
    let gateway = Gateway::builder()
        .limit("failed_auth_per_minute", 3)
        .start();
    let stranger = gateway.client_with(Some("canary-token-5bd1c4a7e0f24c1f9b3d8a6f"));
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(stranger.get("/health").await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    let slowed = stranger.get("/health").await;
    assert_eq!(slowed.error_code(), "rate_limited");
    assert!(slowed.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(gateway.client().get("/health").await.status, 200);
}

#[tokio::test]
async fn a_body_is_not_awaited_before_the_door() {
    let gateway = patient();
    let at = gateway.address();
    let host = format!("Host: {at}\r\nContent-Type: application/json\r\n");
    for framing in [
        "Content-Length: 100000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 100000\r\nExpect: 100-continue\r\n",
    ] {
        let mut socket = RawSocket::connect(at).await;
        // The head alone: of the body not one byte is sent.
        socket
            .send(format!("POST /s1/rpc HTTP/1.1\r\n{host}{framing}\r\n"))
            .await;
        let (head, _) = socket.answer(SOON).await.expect("an answer without a body");
        assert_eq!(head.status, 401, "{framing}: {}", head.text);
        assert_eq!(head.header("connection"), Some("close"), "{framing}");
        assert_eq!(
            socket.rest(SOON).await,
            b"",
            "{framing}: the connection ends"
        );
    }
    // With the right token the same head is waited on, so the check above can fail.
    let mut socket = RawSocket::connect(at).await;
    let right = bearer(TOKEN);
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let length = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
    socket
        .send(format!(
            "POST /s1/rpc HTTP/1.1\r\n{host}{right}\r\n{length}\r\n"
        ))
        .await;
    assert_eq!(socket.head(SOON).await.unwrap().status, 100);
    socket.send(body).await;
    assert_eq!(socket.answer(SOON).await.unwrap().0.status, 200);
}

#[tokio::test]
async fn the_log_names_what_failed_and_no_token() {
    let gateway = patient();
    let wrong = "canary-token-5bd1c4a7e0f24c1f9b3d8a6f";
    gateway.client_with(Some(wrong)).get("/health").await;
    wait_for("a refusal in the log", SOON, async || {
        gateway.logs().text().contains("\"token\"").then_some(())
    })
    .await;
    assert!(
        !gateway.logs().text().contains("canary-token"),
        "a token is in the log"
    );
}
