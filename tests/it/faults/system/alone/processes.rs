//! A gateway that the system grants no more processes and threads, by limits that only Linux sets from outside.

#![cfg(target_os = "linux")]

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
    limit(gateway, "Max processes", "nproc", most)
}

/// Sets a limit of the gateway, by its name in `/proc/PID/limits` and its option of `prlimit`; gives what it was.
fn limit(gateway: &Gateway, name: &str, option: &str, most: &str) -> String {
    let pid = gateway.pid().to_string();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let had = line.expect("a limit").split_whitespace().next();
    // As the same user: without a right of its own, nobody may limit another's processes.
    let mut command = by_a_mortal();
    command.extend(["prlimit", "--pid", &pid, &format!("--{option}={most}:")].map(str::to_owned));
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

/// RA02: a reload for which the system grants no thread, or no descriptor, is refused with its reason, and all is as it
/// was; the next one is done.
#[tokio::test]
async fn a_reload_that_the_system_does_not_grant_is_refused() {
    let command = by_a_mortal();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    if !process::can_run_by(&command) {
        return;
    }
    let gateway = Gateway::builder()
        .run_by(&command)
        .server(Server::gremlin("g1").autostart())
        .start();
    let client = gateway.client();
    echoes(&client, "g1", "before").await;
    let server = pid_of(&client, "g1").await;
    let scarce = [
        (
            "Max processes",
            "nproc",
            "1",
            "config not read, the one in force stays",
        ),
        (
            "Max open files",
            "nofile",
            "4",
            "config refused, the one in force stays",
        ),
    ];
    for (name, option, most, told) in scarce {
        let granted = limit(&gateway, name, option, most);
        gateway.signal(Signal::HUP);
        gateway.logs().event(told, SOON).await;
        limit(&gateway, name, option, &granted);
        echoes(&client, "g1", option).await;
        let health = client.get("/health").await.json();
        assert!(health["config"]["refused"].is_object(), "{health}");
    }
    let refused = gateway
        .logs()
        .event("config not read, the one in force stays", SOON)
        .await;
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("Resource temporarily unavailable (os error 11)"),
        "{refused}"
    );
    gateway.signal(Signal::HUP);
    gateway.logs().event("config reloaded", SOON).await;
    assert_eq!(pid_of(&client, "g1").await, server);
}
