//! What may be the id of a server, in a config and in a path.

use serde_json::json;

use crate::support::wire::{ask, post_whole};
use crate::support::{Gateway, Server};

/// What a refused config ends with (sysexits: `EX_CONFIG`).
const REFUSED: i32 = 78;

/// Refused at load with one line that says why. Under the name that a client gave it, such a server is served as the
/// nearest id, and a warning says why.
fn is_refused(id: &str, why: &str) {
    let listed = Gateway::builder().server(Server::gremlin(id));
    let refusal = listed.refusal();
    assert_eq!(refusal.status.code(), Some(REFUSED), "{refusal:?}");
    let mut told = refusal
        .stderr
        .lines()
        .filter(|line| line.contains("invalid server id"));
    let line = told.next().unwrap_or_else(|| panic!("{id}: {refusal:?}"));
    assert!(line.contains(why), "{id}: {line}");
    assert!(line.len() < 500, "{line}");
    assert_eq!(told.next(), None, "{id}");

    let server = json!({id: {"command": "/bin/sh"}});
    let named = Gateway::builder()
        .set("servers", json!([]))
        .set("mcpServers", server)
        .start();
    let text = named.logs().text();
    let mut told = text.lines().filter(|line| line.contains("is served as"));
    let line = told.next().unwrap_or_else(|| panic!("{id}: {text}"));
    assert!(line.contains(why), "{id}: {line}");
    assert!(line.len() < 700, "{line}");
    assert_eq!(told.next(), None, "{id}");
}

/// H050: the words of our own paths are no server, in any case, nor is what the separator is made of.
#[test]
fn a_reserved_name_is_refused_at_load() {
    for id in [
        "health", "servers", "mcp", "rpc", "ready", "metrics", "HEALTH", "Mcp",
    ] {
        is_refused(id, "is a path of the gateway itself");
    }
    is_refused("__guard", "does not begin with an ASCII letter or digit");
    is_refused("a__b", "separates server and tool");
}

/// H050: no table of ours has entries of its own, so a word that is one in other languages is a name like
/// any other.
#[tokio::test]
async fn a_word_of_another_language_is_a_name_like_any_other() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("constructor"))
        .start();
    let client = gateway.client();
    let answer = client
        .call("constructor", "echo", &json!({"text": "hi"}))
        .await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "hi");
    for id in ["prototype", "toString", "hasOwnProperty"] {
        let answer = client.call(id, "echo", &json!({"text": "hi"})).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (404, json!("server_not_found"))
        );
    }
}

/// H051: too long, look-alikes and invisible characters are no id, at load and in a path.
#[tokio::test]
async fn an_id_that_looks_like_another_is_none() {
    let long = "s".repeat(8 * 1024);
    is_refused(&long, "is longer than 63 characters");
    is_refused("\u{455}1", "does not begin with an ASCII letter or digit");
    is_refused("s1\u{200f}", "has a character other than");
    is_refused("s1\u{200b}", "has a character other than");

    let gateway = Gateway::builder().server(Server::gremlin("s1")).start();
    let longest = "s".repeat(8 * 1024 - "/".len() - "/rpc".len());
    let raw_homoglyph = "\u{455}1";
    for id in [
        longest.as_str(),
        "%D1%951",
        raw_homoglyph,
        "s1%E2%80%8F",
        "s1\u{200f}",
        "%E2%80%AEs1",
        "s1%E2%80%8B",
        "%EF%BD%931",
    ] {
        let reply = ask(&gateway, post_whole(&gateway, &format!("/{id}/rpc"), "{}")).await;
        assert_eq!(
            reply.refusal(),
            (404, "server_not_found".to_owned()),
            "{id}"
        );
    }
    // With one byte more the target is over its cap.
    let reply = ask(
        &gateway,
        post_whole(&gateway, &format!("/{longest}s/rpc"), "{}"),
    )
    .await;
    assert_eq!(reply.refusal(), (414, "uri_too_long".to_owned()));
    assert_eq!(gateway.journal("s1").entries(), []);
}
