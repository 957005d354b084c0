//! Who may enter, and how much, by the config that is in force.

use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{SOON, config_health, reload};
use crate::support::certificates::Certificates;
use crate::support::client::Client;
use crate::support::gateway::TOKEN;
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Waits for the end of a stream; panics when it goes on.
async fn ends(stream: &mut Sse) {
    while stream.next(SOON).await.is_some() {}
}

/// H041: a token that reaches less now, or whose text is another, is one that is gone.
#[tokio::test]
async fn a_token_whose_entry_has_changed_is_another_token() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("g2"))
        .start();
    let alice = gateway.alice();
    let mut stream = alice.listen("/g1/rpc").await;
    reload(&gateway, |config| {
        config["tokens"][0]["servers"] = json!(["g2"]);
    })
    .await;
    ends(&mut stream).await;
    assert_eq!(alice.get("/g1/rpc").await.error_code(), "server_not_found");
    assert_eq!(alice.get("/health").await.status, 200);

    let mut stream = alice.listen("/g2/rpc").await;
    let other = "another-1f2e3d4c5b6a79880123";
    reload(&gateway, |config| {
        config["tokens"][0] = json!({"name": "alice", "sha256": digest(other)});
    })
    .await;
    ends(&mut stream).await;
    assert_eq!(alice.get("/health").await.status, 401);
    let with_other = gateway.client_with(Some(other));
    assert_eq!(with_other.get("/health").await.status, 200);
}

#[tokio::test]
async fn addresses_limits_and_the_log_level_are_those_of_the_new_file() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let big =
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x".repeat(2000)}});
    assert_eq!(client.rpc("g1", &big).await.status, 200);
    gateway.logs().event("request answered", SOON).await;
    reload(&gateway, |config| {
        config["limits"]["max_body_bytes"] = 1000.into();
        config["log"]["level"] = "info".into();
    })
    .await;
    assert_eq!(
        client.rpc("g1", &big).await.error_code(),
        "payload_too_large"
    );
    reload(&gateway, |config| {
        config["request_timeout_ms"] = 20_000.into();
    })
    .await;
    // The log is in its order: what was answered between the reloads stands before the second.
    wait_for("the second reload in the log", SOON, async || {
        (gateway.logs().events("config reloaded").len() == 2).then_some(())
    })
    .await;
    let answered = gateway.logs().events("request answered");
    assert!(answered.iter().all(|event| event["status"] == 200));

    gateway.rewrite_config(|config| config["allowed_clients"] = json!(["192.0.2.0/24"]));
    gateway.signal(Signal::HUP);
    wait_for("a closed door", SOON, async || {
        (client.get("/health").await.error_code() == "auth_denied").then_some(())
    })
    .await;
    gateway.rewrite_config(|config| config["allowed_clients"] = json!(["127.0.0.1"]));
    gateway.signal(Signal::HUP);
    wait_for("an open door", SOON, async || {
        (client.get("/health").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_only_a_restart_can_change_is_named_and_left_as_it_was() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    reload(&gateway, |config| {
        config["bind_host"] = "127.0.0.2".into();
        config["bind_port"] = 9.into();
        config["log"]["format"] = "text".into();
        config["state_dir"] = "elsewhere".into();
    })
    .await;
    // The Host that a client of the old address sends is still let in, and so is its Origin.
    let origin = format!("http://{}", gateway.address());
    let asked = client
        .request(reqwest::Method::GET, "/health")
        .header("origin", origin);
    assert_eq!(client.send(asked).await.status, 200);
    let keys = ["bind_host", "bind_port", "log.format", "state_dir"];
    assert_eq!(config_health(&gateway).await["restart_needed"], json!(keys));
    let text = "what has changed in bind_host, bind_port, log.format, state_dir takes effect when the gateway is restarted";
    let warned = gateway.logs().events(text);
    assert_eq!((warned.len(), &warned[0]["level"]), (1, &json!("warn")));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let gateway = Gateway::builder()
        .set("tls", old.config())
        .server(Server::gremlin("g1"))
        .start();
    let by = |certificates: &Certificates| {
        Client::secure(gateway.address(), Some(TOKEN), certificates.root())
    };
    let before = by(&old);
    let mut stream = before.listen("/g1/rpc").await;
    gateway.rewrite_config(|config| config["tls"] = new.config());
    gateway.signal(Signal::HUP);
    gateway.logs().event("config reloaded", SOON).await;
    let after = by(&new);
    let health = after.get("/health").await.json();
    assert_eq!(health["config"]["restart_needed"], json!([]));
    let deed = json!({"do": "list_changed", "of": "tools"});
    assert_eq!(after.deed("g1", &deed).await.status, 200);
    let heard = stream.message(SOON).await;
    assert_eq!(heard["method"], "notifications/tools/list_changed");
}
