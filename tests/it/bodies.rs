//! What a request may be: its body, its types, its method; and the shape of the errors when it is not.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::client::{Answer, Client};
use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

fn gateway() -> Gateway {
    Gateway::builder()
        .limit("max_body_bytes", 65_536)
        .limit("body_ms", 1000)
        .server(Server::gremlin("s1"))
        .start()
}

fn is_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.error_code()),
        (status, json!(code)),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

async fn post(client: &Client, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let mut request = client.request(Method::POST, "/s1/rpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request.body(body)).await
}

#[tokio::test]
async fn the_published_error_is_kept_to_the_byte() {
    let gateway = gateway();
    let body =
        r#"{"server_id":"host-service","payload":{"jsonrpc":"2.0","id":1,"method":"tools/list"}}"#;
    let published = r#"{"error":{"error_code":"server_not_found","message":"unknown server_id","server_id":"host-service","request_id":"1"}}"#;
    let plain = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (path, body) in [("/rpc", body), ("/host-service/rpc", plain)] {
        let answer = gateway.client().post(path, body).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, published),
            "{path}"
        );
        is_refused(&answer, 404, "server_not_found");
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_413_however_it_comes() {
    let gateway = gateway();
    let text = "x".repeat(70_000);
    let echo = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": text}}});
    is_refused(
        &gateway.client().rpc("s1", &echo).await,
        413,
        "payload_too_large",
    );

    let mut socket = RawSocket::connect(gateway.address()).await;
    let head = format!(
        "POST /s1/rpc HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n",
        gateway.address()
    );
    socket
        .send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))
        .await;
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    for _ in 0..9 {
        socket.send(&chunk).await;
    }
    let (answered, body) = socket
        .answer(SOON)
        .await
        .expect("an answer to a body without an end");
    assert_eq!(answered.status, 413, "{}", answered.text);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("payload_too_large")
    );

    let fits = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x".repeat(60_000)}}});
    assert_eq!(gateway.client().rpc("s1", &fits).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let gateway = gateway();
    let mut socket = RawSocket::connect(gateway.address()).await;
    let head = format!(
        "POST /s1/rpc HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{{",
        gateway.address()
    );
    socket.send(head).await;
    let (answered, body) = socket.answer(SOON).await.expect("an answer");
    assert_eq!(answered.status, 408, "{}", answered.text);
    assert!(String::from_utf8(body).unwrap().contains("body_timeout"));
}

/// H084: on the plain endpoints.
#[tokio::test]
async fn another_type_is_415_and_another_wish_406() {
    let gateway = gateway();
    let client = gateway.client();
    let json_type = ("content-type", "application/json");
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/json; charset=latin1")],
        &[json_type, ("content-encoding", "gzip")],
        &[json_type, json_type],
    ] {
        is_refused(
            &post(&client, headers, PING).await,
            415,
            "unsupported_media_type",
        );
    }
    for accept in ["text/html", "text/event-stream", "application/json;q=0"] {
        let answer = post(&client, &[json_type, ("accept", accept)], PING).await;
        is_refused(&answer, 406, "not_acceptable");
    }
    let stream = client
        .request(Method::GET, "/s1/rpc")
        .header("accept", "application/json");
    is_refused(&client.send(stream).await, 406, "not_acceptable");
    for headers in [
        &[("content-type", "Application/JSON; charset=UTF-8")][..],
        &[json_type, ("accept", "application/*")],
        &[json_type, ("accept", "text/event-stream, application/json")],
    ] {
        assert_eq!(
            post(&client, headers, PING).await.status,
            200,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn another_method_is_405_with_those_that_are_allowed() {
    let gateway = gateway();
    let client = gateway.client();
    for (path, method, allow) in [
        ("/health", Method::POST, "GET,HEAD"),
        ("/servers", Method::DELETE, "GET,HEAD"),
        ("/metrics", Method::PUT, "GET,HEAD"),
        ("/rpc", Method::GET, "POST"),
        ("/s1/rpc", Method::PATCH, "POST,GET,HEAD"),
        ("/servers/s1/restart", Method::GET, "POST"),
    ] {
        let answer = client.send(client.request(method.clone(), path)).await;
        is_refused(&answer, 405, "method_not_allowed");
        let mut allowed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
        let mut expected: Vec<&str> = allow.split(',').collect();
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{method} {path}");
    }
    is_refused(&client.get("/nothing/here").await, 404, "not_found");
    is_refused(
        &client.get("/servers/unknown/logs").await,
        404,
        "server_not_found",
    );
}

#[tokio::test]
async fn what_is_no_message_is_400() {
    let gateway = gateway();
    let client = gateway.client();
    for body in [
        "",
        "{",
        "nonsense",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        "42",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
    ] {
        let answer = client.post("/s1/rpc", body).await;
        is_refused(&answer, 400, "invalid_request");
    }
    for body in [
        r#"{"payload":{}}"#,
        r#"{"server_id":"s1"}"#,
        r#"{"server_id":1,"payload":{}}"#,
        "[]",
    ] {
        let answer = client.post("/rpc", body).await;
        is_refused(&answer, 400, "invalid_request");
    }
    assert_eq!(
        gateway.journal("s1").entries().len(),
        0,
        "nothing of it woke the server"
    );
}

#[tokio::test]
async fn one_body_is_one_message_to_the_child() {
    let gateway = gateway();
    let body = "{\"jsonrpc\":\"2.0\",\r\n \"id\":1,\n\"method\":\"tools/call\",\"params\":{\"name\":\"echo\",\n\"arguments\":{\"text\":\"a\\nb\"}}}\n";
    let answer = gateway.client().post("/s1/rpc", body).await;
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        "a\nb",
        "{}",
        answer.text()
    );
    let entries = gateway.journal("s1").entries();
    assert_eq!(
        gateway.journal("s1").count_method("tools/call"),
        1,
        "{entries:?}"
    );
    assert!(
        entries.iter().all(|entry| !entry.json().is_null()),
        "{entries:?}"
    );
}

#[tokio::test]
async fn a_notification_is_202_without_a_body() {
    let gateway = gateway();
    let client = gateway.client();
    let note = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    for answer in [
        client.rpc("s1", &note).await,
        client.wrapped_rpc("s1", &note).await,
    ] {
        assert_eq!((answer.status, answer.text().as_str()), (202, ""));
    }
}
