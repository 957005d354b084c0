//! The log lines about processes: which process each is about, and one for each end, with its reason; and the lines
//! about orders that are refused.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::alone::{fault_of, journal_has, server_lost};
use crate::reload::reload;
use crate::support::client::Client;
use crate::support::mcp::{Session, modern_call, modern_post};
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server, process};

const SOON: Duration = Duration::from_secs(20);
const REVISION: &str = "2025-11-25";
const READER: &str = "reader-4f0ab97e61c2d83557";

async fn order(client: &Client, path: &str) -> u16 {
    let request = client.request(Method::POST, path);
    client.send(request).await.status
}

/// The lines about the ends of processes of a server, once there are as many.
async fn ends(gateway: &Gateway, server_id: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} ends"), SOON, async || {
        let lines = gateway.logs().of_server(server_id);
        let is_end = |line: &Value| {
            let text = line["message"].as_str().unwrap_or_default();
            text.starts_with("the process of server") || text.contains("was stopped by SIGKILL")
        };
        let ends: Vec<_> = lines.into_iter().filter(is_end).collect();
        (ends.len() >= count).then_some(ends)
    })
    .await
}

async fn pid(client: &Client, server_id: &str) -> Value {
    wait_for("a process that is ready", SOON, async || {
        let status = client.status(server_id).await;
        (status["status"] == "ready").then(|| status["pid"].clone())
    })
    .await
}

#[tokio::test]
async fn an_end_that_the_gateway_brings_about_is_one_line_with_process_and_reason() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").autostart())
        .server(Server::control())
        .start();
    let client = gateway.client();
    let mut pids = vec![pid(&client, "g1").await];
    assert_eq!(order(&client, "/servers/g1/restart?wait").await, 200);
    pids.push(pid(&client, "g1").await);
    assert_eq!(order(&client, "/servers/g1/stop?wait").await, 200);
    assert_eq!(order(&client, "/servers/g1/start?wait").await, 200);
    pids.push(pid(&client, "g1").await);
    reload(&gateway, |config| {
        config["servers"][0]["env"]["ANOTHER"] = "1".into();
    })
    .await;
    pids.push(
        wait_for("a new process", SOON, async || {
            let pid = pid(&client, "g1").await;
            (!pids.contains(&pid)).then_some(pid)
        })
        .await,
    );
    reload(&gateway, |config| {
        config["servers"].as_array_mut().unwrap().remove(0);
    })
    .await;
    let lines = ends(&gateway, "g1", 4).await;
    let of = |key: &str| -> Vec<Value> { lines.iter().map(|line| line[key].clone()).collect() };
    assert_eq!(of("pid"), pids);
    assert_eq!(of("incarnation"), [1, 2, 3, 4]);
    let reasons = [
        "restarted by the operator",
        "stopped by the operator",
        "its entry in the config has changed",
        "the server was taken out of the config, or replaced",
    ];
    assert_eq!(of("reason"), reasons);
    assert!(of("level").iter().all(|level| level == "info"), "{lines:?}");
}

/// A server that crashes while it answers what is under way was not stopped.
#[tokio::test]
async fn a_crash_during_a_drain_is_a_warning_that_says_so() {
    let gateway = Gateway::builder()
        .limit("drain_ms", 60_000)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let crash = async {
        journal_has(&gateway, "g1", "\"under way\"", 1).await;
        let pid = pid(&client, "g1").await.as_u64().unwrap();
        let stopped = order(&client, "/servers/g1/stop").await;
        assert!(stopped < 300, "{stopped}");
        process::signal(u32::try_from(pid).unwrap(), Signal::USR1);
    };
    let call = json!({"do": "nothing", "nonce": "under way"});
    let (answer, ()) = tokio::join!(client.deed("g1", &call), crash);
    assert_eq!(fault_of(&answer), server_lost(), "{}", answer.text());
    let lines = ends(&gateway, "g1", 1).await;
    assert_eq!(lines[0]["level"], "warn", "{lines:?}");
    let text = lines[0]["message"].as_str().unwrap();
    let expected = "was ended by SIGUSR1 while it was being stopped: stopped by the operator";
    assert!(text.contains(expected), "{text}");
}

/// Who ordered a stop is known before the stop, and also of a client that hangs up while it waits for the end of it.
#[tokio::test]
async fn an_order_is_told_before_what_it_does_whoever_hangs_up() {
    let gateway = Gateway::builder()
        .limit("drain_ms", 60_000)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let told = || {
        let lines = gateway.logs().of_server("g1");
        let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        lines.iter().map(text).collect::<Vec<_>>()
    };
    let is_order = |text: &String| text == "operator ordered stop of g1";
    let stop_and_hang_up = async {
        journal_has(&gateway, "g1", "\"under way\"", 1).await;
        let pid = pid(&client, "g1").await.as_u64().unwrap();
        let order = order(&client, "/servers/g1/stop?wait");
        tokio::select! {
            status = order => panic!("{status}: the stop waits for a call that is never answered"),
            () = wait_until("the order", SOON, || told().iter().any(is_order)) => {}
        }
        process::signal(u32::try_from(pid).unwrap(), Signal::USR1);
    };
    let call = json!({"do": "nothing", "nonce": "under way"});
    let (answer, ()) = tokio::join!(client.deed("g1", &call), stop_and_hang_up);
    assert_eq!(fault_of(&answer), server_lost(), "{}", answer.text());
    ends(&gateway, "g1", 1).await;
    let told = told();
    let ended = told
        .iter()
        .position(|text| text.starts_with("the process of server"));
    assert!(told.iter().position(is_order) < ended, "{told:?}");
}

#[tokio::test]
async fn lines_about_one_of_several_processes_say_about_which() {
    let dual = Server::gremlin("g1").orders(&json!({"era": "dual"}));
    let gateway = Gateway::builder()
        .people()
        .limit("instance_idle_ms", 300)
        .server(dual)
        .server(Server::gremlin("g2").set("instance", "client"))
        .start();
    let client = gateway.client();
    let session = Session::open(&client, "/g1/mcp", REVISION).await;
    session.call("echo", &json!({"text": "legacy"})).await;
    let call = modern_call("echo", &json!({"text": "modern"}), &json!({}));
    client.send(modern_post(&client, "/g1/mcp", &call)).await;
    let eras = wait_for("two processes in the log", SOON, async || {
        let ready = gateway.logs().of_server("g1");
        let ready = ready
            .iter()
            .filter(|line| line["message"] == "server is ready");
        let eras: Vec<_> = ready.map(|line| line["era"].clone()).collect();
        (eras.len() == 2).then_some(eras)
    })
    .await;
    assert_eq!(eras, ["legacy", "modern"]);

    let alice = gateway.alice();
    let called = alice.call("g2", "echo", &json!({"text": "hi"})).await;
    assert_eq!(called.status, 200, "{}", called.text());
    let lines = ends(&gateway, "g2", 1).await;
    assert_eq!(lines[0]["instance"], "alice", "{lines:?}");
    assert_eq!(lines[0]["reason"], "nobody uses it", "{lines:?}");
    for line in gateway.logs().of_server("g2") {
        let is_of_process = line.get("incarnation").is_some();
        assert!(!is_of_process || line["instance"] == "alice", "{line}");
    }
}

#[tokio::test]
async fn an_order_that_is_refused_is_logged_with_who_gave_it_and_why() {
    let tokens = json!([{"name": "reader", "env": "READER"}]);
    let gateway = Gateway::builder()
        .set("tokens", tokens)
        .env("READER", READER)
        .server(Server::gremlin("g1").set("disabled", true))
        .start();
    let (client, reader) = (gateway.client(), gateway.client_with(Some(READER)));
    assert_eq!(order(&client, "/servers/g1/start").await, 409);
    assert_eq!(order(&reader, "/servers/g1/stop").await, 403);
    assert_eq!(order(&client, "/servers/nope/restart").await, 404);
    // The log is written by a thread of its own.
    let refused = async |principal: &str, verb: &str, code: &str| {
        let parts = [
            format!("\"principal\":\"{principal}\""),
            format!("\"verb\":\"{verb}\""),
            format!("\"code\":\"{code}\""),
        ];
        wait_for("the refusal in the log", SOON, async || {
            let lines = gateway.logs().lines();
            let mut lines = lines.iter();
            lines
                .any(|line| parts.iter().all(|part| line.contains(part)))
                .then_some(())
        })
        .await;
    };
    refused("default", "start", "server_disabled").await;
    refused("reader", "stop", "auth_denied").await;
    refused("default", "restart", "server_not_found").await;
}

/// RB05: what a process that is gone has said is marked as such, and is not the cause of a later one's trouble.
#[tokio::test]
async fn the_lines_of_an_earlier_process_are_told_from_those_of_the_present_one() {
    let script = "echo \"words of $$\" >&2; sleep 0.1; exit 3";
    let gateway = Gateway::builder()
        .set("restart_backoff_ms", 100)
        .set("restart_limit", json!({"count": 2}))
        .server(Server::new("broken", "sh", &["-c", script]).autostart())
        .start();
    let client = gateway.client();
    let status = wait_for("a server that was given up", SOON, async || {
        let status = client.status("broken").await;
        (status["status"] == "failed").then_some(status)
    })
    .await;
    let incarnation = status["incarnation"].as_u64().unwrap();
    let logs = client.get("/servers/broken/logs").await.json();
    let lines = logs["lines"].as_array().unwrap();
    let mark = format!("[gateway] incarnation {incarnation} begins");
    let at = lines.iter().position(|line| *line == mark.as_str());
    let last = &lines[at.expect("a mark before the last life") + 1..];
    assert_eq!(status["stderr_tail"].as_array().unwrap(), last, "{logs}");
    let refused = client.call("broken", "echo", &json!({})).await;
    let last = last[0].as_str().unwrap();
    assert!(refused.text().contains(last), "{}", refused.text());
}
