//! Five real servers and one that cannot start: the five serve, the sixth says why it does not, and health tells.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::gateway::Builder;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

/// The Python servers take several seconds each on a loaded machine.
const SETTLED: Duration = Duration::from_mins(1);

/// A server that writes two lines to stderr and exits with code 3.
pub(crate) const BROKEN: &str = "broken";

/// The real servers, each with its number of tools.
pub(crate) const TOOLS: [(&str, usize); 5] = [
    ("everything", 16),
    ("filesystem", 14),
    ("memory", 9),
    ("time", 2),
    ("git", 12),
];

/// What the servers work on.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
}

impl Ground {
    /// An empty repository and a place for the memory.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("git")
            .args(["init", "--quiet"])
            .arg(folder.path().join("repository"))
            .status()
            .unwrap();
        assert!(made.success());
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    /// A gateway with all six, started with it.
    pub(crate) fn builder(&self) -> Builder {
        let script = "echo cannot find my licence >&2; echo giving up >&2; exit 3";
        let broken = Server::new(BROKEN, "/bin/sh", &["-c", script]);
        [
            Server::everything("everything"),
            Server::filesystem("filesystem", self.path()),
            Server::memory("memory", &self.path().join("memory.json")),
            Server::time("time"),
            Server::git("git", &self.repository()),
            broken.set("restart_policy", "never"),
        ]
        .into_iter()
        .fold(Gateway::builder(), |builder, server| {
            builder.server(server.autostart())
        })
    }

    /// One call that each server can only answer if it works: tool, arguments, and a part of the answer's text.
    fn calls(&self) -> Vec<(&'static str, &'static str, Value, String)> {
        let repository = self.repository().display().to_string();
        let folder = self.path().display().to_string();
        vec![
            (
                "everything",
                "echo",
                json!({"message": "hi"}),
                "Echo: hi".to_owned(),
            ),
            (
                "filesystem",
                "list_directory",
                json!({"path": folder}),
                "[DIR] repository".to_owned(),
            ),
            ("memory", "read_graph", json!({}), "entities".to_owned()),
            (
                "time",
                "get_current_time",
                json!({"timezone": "UTC"}),
                "UTC".to_owned(),
            ),
            (
                "git",
                "git_status",
                json!({"repo_path": repository}),
                "On branch".to_owned(),
            ),
        ]
    }
}

/// The entries of `/servers` once none of them is on its way to another state.
async fn settled(client: &Client) -> Vec<Value> {
    wait_for("every server to be ready or failed", SETTLED, async || {
        let listed = client.get("/servers").await.json();
        let entries = listed["servers"].as_array().unwrap().clone();
        let done = |entry: &Value| ["ready", "failed"].contains(&entry["status"].as_str().unwrap());
        entries.iter().all(done).then_some(entries)
    })
    .await
}

/// The JSON-RPC answer from either endpoint, its wrapper taken off.
fn answer_of(answer: &Answer, wrapped_for: Option<&str>) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    match wrapped_for {
        None => body,
        Some(server_id) => {
            assert_eq!(body["server_id"], server_id, "{body}");
            body["payload"].clone()
        }
    }
}

#[tokio::test]
async fn five_real_servers_serve_beside_one_that_cannot_start() {
    let ground = Ground::new();
    let gateway = ground.builder().start();
    let client = gateway.client();

    let entries = settled(&client).await;
    for (entry, (server_id, _)) in entries.iter().zip(TOOLS) {
        assert_eq!(entry["server_id"], server_id, "the order of the config");
        assert_eq!(entry["status"], "ready", "{entry}");
        assert_eq!(
            (&entry["last_error"], &entry["restart_count"]),
            (&Value::Null, &json!(0)),
            "{entry}"
        );
        assert!(entry["pid"].as_u64().is_some(), "{entry}");
        assert!(entry["server_info"]["name"].is_string(), "{entry}");
    }
    let broken = &entries[5];
    assert_eq!(
        (&broken["server_id"], &broken["status"]),
        (&json!(BROKEN), &json!("failed"))
    );
    let reason = broken["last_error"].as_str().unwrap();
    assert!(
        reason.contains("code 3") && reason.contains("before it was ready"),
        "{reason}"
    );
    assert_eq!(
        broken["stderr_tail"],
        json!(["cannot find my licence", "giving up"])
    );
    assert_eq!(
        (&broken["last_exit_code"], &broken["pid"]),
        (&json!(3), &Value::Null)
    );

    let health = client.get("/health").await;
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &json!("degraded"))
    );
    assert_eq!(health.json()["servers"][5]["last_error"], reason);
    assert_eq!(client.get("/ready").await.status, 503);
    assert_eq!(gateway.stop().await.code(), Some(0));
}

#[tokio::test]
async fn each_real_server_answers_on_both_endpoints() {
    let ground = Ground::new();
    let gateway = ground.builder().start();
    let client = gateway.client();
    settled(&client).await;

    let list = json!({"jsonrpc": "2.0", "id": "list", "method": "tools/list"});
    for (server_id, count) in TOOLS {
        for wrapped in [false, true] {
            let answer = if wrapped {
                client.wrapped_rpc(server_id, &list).await
            } else {
                client.rpc(server_id, &list).await
            };
            let answer = answer_of(&answer, wrapped.then_some(server_id));
            let tools = answer["result"]["tools"].as_array().map(Vec::len);
            assert_eq!(
                (&answer["id"], tools),
                (&json!("list"), Some(count)),
                "{server_id}: {answer}"
            );
        }
    }
    for (server_id, tool, arguments, expected) in ground.calls() {
        let params = json!({"name": tool, "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
        let plain = answer_of(&client.rpc(server_id, &call).await, None);
        let wrapped = answer_of(&client.wrapped_rpc(server_id, &call).await, Some(server_id));
        for answer in [plain, wrapped] {
            let text = answer["result"]["content"][0]["text"]
                .as_str()
                .unwrap_or_default();
            assert_eq!(answer["id"], 7, "{server_id}: {answer}");
            assert!(text.contains(&expected), "{server_id}: {answer}");
        }
    }
    let refused = client.rpc(BROKEN, &list).await;
    assert_eq!(
        (refused.status, refused.error_code()),
        (503, json!("server_failed"))
    );
}
