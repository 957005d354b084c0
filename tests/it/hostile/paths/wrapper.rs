//! The wrapper of `POST /rpc`: a server, a message, and nothing else.

use serde_json::{Value, json};

use crate::support::wire::{Reply, ask, marked_call, nothing_reached_the_server, post_whole};
use crate::support::{Gateway, Server};

fn gateway() -> Gateway {
    Gateway::builder().server(Server::gremlin("s1")).start()
}

async fn send(gateway: &Gateway, wrapper: &str) -> Reply {
    ask(gateway, post_whole(gateway, "/rpc", wrapper)).await
}

async fn is_invalid(gateway: &Gateway, wrapper: &str) {
    let reply = send(gateway, wrapper).await;
    assert_eq!(
        reply.refusal(),
        (400, "invalid_request".to_owned()),
        "{wrapper}"
    );
}

/// H052: the server is a text, once, and one that there is.
#[tokio::test]
async fn a_wrapper_names_one_server() {
    let gateway = gateway();
    let payload = marked_call("wrapped");
    for id in [
        "1",
        "1.5",
        "true",
        "null",
        r#"["s1"]"#,
        "{}",
        r#"{"id":"s1"}"#,
    ] {
        is_invalid(
            &gateway,
            &format!(r#"{{"server_id":{id},"payload":{payload}}}"#),
        )
        .await;
    }
    for wrapper in [
        format!(r#"{{"payload":{payload}}}"#),
        format!(r#"{{"server_id":"s1","server_id":"s1","payload":{payload}}}"#),
        format!(r#"{{"server_id":"s2","payload":{payload},"server_id":"s1"}}"#),
        format!(r#"{{"server_id":"s1","\u0073erver_id":"s1","payload":{payload}}}"#),
        format!(r#"{{"server_id":"s1","payload":{payload},"payload":{payload}}}"#),
        format!(r#"{{"server":"s1","payload":{payload}}}"#),
        format!(r#"{{"Server_Id":"s1","payload":{payload}}}"#),
        format!(
            r#"{{"server_id":"s1","payload":"{}"}}"#,
            payload.replace('"', "\\\"")
        ),
        r#"{"server_id":"s1"}"#.to_owned(),
        r#"{"server_id":"s1","payload":null}"#.to_owned(),
        format!(r#"["s1",{payload}]"#),
        format!(r#"[{{"server_id":"s1","payload":{payload}}}]"#),
        "{}".to_owned(),
        "null".to_owned(),
    ] {
        is_invalid(&gateway, &wrapper).await;
    }
    for (id, named) in [
        (json!("s2"), Some("s2")),
        (json!("S1"), Some("S1")),
        (json!(""), None),
        (json!(" s1"), None),
        (json!("s1\0"), None),
        (json!("../s1"), None),
        (json!("s%31"), None),
        (json!("mcp"), None),
        (json!("canary".repeat(1000)), None),
    ] {
        let reply = send(
            &gateway,
            &format!(r#"{{"server_id":{id},"payload":{payload}}}"#),
        )
        .await;
        assert_eq!(
            reply.refusal(),
            (404, "server_not_found".to_owned()),
            "{id}"
        );
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["error"]["server_id"], json!(named), "{id}");
    }
    nothing_reached_the_server(&gateway).await;
}

/// H053: no member of a request means anything to how servers are started, wherever it stands.
#[tokio::test]
async fn nothing_in_a_request_can_start_a_program() {
    let gateway = gateway();
    let proof = gateway.folder().join("proof");
    let touch = json!(["-c", format!("touch {}", proof.display())]);
    let payload: Value = serde_json::from_str(&marked_call("spawned")).unwrap();
    for (name, value) in [
        ("command", json!("/bin/sh")),
        ("args", touch.clone()),
        ("env", json!({"PATH": gateway.folder()})),
        ("working_dir", json!("/")),
        ("cwd", json!("/")),
        ("url", json!("http://127.0.0.1:9/")),
        ("config", json!({"servers": []})),
        (
            "mcpServers",
            json!({"s2": {"command": "/bin/sh", "args": touch}}),
        ),
        ("admin", json!(true)),
        ("x", json!(1)),
    ] {
        let mut wrapper = json!({"server_id": "s1", "payload": payload});
        wrapper[name] = value;
        is_invalid(&gateway, &wrapper.to_string()).await;
        // Nor for a server that is not there.
        wrapper["server_id"] = json!("s2");
        is_invalid(&gateway, &wrapper.to_string()).await;
    }
    // A server is not a description of one.
    let server = json!({"server_id": "s2", "command": "/bin/sh", "args": touch});
    is_invalid(
        &gateway,
        &json!({"server_id": server, "payload": payload}).to_string(),
    )
    .await;
    let reply = send(
        &gateway,
        &json!({"server_id": "/bin/sh", "payload": payload}).to_string(),
    )
    .await;
    assert_eq!(reply.refusal(), (404, "server_not_found".to_owned()));
    // And there is no way to bring one, with any right: operating takes no body.
    let body = json!({"command": "/bin/sh", "args": touch}).to_string();
    for path in [
        "/servers",
        "/servers/s2/start",
        "/servers/s2/restart",
        "/s2/mcp",
        "/config",
    ] {
        let reply = ask(&gateway, post_whole(&gateway, path, &body)).await;
        assert!(
            (400..=405).contains(&reply.head.status),
            "{path}: {}",
            reply.body
        );
    }
    nothing_reached_the_server(&gateway).await;
    assert!(!proof.exists(), "a program was started");
    let servers = gateway.client().get("/servers").await.json();
    assert_eq!(
        servers["servers"].as_array().map(Vec::len),
        Some(1),
        "{servers}"
    );
}
