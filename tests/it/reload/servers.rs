//! Servers that come, go, change and stay.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{SOON, config_health, entry, pid, put_beside, reload, reloaded, take_out};
use crate::support::oracle::Oracle;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server, process};

fn number(pid: &Value) -> u32 {
    u32::try_from(pid.as_u64().unwrap()).unwrap()
}

async fn variable(gateway: &Gateway, server_id: &str, name: &str) -> Value {
    let dumped = gateway
        .client()
        .deed(server_id, &json!({"do": "dump_env"}))
        .await;
    let text = dumped.json()["result"]["content"][0]["text"].clone();
    let variables = text
        .as_str()
        .map(|text| serde_json::from_str::<Value>(text).unwrap());
    variables.unwrap_or_default()[name].clone()
}

/// F58: one server is added, one removed, one changed, and one left alone.
#[tokio::test]
async fn only_what_changed_restarts() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(Server::gremlin("changing").autostart())
        .server(Server::gremlin("leaving").autostart())
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "changing", "leaving"]).await;
    let [control, changing, leaving] = [
        pid(&gateway, "control").await,
        pid(&gateway, "changing").await,
        pid(&gateway, "leaving").await,
    ];

    reload(&gateway, |config| {
        put_beside(config, "leaving", "joined");
        take_out(config, "leaving");
        entry(config, "changing")["env"]["COLOUR"] = "blue".into();
    })
    .await;
    assert_eq!(pid(&gateway, "control").await, control);
    assert_eq!(client.status("control").await["incarnation"], 1);
    assert_ne!(pid(&gateway, "changing").await, changing);
    assert_eq!(variable(&gateway, "changing", "COLOUR").await, "blue");
    assert_eq!(client.status("changing").await["incarnation"], 2);
    assert!(pid(&gateway, "joined").await.is_u64());
    let gone = client.call("leaving", "echo", &json!({"text": "?"})).await;
    assert_eq!(
        (gone.status, gone.error_code()),
        (404, json!("server_not_found"))
    );
    oracle
        .gone(&gateway, &[number(&changing), number(&leaving)])
        .await;
    let told = gateway.logs().events("config reloaded");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        [&told[0]["added"], &told[0]["removed"], &told[0]["changed"]],
        ["joined", "leaving", "changing"]
    );
    oracle.holds(&gateway, "changing").await;
}

/// F58: a file with faults changes nothing, says so wherever it is asked, and is forgotten with the next good one.
#[tokio::test]
async fn a_refused_file_changes_nothing() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(Server::gremlin("g1").autostart())
        .server(Server::gremlin("g2").autostart())
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1", "g2"]).await;
    let pids = async || {
        let [control, g1, g2] = ["control", "g1", "g2"].map(|id| pid(&gateway, id));
        [control.await, g1.await, g2.await]
    };
    let before = pids().await;
    let mut good = Value::Null;
    gateway.rewrite_config(|config| {
        good = config.clone();
        entry(config, "g1")["restart_policy"] = "allways".into();
        take_out(config, "g2");
        config["bind_prot"] = 1.into();
    });
    gateway.signal(Signal::HUP);
    let refused = gateway
        .logs()
        .event("config refused, the one in force stays", SOON)
        .await;
    assert_eq!(
        (&refused["level"], &refused["faults"]),
        (&json!("error"), &json!(2))
    );
    let log = gateway.logs().text();
    for fault in ["allways", "bind_prot"] {
        assert!(log.contains(fault), "every fault is told: {fault}");
    }
    let health = client.get("/health").await.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(
        (
            &health["config"]["generation"],
            &health["config"]["refused"]["faults"]
        ),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        client.get("/ready").await.status,
        200,
        "the servers are fine"
    );
    assert_eq!(pids().await, before);

    reload(&gateway, |config| *config = good).await;
    assert_eq!(config_health(&gateway).await["refused"], Value::Null);
    assert_eq!(client.get("/health").await.json()["status"], "ok");
    assert_eq!(
        pids().await,
        before,
        "a file of the same meaning changes nothing"
    );
    oracle.holds(&gateway, "g1").await;
}

/// F58: nothing is under way in a server that changed when its deadlines change.
#[tokio::test]
async fn deadlines_and_policies_change_without_a_new_process() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let before = pid(&gateway, "g1").await;
    reload(&gateway, |config| {
        config["request_timeout_ms"] = 200.into();
        entry(config, "g1")["restart_policy"] = "never".into();
        entry(config, "g1")["autostart"] = true.into();
    })
    .await;
    let late = client.deed("g1", &json!({"do": "nothing"})).await;
    assert_eq!(
        (late.status, late.error_code()),
        (504, json!("server_timeout"))
    );
    let entry = client.status("g1").await;
    assert_eq!(
        (
            &entry["pid"],
            &entry["restart_policy"],
            &entry["restart_count"]
        ),
        (&before, &json!("never"), &json!(0))
    );
}

#[tokio::test]
async fn an_operators_stop_outlives_a_change_and_a_failed_server_gets_another_chance() {
    let gateway = Gateway::builder()
        .fault_profile()
        .set("restart_limit", json!({"count": 1, "window_ms": 10_000}))
        .server(Server::gremlin("stopped").autostart())
        .server(Server::new("failed", "/nonexistent/program", &[]).autostart())
        .server(Server::gremlin("asleep"))
        .server(Server::control())
        .start();
    let client = gateway.client();
    let order = client.request(Method::POST, "/servers/stopped/stop?wait");
    assert_eq!(client.send(order).await.status, 200);
    wait_for("failed", SOON, async || {
        (client.status("failed").await["status"] == "failed").then_some(())
    })
    .await;
    reload(&gateway, |config| {
        entry(config, "stopped")["env"]["COLOUR"] = "blue".into();
        entry(config, "asleep")["env"]["COLOUR"] = "blue".into();
        let program = entry(config, "control")["command"].clone();
        entry(config, "failed")["command"] = program;
    })
    .await;
    wait_for("the mended server", SOON, async || {
        (client.status("failed").await["status"] == "ready").then_some(())
    })
    .await;
    for (server, last_error) in [
        ("stopped", json!("stopped by the operator")),
        ("asleep", Value::Null),
    ] {
        let entry = client.status(server).await;
        assert_eq!(
            (&entry["status"], &entry["last_error"]),
            (&json!("stopped"), &last_error),
            "{server}"
        );
    }
    assert_eq!(variable(&gateway, "asleep", "COLOUR").await, "blue");
}

#[tokio::test]
async fn a_server_is_disabled_and_enabled_again() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::gremlin("g1").autostart())
        .start();
    let client = gateway.client();
    let first = number(&pid(&gateway, "g1").await);
    reload(&gateway, |config| {
        entry(config, "g1")["disabled"] = true.into();
    })
    .await;
    let refused = client.call("g1", "echo", &json!({"text": "?"})).await;
    assert_eq!(refused.error_code(), "server_stopped");
    wait_until("its end", SOON, || !process::is_alive(first)).await;
    let entry_of = client.status("g1").await;
    assert_eq!(entry_of["last_error"], "disabled in the configuration");
    reload(&gateway, |config| {
        entry(config, "g1")["disabled"] = false.into();
    })
    .await;
    assert_ne!(number(&pid(&gateway, "g1").await), first);
}

#[tokio::test]
async fn a_server_that_clients_share_in_another_way_is_another_server() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let first = number(&pid(&gateway, "g1").await);
    reload(&gateway, |config| {
        entry(config, "g1")["instance"] = "client".into();
    })
    .await;
    assert_eq!(
        client
            .call("g1", "echo", &json!({"text": "hi"}))
            .await
            .status,
        200
    );
    wait_until("its end", SOON, || !process::is_alive(first)).await;
    let mut own = client.status("g1").await["instances"].clone();
    let own = own.as_array_mut().unwrap();
    assert_eq!((own.len(), &own[0]["instance_key"]), (1, &json!("default")));
    // A change of the process reaches the instances that are there.
    let second = number(&own[0]["pid"]);
    reload(&gateway, |config| {
        entry(config, "g1")["env"]["COLOUR"] = "blue".into();
    })
    .await;
    assert_eq!(variable(&gateway, "g1", "COLOUR").await, "blue");
    assert!(!process::is_alive(second));
    reload(&gateway, |config| drop(take_out(config, "g1"))).await;
    wait_until("no server", SOON, || {
        process::descendants(gateway.pid()).is_empty()
    })
    .await;
}

#[tokio::test]
async fn reloads_are_done_one_after_the_other_and_the_last_file_stands() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::gremlin("g1").autostart())
        .start();
    pid(&gateway, "g1").await;
    for n in 0..20 {
        gateway.rewrite_config(|config| entry(config, "g1")["env"]["N"] = n.to_string().into());
        gateway.signal(Signal::HUP);
    }
    reloaded(&gateway).await;
    wait_for("the last one", SOON, async || {
        (variable(&gateway, "g1", "N").await == "19").then_some(())
    })
    .await;
    // A file that is read while it is written is refused, and the one after it is taken.
    assert_eq!(config_health(&gateway).await["refused"], Value::Null);
    let processes = process::descendants(gateway.pid());
    let gremlins = processes.iter().filter(|process| process.state != 'Z');
    assert_eq!(gremlins.count(), 2, "a guard and its server: {processes:?}");
}

#[tokio::test]
async fn a_reload_during_the_drain_is_ignored_with_a_word() {
    let mut gateway = Gateway::builder()
        .limit("drain_ms", 20_000)
        .server(Server::gremlin("g1"))
        .start();
    pid(&gateway, "g1").await;
    let client = gateway.client();
    let sleep = json!({"do": "sleep", "ms": 1500, "say": "done"});
    let call = tokio::spawn(async move { client.deed("g1", &sleep).await });
    wait_until("the call", SOON, || {
        let entries = gateway.journal("g1").entries();
        entries
            .iter()
            .any(|entry| entry.json().to_string().contains("\"sleep\""))
    })
    .await;
    gateway.signal(Signal::TERM);
    gateway.logs().event("asked to stop", SOON).await;
    gateway.signal(Signal::HUP);
    gateway
        .logs()
        .event("asked to reload while stopping: ignored", SOON)
        .await;
    assert_eq!(call.await.unwrap().status, 200);
    assert!(gateway.ended(Duration::from_secs(20)).await.success());
    assert_eq!(gateway.logs().events("config reloaded"), [Value::Null; 0]);
}
