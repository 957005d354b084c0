//! Both processes in `/servers`, in `status` and in the logs.

use super::*;
use crate::support::cli;
use crate::support::wait::wait_for;

/// `status` has a row for each process, aligned with the others, and its JSON is that of `GET /servers`.
#[tokio::test]
async fn status_shows_each_process_with_its_protocol() {
    let gateway = gateway(500);
    let client = gateway.client();
    let (_session, [legacy, modern]) = both(&client).await;
    let config = gateway.config_path();
    let status = |more: &[&str]| {
        let arguments = [&["--config", config.to_str().unwrap(), "status"], more].concat();
        cli::run(gateway.folder(), &arguments)
    };
    let told = status(&[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let lines: Vec<&str> = told.stdout.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("SERVER"));
    let head = head.unwrap_or_else(|| panic!("{told:?}"));
    let column = lines[head].find("PROTOCOL").unwrap();
    let rows = [
        ("g1 ", "-".to_owned()),
        ("  legacy ", format!("2025-11-25  {legacy} ")),
        ("  modern ", format!("2026-07-28  {modern} ")),
    ];
    for (row, (name, rest)) in lines[head + 1..].iter().zip(rows) {
        assert!(row.starts_with(name), "{told:?}");
        let from_column = row.get(column..);
        assert!(
            from_column.is_some_and(|cells| cells.starts_with(&rest)),
            "{row:?} in {told:?}"
        );
    }
    let report: Value = serde_json::from_str(&status(&["--output", "json"]).stdout).unwrap();
    let (told, listed) = (&report["servers"][0], client.status("g1").await);
    for member in [
        "pid",
        "era",
        "protocol",
        "status",
        "instance_key",
        "incarnation",
    ] {
        for at in [0, 1] {
            let process = &listed["instances"][at];
            assert_eq!(told["instances"][at][member], process[member], "{listed}");
        }
    }
    assert_eq!(told["protocol"], Value::Null, "there is not one: {told}");
    assert_eq!(listed["instances"][1]["era"], "modern", "{listed}");
}

/// The logs are those of both processes: each line says whose it is, also of a process that comes while they are
/// followed.
#[tokio::test]
async fn the_logs_are_those_of_both_processes() {
    let server = Server::gremlin("g1").orders(&json!({"era": "dual", "stderr_line": "hello"}));
    let gateway = gateway_with(500, server);
    let client = gateway.client();
    let session = open(&client).await;
    let mut follow = client.listen("/servers/g1/logs?follow").await;
    let first = follow.event(SOON).await;
    assert_eq!(
        first.data.as_deref(),
        Some("gremlin: hello"),
        "of the only one"
    );
    modern_echo(&client, "modern").await;
    let second = follow.event(SOON).await;
    assert_eq!(second.data.as_deref(), Some("[modern] gremlin: hello"));
    session
        .deed(&json!({"do": "stderr", "bytes": 0, "line": "more"}))
        .await;
    let third = follow.event(SOON).await.data.unwrap_or_default();
    assert_eq!(third, "[legacy] gremlin: more");
    let lines = wait_for("both processes", SOON, async || {
        let logs = client.get("/servers/g1/logs").await.json();
        let lines = logs["lines"].as_array().unwrap().clone();
        (lines.len() >= 3).then_some(lines)
    })
    .await;
    assert_eq!(
        (text(&lines[0]), text(&lines[1])),
        ("[legacy] gremlin: hello", "[modern] gremlin: hello"),
        "oldest first"
    );
    assert_eq!(text(&lines[2]), "[legacy] gremlin: more", "{lines:?}");
}

/// `autostart` begins with the era that was spoken last, also before another gateway.
#[tokio::test]
async fn a_server_is_started_in_the_era_that_was_spoken_last() {
    let mut gateway = gateway_with(500, dual("g1").autostart());
    let client = gateway.client();
    let protocol = async || {
        wait_for("the start", SOON, async || {
            let status = client.status("g1").await;
            (status["status"] == "ready").then(|| status["protocol"].clone())
        })
        .await
    };
    assert_eq!(protocol().await, "2025-11-25", "nothing is known of it yet");
    modern_echo(&client, "modern").await;
    for _ in 0..2 {
        gateway.restart(rustix::process::Signal::TERM, |_| {}).await;
        assert_eq!(protocol().await, "2026-07-28");
        assert_eq!(client.status("g1").await["incarnation"], 1);
    }
    open(&client).await;
    gateway.restart(rustix::process::Signal::TERM, |_| {}).await;
    assert_eq!(protocol().await, "2025-11-25");
}
