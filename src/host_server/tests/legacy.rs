//! The era of the handshake.

use serde_json::{Value, json};

use super::client::Client;

#[test]
fn initialize_keeps_a_known_revision_and_offers_the_newest_for_any_other() {
    let cases = [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
    ];
    for (asked, answered) in cases {
        let mut client = Client::start();
        let answer = client.ask(1, "initialize", &json!({"protocolVersion": asked}));
        assert_eq!(answer["result"]["protocolVersion"], answered);
        assert_eq!(answer["result"]["serverInfo"]["name"], "host-server");
        assert!(answer["result"].get("resultType").is_none());
        assert_eq!(client.end(), Vec::<Value>::new());
    }
}

#[test]
fn before_the_handshake_only_ping_is_answered() {
    let mut client = Client::start();
    assert_eq!(client.ask(1, "ping", &json!({}))["result"], json!({}));
    let answer = client.ask(2, "tools/list", &json!({}));
    assert_eq!(answer["error"]["code"], -32602);
    let answer = client.ask(3, "server/discover", &json!({}));
    assert_eq!(answer["error"]["code"], -32602);
    let answer = client.ask(4, "initialize", &json!({}));
    assert_eq!(answer["error"]["code"], -32602);
}

#[test]
fn legacy_lists_carry_nothing_of_the_modern_era() {
    let mut client = Client::legacy();
    let answer = client.ask(1, "tools/list", &json!({}));
    let names: Vec<&str> = answer["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["system_info", "disks", "processes", "echo", "count"]
    );
    for method in [
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        let answer = client.ask(2, method, &json!({}));
        let result = answer["result"].as_object().unwrap();
        assert_eq!(result.len(), 1, "{method}: {answer}");
    }
}

#[test]
fn what_is_unknown_or_malformed_has_its_json_rpc_error() {
    let mut client = Client::legacy();
    let code = |answer: Value| answer["error"]["code"].as_i64();
    assert_eq!(code(client.ask(1, "no/such", &json!({}))), Some(-32601));
    assert_eq!(
        code(client.ask(2, "subscriptions/listen", &json!({}))),
        Some(-32601)
    );
    assert_eq!(
        code(client.ask(3, "tools/call", &json!({"name": "x"}))),
        Some(-32602)
    );
    assert_eq!(
        code(client.ask(4, "resources/read", &json!({"uri": "host://x"}))),
        Some(-32002)
    );
    assert_eq!(
        code(client.ask(5, "prompts/get", &json!({"name": "x"}))),
        Some(-32602)
    );
    assert_eq!(
        code(client.ask(6, "logging/setLevel", &json!({"level": "loud"}))),
        Some(-32602)
    );
    for line in [
        "{oops",
        "[]",
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
    ] {
        client.write(line);
        let answer = client.receive().unwrap();
        assert_eq!(answer["id"], Value::Null, "{answer}");
        assert!(code(answer).is_some());
    }
    client.write(&"x".repeat(crate::host_server::MAX_MESSAGE_BYTES + 1));
    assert_eq!(code(client.receive().unwrap()), Some(-32700));
    assert_eq!(client.ask(7, "ping", &json!({}))["result"], json!({}));
}

#[test]
fn log_messages_come_only_at_the_level_that_was_set() {
    let mut client = Client::legacy();
    let count = json!({"name": "count", "arguments": {"steps": 1, "interval_ms": 0}});
    assert!(client.ask(1, "tools/call", &count)["result"].is_object());
    client.ask(2, "logging/setLevel", &json!({"level": "warning"}));
    assert!(client.ask(3, "tools/call", &count)["result"].is_object());
    client.ask(4, "logging/setLevel", &json!({"level": "info"}));
    client.send(5, "tools/call", &count);
    let message = client.receive().unwrap();
    assert_eq!(message["method"], "notifications/message");
    assert_eq!(message["params"]["level"], "info");
    assert_eq!(client.receive().unwrap()["id"], 5);
}
