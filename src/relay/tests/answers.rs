//! What the gateway answers itself, for children of both eras.

use serde_json::json;

use super::*;

async fn answered(era: Era, body: &str) -> Value {
    let house = house(era);
    let reply = house.reply(caller(1, None), body).await;
    assert!(house.child.read().is_empty(), "the child was asked: {body}");
    serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{reply}: {error}"))
}

#[tokio::test]
async fn initialize_gives_the_wish_if_it_is_known_and_else_the_newest() {
    let wishes = [
        (r#"{"protocolVersion":"2024-11-05"}"#, "2024-11-05"),
        (r#"{"protocolVersion":"2025-03-26"}"#, "2025-03-26"),
        (r#"{"protocolVersion":"2025-06-18"}"#, "2025-06-18"),
        (r#"{"protocolVersion":"2025-11-25"}"#, "2025-11-25"),
        (r#"{"protocolVersion":"2026-07-28"}"#, "2025-11-25"),
        (r#"{"protocolVersion":"1999-01-01"}"#, "2025-11-25"),
        (r#"{"protocolVersion":7}"#, "2025-11-25"),
        ("{}", "2025-11-25"),
        ("[]", "2025-11-25"),
    ];
    for era in [Era::Legacy, Era::Modern] {
        for (params, version) in wishes {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":"i","method":"initialize","params":{params}}}"#);
            let expected = json!({
                "jsonrpc": "2.0",
                "id": "i",
                "result": {
                    "protocolVersion": version,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "a \"b\"", "version": "1"},
                    "instructions": "be \"kind\"",
                },
            });
            assert_eq!(answered(era, &body).await, expected, "{params}");
        }
    }
}

#[tokio::test]
async fn discovery_names_every_revision_newest_first() {
    let body = r#"{"jsonrpc":"2.0","id":3,"method":"server/discover"}"#;
    for era in [Era::Legacy, Era::Modern] {
        let expected = json!({
            "jsonrpc": "2.0",
            "id": 3,
            "result": {
                "resultType": "complete",
                "supportedVersions":
                    ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
                "capabilities": {"tools": {}},
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {
                    "io.modelcontextprotocol/serverInfo": {"name": "a \"b\"", "version": "1"},
                },
                "instructions": "be \"kind\"",
            },
        });
        assert_eq!(answered(era, body).await, expected);
    }
}

#[tokio::test]
async fn a_ping_is_answered_without_the_child() {
    let pong = answered(Era::Modern, r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#).await;
    assert_eq!(pong, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
}

#[tokio::test]
async fn notifications_of_a_handshake_stay_here_and_others_pass_on() {
    let house = house(Era::Legacy);
    for method in [
        "notifications/initialized",
        "notifications/roots/list_changed",
        "notifications/progress",
        "notifications/cancelled",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#);
        let taken = house.send(caller(1, None), &body).await;
        assert!(matches!(taken, Ok(Answer::Accepted)), "{taken:?}");
    }
    assert!(house.child.read().is_empty());
    let other = r#"{"jsonrpc":"2.0","method":"notifications/own"}"#;
    let taken = house.send(caller(1, None), other).await;
    assert!(matches!(taken, Ok(Answer::Accepted)), "{taken:?}");
    assert_eq!(house.child.read(), [format!("{other}\n")]);
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_the_reason() {
    let house = house(Era::Legacy);
    let cases = [
        ("", FaultKind::ParseError),
        (" \n", FaultKind::ParseError),
        ("{", FaultKind::ParseError),
        ("[]", FaultKind::InvalidRequest),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
            FaultKind::InvalidRequest,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#,
            FaultKind::InvalidRequest,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            FaultKind::InvalidRequest,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#,
            FaultKind::InvalidRequest,
        ),
    ];
    for (body, kind) in cases {
        let failure = house.send(caller(1, None), body).await.unwrap_err();
        assert_eq!(failure.fault.kind, kind, "{body}");
    }
    assert!(house.child.read().is_empty());
}

#[tokio::test]
async fn a_modern_client_is_not_told_of_the_tasks_of_the_legacy_era() {
    let body = r#"{"jsonrpc":"2.0","id":3,"method":"server/discover"}"#;
    for (era, told) in [
        (Era::Legacy, json!({"tools": {}, "logging": {}})),
        (
            Era::Modern,
            json!({"tools": {}, "tasks": {"list": {}}, "logging": {}}),
        ),
    ] {
        let house = house_of(&Handshake {
            capabilities: r#"{"tools":{}, "tasks":{"list":{}},"logging":{}}"#.into(),
            ..handshake(era)
        });
        let reply: Value = serde_json::from_str(&house.reply(caller(1, None), body).await).unwrap();
        assert_eq!(reply["result"]["capabilities"], told);
    }
}

#[tokio::test]
async fn the_tasks_of_all_clients_are_not_listed_where_all_share_the_server() {
    let house = house_of(&Handshake {
        capabilities: r#"{"tools":{},"tasks":{"list":{}, "cancel":{}}}"#.into(),
        ..handshake(Era::Legacy)
    });
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let reply: Value =
        serde_json::from_str(&house.reply(caller(1, None), initialize).await).unwrap();
    let told = json!({"tools": {}, "tasks": {"cancel": {}}});
    assert_eq!(reply["result"]["capabilities"], told);
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tasks/list"}"#;
    let refused = house.send(caller(1, None), list).await.unwrap_err();
    assert_eq!(refused.fault.kind, FaultKind::MethodNotFound);
    assert!(house.child.read().is_empty());
}
