//! Servers that cannot even be executed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// A file with this content and mode, and its path.
fn file(folder: &Path, name: &str, content: &str, mode: u32) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// F09: the reason is the system's own, it is there at once, and nothing is left of the attempts.
#[tokio::test]
async fn what_cannot_be_executed_fails_at_once_and_says_why() {
    /// From the start of the guard to its report.
    const AT_ONCE: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let missing = folder.join("missing");
    let servers = [
        Server::new("missing", missing.to_str().unwrap(), &[]),
        Server::new(
            "not_executable",
            &file(folder, "plain", "#!/bin/sh\nexit 0\n", 0o644),
            &[],
        ),
        Server::new(
            "no_format",
            &file(folder, "noise", "neither a program nor a script\n", 0o755),
            &[],
        ),
        Server::gremlin("no_place").set("working_dir", missing.to_str().unwrap()),
    ];
    let reasons = [
        ("missing", "No such file or directory (os error 2)"),
        ("not_executable", "Permission denied (os error 13)"),
        ("no_format", "Exec format error (os error 8)"),
        (
            "no_place",
            "missing: No such file or directory (os error 2)",
        ),
    ];
    let mut builder = Gateway::builder().fault_profile().server(Server::control());
    for server in servers {
        builder = builder.server(server);
    }
    let gateway = builder.start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control"]).await;
    for (server_id, reason) in reasons {
        let answer = client.call(server_id, "echo", &json!({"text": "up"})).await;
        assert_eq!(fault_of(&answer), fault(503, "server_starting", "no"));
        let status = failed(&client, server_id).await;
        let said = status["last_error"].as_str().unwrap();
        assert!(said.contains(reason), "{server_id}: {said}");
        assert_eq!(status["incarnation"], 5, "{status}");
        assert!(status["pid"].is_null(), "{status}");
        let answer = client.call(server_id, "echo", &json!({"text": "no"})).await;
        assert_eq!(fault_of(&answer), fault(503, "server_failed", "no"));
        let story = story(&gateway, server_id);
        let attempts = story.windows(2).filter(|pair| is_start(&pair[0]));
        let mut took: Vec<u64> = attempts
            .map(|pair| millis_between(&pair[0], &pair[1]))
            .collect();
        took.sort_unstable();
        assert_eq!(took.len(), 5, "{story:?}");
        assert!(took[2] <= AT_ONCE, "{server_id} took {took:?} ms");
    }
    oracle.holds(&gateway, "control").await;
}
