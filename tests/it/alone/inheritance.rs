//! What a server gets from the gateway: three descriptors and the environment that was configured.

use std::collections::BTreeMap;

use rustix::io::fcntl_getfd;
use serde_json::json;

use super::*;
use crate::support::oracle::Oracle;
use crate::support::places::MARKER;

const SECRET: &str = "canary-inherited-9d2f6b1c";

/// F37: whoever starts the gateway may have left something open, and it may be a secret.
#[tokio::test]
async fn a_server_has_its_three_descriptors_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, SECRET).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    // A duplicate is inherited, other than what the standard library opens.
    let open = rustix::io::dup(&file).unwrap();
    assert!(
        !fcntl_getfd(&open)
            .unwrap()
            .contains(rustix::io::FdFlags::CLOEXEC)
    );
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"])
        .await
        .canary(SECRET);
    let descriptors = format!("/proc/{}/fd", gateway.pid());
    if let Ok(entries) = std::fs::read_dir(descriptors) {
        let mut targets = entries.flatten().flat_map(|entry| entry.path().read_link());
        assert!(
            targets.any(|target| target == path),
            "the gateway was not given the descriptor that this test is about"
        );
    }
    // The same in the life after a crash.
    for life in 1..=2 {
        ready_in(&client, "g1", life).await;
        let answer = client.deed("g1", &json!({"do": "list_fds"})).await;
        let open: BTreeMap<u32, String> = serde_json::from_str(&echoed(&answer)).unwrap();
        let numbers: Vec<u32> = open.keys().copied().collect();
        assert_eq!(numbers, [0, 1, 2], "{open:?}");
        client.deed("g1", &json!({"do": "exit", "code": 1})).await;
    }
    ready_in(&client, "g1", 3).await;
    oracle.holds(&gateway, "g1").await;
}

/// H115, H116: what the gateway was given for itself stays with it.
#[tokio::test]
async fn a_server_has_the_environment_that_was_configured_and_no_other() {
    let server = Server::gremlin("g1")
        .env("OWN", "of the server")
        .env("EMPTY", "");
    let gateway = Gateway::builder()
        .server(server)
        .env("USER", "somebody")
        .env("TERM", "dumb")
        // A shell would take it for a function.
        .env("LANG", "() { :; }; true")
        .env("OTEL_EXPORTER_OTLP_HEADERS", SECRET)
        .env("NOTIFY_SOCKET", "/nonexistent/notify")
        .env("LISTEN_FDS_PROBE", SECRET)
        .env("LD_PROBE", SECRET)
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .env("CREDENTIALS_DIRECTORY", "/nonexistent")
        .env("JOURNAL_STREAM", "1:2")
        .env("INVOCATION_ID", "1")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["g1"]).await.canary(SECRET);
    let answer = client.deed("g1", &json!({"do": "dump_env"})).await;
    let mut given: BTreeMap<String, String> = serde_json::from_str(&echoed(&answer)).unwrap();
    let marker = given.remove(MARKER);
    assert!(marker.is_some());
    let folder = gateway.folder();
    let expected = [
        ("EMPTY", String::new()),
        (
            "GREMLIN_JOURNAL",
            folder.join("journal-g1").display().to_string(),
        ),
        ("HOME", folder.display().to_string()),
        ("HTTP_PROXY", "http://127.0.0.1:9".to_owned()),
        ("OWN", "of the server".to_owned()),
        ("PATH", std::env::var("PATH").unwrap()),
        ("TERM", "dumb".to_owned()),
        ("USER", "somebody".to_owned()),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(given, BTreeMap::from(expected));
    oracle.keeps_secrets(&gateway).await;
}
