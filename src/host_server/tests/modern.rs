//! The stateless era, 2026-07-28.

use serde_json::{Value, json};

use super::client::{Client, modern};

#[test]
fn discover_and_lists_need_no_handshake_and_say_how_long_they_last() {
    let mut client = Client::start();
    let answer = client.ask(1, "server/discover", &modern(json!({})));
    let result = &answer["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert!(result["capabilities"]["tools"].is_object());
    for method in [
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        let result = client.ask(2, method, &modern(json!({})))["result"].take();
        assert_eq!(result["resultType"], "complete", "{method}");
        assert!(result["ttlMs"].as_u64().unwrap() > 0, "{method}");
        assert_eq!(result["cacheScope"], "public", "{method}");
        let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
        assert_eq!(info["name"], "host-server", "{method}");
    }
}

#[test]
fn what_is_read_from_the_host_is_not_to_be_cached() {
    let mut client = Client::start();
    let answer = client.ask(
        1,
        "resources/read",
        &modern(json!({"uri": "host://system"})),
    );
    let result = &answer["result"];
    assert_eq!(
        (&result["ttlMs"], &result["cacheScope"]),
        (&json!(0), &json!("private"))
    );
    let text = result["contents"][0]["text"].as_str().unwrap();
    let system: Value = serde_json::from_str(text).unwrap();
    assert!(system["memory"]["total_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn an_unknown_revision_is_told_what_is_spoken() {
    let mut client = Client::start();
    let params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {}}});
    let error = client.ask(1, "server/discover", &params)["error"].take();
    assert_eq!(error["code"], -32022);
    assert_eq!(
        error["data"],
        json!({"supported": ["2026-07-28"], "requested": "2099-01-01"})
    );
}

#[test]
fn methods_of_the_handshake_era_do_not_exist() {
    let mut client = Client::start();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
    ] {
        let error = client.ask(1, method, &modern(json!({})))["error"].take();
        assert_eq!(error["code"], -32601, "{method}");
    }
    let unknown = modern(json!({"uri": "host://disk/nowhere"}));
    let error = client.ask(2, "resources/read", &unknown)["error"].take();
    assert_eq!(error["code"], -32602);
}

#[test]
fn a_request_gets_log_messages_only_if_it_asks_for_them() {
    let mut client = Client::start();
    let mut params = modern(json!({"name": "count",
        "arguments": {"steps": 1, "interval_ms": 0}}));
    let answer = client.ask(1, "tools/call", &params);
    assert_eq!(answer["result"]["structuredContent"], json!({"counted": 1}));
    assert_eq!(answer["result"]["resultType"], "complete");
    params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
    client.send(2, "tools/call", &params);
    assert_eq!(client.receive().unwrap()["method"], "notifications/message");
    assert_eq!(client.receive().unwrap()["id"], 2);
}

#[test]
fn a_subscription_is_acknowledged_first_and_answered_when_the_server_ends() {
    let mut client = Client::start();
    let params = modern(json!({"notifications": {"toolsListChanged": true}}));
    client.send("sub", "subscriptions/listen", &params);
    let ack = client.receive().unwrap();
    assert_eq!(ack["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        ack["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "sub"
    );
    assert_eq!(ack["params"]["notifications"], json!({}));
    let rest = client.end();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["id"], "sub");
    assert_eq!(rest[0]["result"]["resultType"], "complete");
}

#[test]
fn a_cancelled_subscription_is_not_answered() {
    let mut client = Client::start();
    client.send(
        1,
        "subscriptions/listen",
        &modern(json!({"notifications": {}})),
    );
    assert!(client.receive().unwrap().get("id").is_none());
    client.cancel(1);
    assert_eq!(client.end(), Vec::<Value>::new());
}
