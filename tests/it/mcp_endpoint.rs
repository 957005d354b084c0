//! The MCP endpoints before any session: what is asked in which form, and what the transport refuses.

use reqwest::Method;
use serde_json::json;

use crate::support::client::{Answer, Client};
use crate::support::mcp::{self, MODERN, Session, initialize, request};
use crate::support::wire;
use crate::support::{Gateway, Server};

async fn shaken(client: &Client, accept: Option<&str>) -> Answer {
    let request = client
        .request(Method::POST, "/g1/mcp")
        .header("content-type", "application/json")
        .body(initialize("2025-06-18").to_string());
    let request = match accept {
        Some(accept) => request.header("accept", accept),
        None => request,
    };
    client.send(request).await
}

/// H084: on the MCP endpoints.
#[tokio::test]
async fn a_client_gets_the_form_that_it_takes() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let both = "application/json, text/event-stream";
    for accept in [None, Some("*/*"), Some("application/json"), Some(both)] {
        let answer = shaken(&client, accept).await;
        assert_eq!(answer.status, 200, "{accept:?}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["result"]["protocolVersion"], "2025-06-18");
    }
    let events = shaken(&client, Some("text/event-stream")).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let text = events.text();
    let data = text.strip_prefix("data: ").unwrap();
    let message: serde_json::Value =
        serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!(message["result"]["protocolVersion"], "2025-06-18");

    let neither = shaken(&client, Some("text/html")).await;
    assert_eq!(neither.status, 406, "{}", neither.text());
    let error = neither.json();
    assert_eq!(error["error"]["data"]["error_code"], "not_acceptable");
}

/// H083: by the header.
#[tokio::test]
async fn a_revision_that_nobody_knows_is_refused_with_those_that_are_served() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let list = request(8, "tools/list", &json!({}));
    for path in ["/g1/mcp", "/mcp"] {
        let posted = mcp::post(&client, path, &list);
        let gotten = client.request(Method::GET, path);
        let deleted = client.request(Method::DELETE, path);
        for (request, id) in [
            (posted, json!(8)),
            (gotten, json!(null)),
            (deleted, json!(null)),
        ] {
            let request = request.header("mcp-protocol-version", "1999-01-01");
            let refused = client.send(request).await;
            let answer = refused.json();
            assert_eq!((refused.status, &answer["id"]), (400, &id), "{answer}");
            assert_eq!(answer["error"]["code"], -32022, "{answer}");
            let data = &answer["error"]["data"];
            assert_eq!(data["requested"], "1999-01-01", "{answer}");
            let supported = [
                "2026-07-28",
                "2025-11-25",
                "2025-06-18",
                "2025-03-26",
                "2024-11-05",
            ];
            assert_eq!(data["supported"], json!(supported), "{answer}");
        }
    }
    assert!(gateway.journal("g1").entries().is_empty());
}

#[tokio::test]
async fn failures_are_told_in_band_and_the_transport_keeps_its_statuses() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").set("disabled", json!(true)))
        .start();
    let client = gateway.client();
    let hello = initialize("2025-11-25");
    let stopped = client.send(mcp::post(&client, "/g1/mcp", &hello)).await;
    let answer = stopped.json();
    let id = json!("initialize");
    assert_eq!((stopped.status, &answer["id"]), (200, &id), "{answer}");
    assert_eq!(answer["error"]["code"], -31003, "{answer}");
    let data = json!({"origin": "gateway", "error_code": "server_stopped", "server_id": "g1", "delivered": "no"});
    assert_eq!(answer["error"]["data"], data);
    for path in ["/nobody/mcp", "/..%2f/mcp", "/%ff/mcp"] {
        let nobody = client.send(mcp::post(&client, path, &hello)).await;
        let error = nobody.json()["error"].clone();
        assert_eq!(nobody.status, 404, "{path}: {error}");
        assert_eq!(error["data"]["error_code"], "server_not_found", "{path}");
    }
    let batch = json!([request(1, "ping", &json!({}))]);
    let batch = client.send(mcp::post(&client, "/g1/mcp", &batch)).await;
    assert_eq!(batch.status, 400, "{}", batch.text());
    assert_eq!(batch.json()["error"]["code"], -32600);
    let text = client.request(Method::POST, "/g1/mcp").body("{}");
    let text = client.send(text).await;
    assert_eq!(text.status, 415);
    let error = text.json()["error"].clone();
    assert_eq!(
        error["data"]["error_code"], "unsupported_media_type",
        "{error}"
    );
}

#[tokio::test]
async fn streams_and_ends_are_of_sessions() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let ask = async |method: &Method, headers: &[(&str, &str)]| {
        let request = client.request(method.clone(), "/g1/mcp");
        let headers = headers.iter();
        client
            .send(headers.fold(request, |request, (name, value)| {
                request.header(*name, *value)
            }))
            .await
    };
    for method in [Method::GET, Method::DELETE] {
        let missing = ask(&method, &[]).await;
        assert_eq!(missing.status, 400, "{}", missing.text());
        let unknown = ask(&method, &[("mcp-session-id", "0123456789abcdef")]).await;
        assert_eq!(unknown.status, 404, "{}", unknown.text());
        let error = unknown.json()["error"].clone();
        assert_eq!(error["data"]["error_code"], "session_not_found", "{error}");
        let modern = ask(&method, &[("mcp-protocol-version", MODERN)]).await;
        assert_eq!(modern.status, 405, "{}", modern.text());
        assert_eq!(modern.header("allow"), "POST");
    }
    let json_only = ask(&Method::GET, &[("accept", "application/json")]).await;
    assert_eq!(json_only.status, 406, "{}", json_only.text());
    let put = ask(&Method::PUT, &[]).await;
    assert_eq!(
        (put.status, put.header("allow")),
        (405, "POST,GET,HEAD,DELETE")
    );
}

/// RF07: a server that is not there, or out of reach, is unknown whatever else is missing.
#[tokio::test]
async fn an_unknown_server_is_404_before_anything_else() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    for (method, version) in [
        (Method::GET, None),
        (Method::DELETE, None),
        (Method::GET, Some(MODERN)),
    ] {
        let request = client.request(method.clone(), "/nope/mcp");
        let request = match version {
            Some(version) => request.header("mcp-protocol-version", version),
            None => request,
        };
        let answer = client.send(request).await;
        assert_eq!(answer.status, 404, "{method}: {}", answer.text());
        let code = &answer.json()["error"]["data"]["error_code"];
        assert_eq!(code, "server_not_found");
    }
    let known = client.send(client.request(Method::GET, "/g1/mcp")).await;
    assert_eq!(known.status, 400, "{}", known.text());
}

/// RF07: whoever sends no `Accept` gets JSON, also where another client would be given a stream.
#[tokio::test]
async fn a_client_without_accept_gets_json() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let session = Session::open(&client, "/g1/mcp", "2025-11-25").await;
    // Long enough for a stream.
    let slow = json!({"do": "sleep", "ms": 300, "say": "done"});
    let call = mcp::tool_call(1, "gremlin", &slow).to_string();
    let named = session.message(&json!({})).build().unwrap();
    let named = named.headers()["mcp-session-id"].to_str().unwrap();
    let headers = [
        "Content-Type: application/json",
        &format!("Mcp-Session-Id: {named}"),
        &format!("Content-Length: {}", call.len()),
    ];
    let reply = wire::ask(
        &gateway,
        wire::request(&gateway, "POST /g1/mcp", &headers, &call),
    )
    .await;
    assert_eq!(
        reply.head.header("content-type"),
        Some("application/json"),
        "{reply:?}"
    );
    assert!(reply.body.contains("done"), "{reply:?}");
}

/// RF07: a form feed is no white space of JSON.
#[tokio::test]
async fn a_form_feed_around_a_body_is_refused() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let ping = request(1, "ping", &json!({})).to_string();
    for path in ["/g1/rpc", "/g1/mcp", "/mcp"] {
        for body in [format!("\u{c}{ping}"), format!("{ping}\u{c}")] {
            let answer = client.post(path, body).await;
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        }
    }
}
