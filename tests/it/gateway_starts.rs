//! The ground that every other test of the gateway stands on: it starts, serves a child, and leaves nothing behind.

use serde_json::{Value, json};

use crate::support::oracle::Oracle;
use crate::support::{Gateway, Server};

#[tokio::test]
async fn a_gateway_serves_a_child_and_leaves_nothing_behind() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(Server::gremlin("g1"))
        .start();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let answer = gateway
        .client()
        .call("g1", "echo", &json!({"text": "hi"}))
        .await;
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        "hi",
        "{answer:?}"
    );
    assert_eq!(gateway.journal("g1").count_method("tools/call"), 2);
    oracle.holds(&gateway, "g1").await;
    let status = gateway.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn the_real_servers_list_their_tools_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("git")
        .args(["init", "--quiet"])
        .arg(folder.path())
        .status();
    assert!(made.unwrap().success());
    let gateway = Gateway::builder()
        .server(Server::everything("everything"))
        .server(Server::filesystem("filesystem", folder.path()))
        .server(Server::memory("memory", &folder.path().join("memory.json")))
        .server(Server::time("time"))
        .server(Server::git("git", folder.path()))
        .start();
    let list = json!({"jsonrpc": "2.0", "id": "l", "method": "tools/list"});
    for (server_id, count) in [
        ("everything", 16),
        ("filesystem", 14),
        ("memory", 9),
        ("time", 2),
        ("git", 12),
    ] {
        let answer = gateway.client().rpc(server_id, &list).await.json();
        let tools = answer["result"]["tools"].as_array().map(Vec::len);
        assert_eq!(
            (&answer["id"], tools),
            (&Value::from("l"), Some(count)),
            "{server_id}: {answer}"
        );
    }
    assert_eq!(gateway.stop().await.code(), Some(0));
}
