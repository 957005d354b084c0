//! Processes that a reload or an operator ends: what becomes of the calls in them, and of those that come meanwhile.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{SOON, entry, pid, reload, take_out};
use crate::alone::{
    echoed, echoes, fault, fault_of, journal_has, metric, ready_in, server_lost, status_where,
};
use crate::support::client::{Answer, Client};
use crate::support::mcp::{Session, tool_call};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, process};

/// A gateway with `g1`, whose calls have this long when its process is to go.
fn gateway(drain_ms: u64) -> Gateway {
    Gateway::builder()
        .fault_profile()
        .limit("drain_ms", drain_ms)
        .limit("hold_ms", 20_000)
        .set("request_timeout_ms", 20_000)
        .server(Server::gremlin("g1").autostart())
        .start()
}

/// A call that is answered this long after it was read.
fn sleeps(ms: u64) -> Value {
    json!({"do": "sleep", "ms": ms, "say": "done", "nonce": "under way"})
}

/// Makes a call, does this once the server has read it, and gives the call's answer.
async fn call_under_way(gateway: &Gateway, call: &Value, then: impl Future<Output = ()>) -> Answer {
    let client = gateway.client();
    let then = async {
        journal_has(gateway, "g1", "\"under way\"", 1).await;
        then.await;
    };
    tokio::join!(client.deed("g1", call), then).0
}

async fn order(client: &Client, path: &str) -> Answer {
    client.send(client.request(Method::POST, path)).await
}

/// RA09: the process that a changed server had answers what it was asked; a call that comes meanwhile goes to the next.
#[tokio::test]
async fn a_server_that_has_changed_answers_what_is_under_way_in_its_old_process() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let first = pid(&gateway, "g1").await;
    let later = async {
        reload(&gateway, |config| {
            entry(config, "g1")["env"]["COLOUR"] = "blue".into();
        })
        .await;
        assert_eq!(client.status("g1").await["status"], "stopping");
        let dumped = client.deed("g1", &json!({"do": "dump_env"})).await;
        assert!(
            echoed(&dumped).contains(r#""COLOUR":"blue""#),
            "{}",
            dumped.text()
        );
    };
    let answer = call_under_way(&gateway, &sleeps(1000), later).await;
    assert_eq!(echoed(&answer), "done");
    let status = ready_in(&client, "g1", 2).await;
    assert_ne!(status["pid"], first);
    assert_eq!(
        status["last_exit_code"], 0,
        "by the end of its stdin: {status}"
    );
}

/// RA09: the same by the operator, who is answered when the new process is ready.
#[tokio::test]
async fn a_restart_lets_what_is_under_way_be_answered() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    pid(&gateway, "g1").await;
    let restarted = async {
        let answer = order(&client, "/servers/g1/restart?wait").await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (200, &json!("ready"))
        );
    };
    let answer = call_under_way(&gateway, &sleeps(1000), restarted).await;
    assert_eq!(echoed(&answer), "done");
    ready_in(&client, "g1", 2).await;
}

/// RA09: whoever cannot wait says so, also when the process is already on its way out.
#[tokio::test]
async fn a_restart_now_waits_for_no_call() {
    let gateway = gateway(60_000);
    let client = gateway.client();
    pid(&gateway, "g1").await;
    let asked = Instant::now();
    let restarted = async {
        let patient = order(&client, "/servers/g1/restart").await;
        assert_eq!(
            (patient.status, &patient.json()["status"]),
            (202, &json!("stopping"))
        );
        order(&client, "/servers/g1/restart?now").await;
    };
    let call = json!({"do": "nothing", "nonce": "under way"});
    let answer = call_under_way(&gateway, &call, restarted).await;
    assert_eq!(fault_of(&answer), server_lost());
    ready_in(&client, "g1", 2).await;
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "{:?}",
        asked.elapsed()
    );
}

/// RA09: a call that takes longer than `drain_ms` is lost. What its server says about that is not the answer.
#[tokio::test]
async fn what_a_server_says_about_its_end_is_not_an_answer() {
    let gateway = gateway(500);
    let client = gateway.client();
    pid(&gateway, "g1").await;
    let call = json!({"do": "refuse_at_eof", "nonce": "under way"});
    let restarted = async {
        order(&client, "/servers/g1/restart").await;
    };
    let answer = call_under_way(&gateway, &call, restarted).await;
    assert_eq!(fault_of(&answer), server_lost());
    ready_in(&client, "g1", 2).await;
    echoes(&client, "g1", "after").await;
}

/// RA09: a server that is disabled or stopped answers what is under way, and takes nothing more.
#[tokio::test]
async fn a_server_that_is_disabled_answers_what_is_under_way_and_takes_nothing_more() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    pid(&gateway, "g1").await;
    let disabled = async {
        reload(&gateway, |config| {
            entry(config, "g1")["disabled"] = true.into();
        })
        .await;
        let refused = client.call("g1", "echo", &json!({"text": "no"})).await;
        assert_eq!(fault_of(&refused), fault(503, "server_stopped", "no"));
    };
    let answer = call_under_way(&gateway, &sleeps(1000), disabled).await;
    assert_eq!(echoed(&answer), "done");
    status_where(&client, "g1", "stopped", SOON, |status| {
        status["status"] == "stopped"
    })
    .await;
}

/// RA09: a server that is removed answers what is under way, in a session too, and is found by nobody any more.
#[tokio::test]
async fn a_server_that_is_removed_answers_what_is_under_way() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let first = pid(&gateway, "g1").await;
    let session = Session::open(&client, "/g1/mcp", "2025-11-25").await;
    let call = tool_call(
        7,
        "gremlin",
        &json!({"do": "sleep", "ms": 1000, "say": "in session"}),
    );
    let removed = async {
        journal_has(&gateway, "g1", "\"in session\"", 1).await;
        reload(&gateway, |config| drop(take_out(config, "g1"))).await;
        let gone = client.call("g1", "echo", &json!({"text": "?"})).await;
        assert_eq!(gone.status, 404, "{}", gone.text());
    };
    let plain = sleeps(1000);
    let (plain, answer) = tokio::join!(
        call_under_way(&gateway, &plain, removed),
        session.tell(&call)
    );
    assert_eq!(echoed(&plain), "done");
    assert!(answer.text().contains("in session"), "{}", answer.text());
    let first = u32::try_from(first.as_u64().unwrap()).unwrap();
    wait_for("its end", SOON, async || {
        (!process::is_alive(first)).then_some(())
    })
    .await;
}

/// RA09: the end of the gateway does not wait for a server that a reload has removed.
#[tokio::test]
async fn the_end_of_the_gateway_cuts_the_drain_of_a_removed_server_short() {
    let mut gateway = gateway(3000);
    pid(&gateway, "g1").await;
    let removed = async {
        reload(&gateway, |config| drop(take_out(config, "g1"))).await;
        gateway.signal(Signal::TERM);
    };
    let call = json!({"do": "nothing", "nonce": "under way"});
    let answer = call_under_way(&gateway, &call, removed).await;
    assert_eq!(fault_of(&answer), fault(503, "shutting_down", "unknown"));
    assert!(gateway.ended(SOON).await.success());
}

/// RA05: a server that is disabled and enabled again serves the next call, also while its last process is still on its
/// way out.
#[tokio::test]
async fn a_call_that_meets_the_end_of_a_disabled_life_starts_the_next_one() {
    let server = Server::gremlin("g1").orders(&json!({"ignore_eof": true, "ignore_term": true}));
    let gateway = Gateway::builder()
        .limit("term_grace_ms", 60_000)
        .for_each_server("stop_grace_ms", 200)
        .server(server)
        .start();
    let client = gateway.client();
    let first = pid(&gateway, "g1").await;
    for disabled in [true, false] {
        reload(&gateway, |config| {
            entry(config, "g1")["disabled"] = disabled.into();
        })
        .await;
    }
    assert_eq!(client.status("g1").await["status"], "stopping");
    let text = json!({"text": "again"});
    let release = async {
        // The call is in before the process goes.
        let queued = "host_mcp_gateway_server_queued{host_mcp_gateway_server_id=\"g1\"}";
        wait_for("the queued call", SOON, async || {
            (metric(&client, queued).await > 0.0).then_some(())
        })
        .await;
        let first = u32::try_from(first.as_u64().unwrap()).unwrap();
        process::signal(first, Signal::KILL);
    };
    let (answer, ()) = tokio::join!(client.call("g1", "echo", &text), release);
    assert_eq!(echoed(&answer), "again");
    ready_in(&client, "g1", 2).await;
}
