//! Servers on releases of the Rust SDK that end when their first message is not `initialize`.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{Session, modern_call, modern_post};
use crate::support::stdio::text_of;
use crate::support::{Gateway, Server};

/// rmcp 0.8.5 and 1.3.0.
const PROGRAMS: [&str; 2] = ["rmcp_0_8", "rmcp_1"];

async fn modern_client_is_answered(client: &Client, server_id: &str) {
    let call = modern_call("echo", &json!({}), &json!({}));
    let path = format!("/{server_id}/mcp");
    let answer = client.send(modern_post(client, &path, &call)).await;
    assert_eq!(text_of(&answer.json()), "echo", "{server_id}");
}

async fn legacy_client_is_answered(client: &Client, server_id: &str) {
    let path = format!("/{server_id}/mcp");
    let session = Session::open(client, &path, "2025-11-25").await;
    assert_eq!(
        session.call("echo", &json!({})).await,
        "echo",
        "{server_id}"
    );
}

/// Its status, which shows one process in this life, ready and legacy, that no start has failed.
async fn is_in_life(client: &Client, server_id: &str, life: u32) {
    let status = client.status(server_id).await;
    assert_eq!(status["status"], "ready", "{status}");
    assert_eq!(status["incarnation"], life, "{status}");
    assert_eq!(status["last_error"], Value::Null, "{status}");
    assert!(status["instances"].is_null(), "{status}");
    let protocol = status["protocol"].as_str().unwrap();
    assert!(protocol < "2026", "{status}");
}

/// RB01: whichever client comes first, and with a policy that restarts nothing.
#[tokio::test]
async fn older_releases_are_ready_in_their_second_life_at_most() {
    let cases = PROGRAMS.map(|program| ["never", "on-failure"].map(|policy| (program, policy)));
    let mut builder = Gateway::builder();
    for (program, policy) in cases.as_flattened() {
        for first in ["legacy", "modern"] {
            let id = format!("{program}-{policy}-{first}");
            let server = Server::rust(&id, program).set("restart_policy", *policy);
            // A start that is counted would be the last one.
            builder = builder.server(server.set("restart_limit", json!({"count": 1})));
        }
    }
    let gateway = builder.start();
    let client = gateway.client();
    for (program, policy) in cases.as_flattened() {
        let id = format!("{program}-{policy}-modern");
        modern_client_is_answered(&client, &id).await;
        is_in_life(&client, &id, 2).await;
        legacy_client_is_answered(&client, &id).await;
        is_in_life(&client, &id, 2).await;
        let id = format!("{program}-{policy}-legacy");
        legacy_client_is_answered(&client, &id).await;
        is_in_life(&client, &id, 1).await;
        modern_client_is_answered(&client, &id).await;
        legacy_client_is_answered(&client, &id).await;
        is_in_life(&client, &id, 1).await;
    }
}

/// RB01: the probe costs a process once, not once for each life of the gateway.
#[tokio::test]
async fn older_releases_are_ready_in_their_first_life_after_a_restart_of_the_gateway() {
    let state = tempfile::tempdir().unwrap();
    for life in [2, 1] {
        let mut builder = Gateway::builder().set("state_dir", state.path().to_str().unwrap());
        for program in PROGRAMS {
            let server = Server::rust(program, program).set("restart_policy", "never");
            builder = builder.server(server);
        }
        let gateway = builder.start();
        let client = gateway.client();
        for program in PROGRAMS {
            modern_client_is_answered(&client, program).await;
            is_in_life(&client, program, life).await;
            legacy_client_is_answered(&client, program).await;
            is_in_life(&client, program, life).await;
        }
        gateway.stop().await;
    }
}
