//! A gateway that anybody could enter, or nobody, does not start.

use serde_json::json;

use crate::support::gateway::Builder;
use crate::support::{Gateway, Server};

/// What a refused config ends with (sysexits: `EX_CONFIG`).
const REFUSED: i32 = 78;

fn builder() -> Builder {
    Gateway::builder().server(Server::gremlin("s1"))
}

/// Ends at once with one line that names the key, and shows nothing of these.
fn is_refused(builder: Builder, key: &str, said: &str, secrets: &[&str]) {
    let refusal = builder.refusal();
    assert_eq!(refusal.status.code(), Some(REFUSED), "{refusal:?}");
    let lines = refusal.stderr.lines();
    let told: Vec<&str> = lines.filter(|line| line.contains(key)).collect();
    assert_eq!(told.len(), 1, "{key}: {refusal:?}");
    assert!(told[0].contains(said), "{said:?} in {refusal:?}");
    for secret in secrets {
        assert!(!refusal.stderr.contains(secret), "{secret} in {refusal:?}");
    }
}

/// H027: nobody may enter, or everybody, or whoever sends nothing.
#[test]
fn an_open_door_and_a_walled_one_are_refused() {
    let list = |rules: &[&str]| builder().set("allowed_clients", json!(rules));
    is_refused(list(&[]), "allowed_clients", "is empty", &[]);
    is_refused(
        builder().unset("allowed_clients"),
        "allowed_clients",
        "is required",
        &[],
    );
    is_refused(list(&["*"]), "allowed_clients[0]", "is no address", &[]);
    is_refused(
        list(&["0.0.0.0/0"]),
        "allowed_clients[0]",
        "lets any address in",
        &[],
    );
    is_refused(
        list(&["localhost", "::/0"]),
        "allowed_clients[1]",
        "lets any address in",
        &[],
    );
    let none = || builder().unset("auth_token");
    is_refused(none(), "auth_token", "is required", &[]);
    is_refused(
        none().set("tokens", json!([])),
        "auth_token",
        "is required",
        &[],
    );
    is_refused(
        builder().set("auth_token", ""),
        "auth_token",
        "is empty",
        &[],
    );
    let tokens = json!([{"name": "a", "env": "EMPTY"}]);
    is_refused(
        none().set("tokens", tokens).env("EMPTY", ""),
        "tokens[0]",
        "is empty",
        &[],
    );
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let tokens = json!([{"name": "a", "sha256": nothing}]);
    is_refused(
        none().set("tokens", tokens),
        "tokens[0]",
        "SHA-256 of nothing",
        &[nothing],
    );
}

/// H046: what stands in examples is no secret.
#[test]
fn a_token_that_everybody_knows_is_refused() {
    for known in [
        "changeme",
        "secret-api-key",
        "CHANGE_ME_0123456789",
        "<your-token-here>",
    ] {
        let with = builder().set("auth_token", known);
        is_refused(with, "auth_token", "is a placeholder", &[known]);
        let tokens = json!([{"name": "a", "env": "KNOWN"}]);
        let with = builder().unset("auth_token").set("tokens", tokens);
        is_refused(
            with.env("KNOWN", known),
            "tokens[0]",
            "is a placeholder",
            &[known],
        );
    }
}
