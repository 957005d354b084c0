//! What several servers say of themselves as one.

use serde_json::json;

use super::*;
use crate::protocol::Era;
use crate::relay::aggregate::Kind;
use crate::relay::aggregate::join::{has, join};
use crate::supervisor::Handshake;

fn handshake(capabilities: &str, instructions: Option<&str>) -> Handshake {
    Handshake {
        era: Era::Modern,
        revision: "2026-07-28".to_owned(),
        capabilities: capabilities.into(),
        server_info: r#"{"name":"other","version":"9"}"#.into(),
        instructions: instructions.map(Into::into),
    }
}

/// Capabilities and instructions of these servers together.
fn joined(servers: &[Option<Handshake>]) -> (Value, Option<String>) {
    let ids = [id("files"), id("mail"), id("notes")];
    let servers: Vec<_> = ids.iter().zip(servers.iter().map(Option::as_ref)).collect();
    let joined = join(&servers);
    let info: Value = serde_json::from_str(&joined.server_info).unwrap();
    assert_eq!(info["name"], "host-mcp-gateway");
    let instructions = joined
        .instructions
        .map(|json| serde_json::from_str(&json).unwrap());
    (
        serde_json::from_str(&joined.capabilities).unwrap(),
        instructions,
    )
}

#[test]
fn the_gateway_can_what_any_server_can() {
    let changes = json!({"listChanged": true});
    let (capabilities, _) = joined(&[
        Some(handshake(
            r#"{"tools":{},"resources":{"listChanged":false}}"#,
            None,
        )),
        Some(handshake(
            r#"{"resources":{"subscribe":true},"completions":{},"x":1}"#,
            None,
        )),
        Some(handshake(
            r#"{"logging":{},"tasks":{},"extensions":{"a":{}},"experimental":{}}"#,
            None,
        )),
    ]);
    let expected = json!({
        "tools": changes, "resources": {"listChanged": true, "subscribe": true},
        "completions": {}, "logging": {},
    });
    assert_eq!(capabilities, expected);
    assert_eq!(joined(&[]).0, json!({}));
    assert_eq!(joined(&[Some(handshake("7", None))]).0, json!({}));
}

#[test]
fn a_server_that_has_not_spoken_yet_may_have_any_list() {
    let changes = json!({"listChanged": true});
    let all = json!({"tools": changes, "prompts": changes, "resources": changes});
    assert_eq!(joined(&[None, Some(handshake("{}", None))]).0, all);
}

#[test]
fn instructions_stand_under_the_name_of_their_server() {
    let (_, none) = joined(&[
        Some(handshake("{}", None)),
        Some(handshake("{}", Some("\" \""))),
    ]);
    assert_eq!(none, None);
    let (_, text) = joined(&[
        Some(handshake("{}", Some(r#""read\nfirst""#))),
        None,
        Some(handshake("{}", Some(r#""\"be kind\"""#))),
    ]);
    assert_eq!(
        text.unwrap(),
        "## files\n\nread\nfirst\n\n## notes\n\n\"be kind\""
    );
}

#[test]
fn only_a_server_with_such_a_list_is_asked_for_it() {
    let lists = |capabilities: &str| {
        let handshake = handshake(capabilities, None);
        Kind::ALL.map(|kind| has(kind, &handshake))
    };
    assert_eq!(lists(r#"{"tools":{}}"#), [true, false, false, false]);
    assert_eq!(
        lists(r#"{"prompts":{},"tools":null}"#),
        [false, true, false, false]
    );
    assert_eq!(lists(r#"{"resources":{}}"#), [false, false, true, true]);
    assert_eq!(lists("[]"), [false; 4]);
}
