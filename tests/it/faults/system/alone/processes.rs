//! A gateway that the system grants no more processes and threads.

use std::process::Command;

use rustix::process::{Signal, geteuid};
use serde_json::json;

use super::super::*;
use crate::alone::{echoes, fault, fault_of, pid_of, status_where};
use crate::support::oracle::Oracle;
use crate::support::{Gateway, Server, process};

/// No limit of processes binds root: as root, the gateway is started as a user that nobody is, with the
/// one right that it needs to reach its files.
fn by_a_mortal() -> Vec<String> {
    if !geteuid().is_root() {
        return vec!["env".to_owned()];
    }
    let user = 61_000 + std::process::id() % 4000;
    [
        "setpriv",
        &format!("--reuid={user}"),
        &format!("--regid={user}"),
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    .map(str::to_owned)
    .into()
}

/// Lets a process have this many processes and threads, those of its user counted; gives what it had.
fn limit_processes(gateway: &Gateway, most: &str) -> String {
    let pid = gateway.pid().to_string();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max processes"));
    let had = line.expect("a limit").split_whitespace().nth(2);
    // As the same user: without a right of its own, nobody may limit another's processes.
    let mut command = by_a_mortal();
    command.extend(["prlimit", "--pid", &pid, &format!("--nproc={most}:")].map(str::to_owned));
    let set = Command::new(&command[0])
        .args(&command[1..])
        .output()
        .expect("prlimit of util-linux");
    assert!(
        set.status.success(),
        "{}",
        String::from_utf8_lossy(&set.stderr)
    );
    had.expect("a number").to_owned()
}

/// F39: the gateway lives, its other servers serve, and the server is started once the system grants it.
#[tokio::test]
async fn a_process_that_is_not_granted_is_a_failed_start_and_is_tried_again() {
    let command = by_a_mortal();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    if !process::can_run_by(&command) {
        return;
    }
    let gateway = Gateway::builder()
        .fault_profile()
        .run_by(&command)
        .server(Server::control())
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let granted = limit_processes(&gateway, "1");
    process::signal(first, Signal::KILL);
    oracle.gone(&gateway, &[first]).await;

    let answer = client.deed("g1", &json!({"do": "whoami"})).await;
    assert_eq!(fault_of(&answer), fault(503, "server_starting", "no"));
    let status = status_where(&client, "g1", "tried again", SOON, |status| {
        status["status"] == "backoff" && status["restart_count"].as_u64() >= Some(2)
    })
    .await;
    let why = status["last_error"].as_str().unwrap_or_default();
    assert!(
        why.contains("Resource temporarily unavailable (os error 11)"),
        "{status}"
    );
    oracle
        .control_answers(&gateway, Duration::from_secs(1))
        .await;

    limit_processes(&gateway, &granted);
    let status = status_where(&client, "g1", "ready", SOON, |status| {
        status["status"] == "ready"
    })
    .await;
    assert!(status["restart_count"].as_u64() <= Some(5), "{status}");
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}
