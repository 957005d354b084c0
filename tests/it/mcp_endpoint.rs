//! `POST /{server_id}/mcp`: what an MCP client of the legacy era needs, and how one of both eras falls back.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::{Gateway, Server};

async fn post(client: &Client, path: &str, message: &Value, headers: &[(&str, &str)]) -> Answer {
    let mut request = client
        .request(reqwest::Method::POST, path)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(request.body(message.to_string())).await
}

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[tokio::test]
async fn a_client_shakes_hands_lists_and_calls() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("g1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        let wish = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let shaken = post(&client, "/g1/mcp", &request(1, "initialize", &wish), &[]).await;
        assert_eq!(shaken.status, 200, "{}", shaken.text());
        assert_eq!(shaken.json()["result"]["protocolVersion"], "2025-06-18");
        assert!(!shaken.headers.contains_key("mcp-session-id"));
        let version = [("mcp-protocol-version", "2025-06-18")];
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = post(&client, "/g1/mcp", &done, &version).await;
        assert_eq!((accepted.status, accepted.text()), (202, String::new()));
        let echo = json!({"name": "echo", "arguments": {"text": "hello"}});
        let called = post(
            &client,
            "/g1/mcp",
            &request(2, "tools/call", &echo),
            &version,
        )
        .await;
        let answer = called.json();
        assert_eq!((called.status, &answer["id"]), (200, &json!(2)), "{answer}");
        assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");
    }
}

#[tokio::test]
async fn a_modern_request_is_refused_so_that_the_client_falls_back() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let claim = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}});
    for message in [
        request(7, "server/discover", &claim),
        request(7, "tools/list", &claim),
    ] {
        let refused = post(&client, "/g1/mcp", &message, &[]).await;
        let answer = refused.json();
        assert_eq!(
            (refused.status, &answer["id"]),
            (400, &json!(7)),
            "{answer}"
        );
        assert_eq!(answer["error"]["code"], -32022, "{answer}");
        assert_eq!(
            answer["error"]["data"]["requested"], "2026-07-28",
            "{answer}"
        );
        assert_eq!(
            answer["error"]["data"]["supported"][3], "2025-11-25",
            "{answer}"
        );
    }
    let unknown = [("mcp-protocol-version", "1999-01-01")];
    let refused = post(
        &client,
        "/g1/mcp",
        &request(8, "tools/list", &json!({})),
        &unknown,
    )
    .await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(refused.json()["error"]["data"]["requested"], "1999-01-01");
    assert!(gateway.journal("g1").of_method("tools/list").is_empty());
}

#[tokio::test]
async fn failures_are_told_in_band_and_the_transport_keeps_its_statuses() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").set("disabled", json!(true)))
        .start();
    let client = gateway.client();
    let stopped = post(
        &client,
        "/g1/mcp",
        &request(3, "tools/list", &json!({})),
        &[],
    )
    .await;
    let answer = stopped.json();
    assert_eq!(
        (stopped.status, &answer["id"]),
        (200, &json!(3)),
        "{answer}"
    );
    assert_eq!(answer["error"]["code"], -31003, "{answer}");
    let data = json!({"origin": "gateway", "error_code": "server_stopped", "server_id": "g1", "delivered": "no"});
    assert_eq!(answer["error"]["data"], data);
    let nobody = post(
        &client,
        "/nobody/mcp",
        &request(3, "tools/list", &json!({})),
        &[],
    )
    .await;
    assert_eq!(nobody.status, 404, "{}", nobody.text());
    let batch = json!([request(1, "ping", &json!({}))]);
    let batch = post(&client, "/g1/mcp", &batch, &[]).await;
    assert_eq!(
        (batch.status, &batch.json()["error"]["code"]),
        (400, &json!(-32600))
    );
    for method in [reqwest::Method::GET, reqwest::Method::DELETE] {
        let answer = client.send(client.request(method, "/g1/mcp")).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.headers["allow"], "POST");
    }
}
