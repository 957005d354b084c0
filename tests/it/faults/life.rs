//! Starts, ends, restarts and liveness of a server.

mod alone;
mod clock;
mod ends;
mod eras;
mod grandchild;
mod liveness;
mod threads;

use std::time::Duration;

use serde_json::{Value, json};

use crate::alone::{
    SOON, deeds_at_once, echoed, echoes, fault, fault_gateway, fault_of, journal_has, pid_of,
    ready_in, server_lost, status_where,
};
use crate::support::client::Client;
use crate::support::logs::millis_between;
use crate::support::oracle::Oracle;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server, process};

/// Waits until a server that cannot be kept running is given up; gives its last status.
async fn failed(client: &Client, server_id: &str) -> Value {
    let given_up = Duration::from_secs(20);
    status_where(client, server_id, "failed", given_up, |status| {
        status["status"] == "failed"
    })
    .await
}

/// Waits until a server is ready in this incarnation, and gives every `next_start_in_ms` that was seen
/// meanwhile: none of them is longer than the delay that it is the rest of.
async fn delays_until(client: &Client, server_id: &str, incarnation: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    let what = format!("{server_id} ready in incarnation {incarnation}");
    wait_for(&what, SOON, async || {
        let status = client.status(server_id).await;
        seen.extend(status["next_start_in_ms"].as_u64());
        (status["status"] == "ready" && status["incarnation"] == incarnation).then_some(())
    })
    .await;
    seen
}

/// What was logged of a server's life: that it is started, and why it changed its state.
fn story(gateway: &Gateway, server_id: &str) -> Vec<Value> {
    let mut events = gateway.logs().of_server(server_id);
    events.retain(|event| is_start(event) || is_change(event));
    events
}

fn is_start(event: &Value) -> bool {
    event["message"] == "starting server"
}

fn is_change(event: &Value) -> bool {
    event["state"].is_string() && event["reason"].is_string()
}

/// The time from each end of a server to the start after it, in milliseconds, as logged: the delay, and
/// what the end itself took.
fn pauses(gateway: &Gateway, server_id: &str) -> Vec<u64> {
    let story = story(gateway, server_id);
    let pairs = story.windows(2);
    pairs
        .filter(|pair| is_change(&pair[0]) && is_start(&pair[1]))
        .map(|pair| millis_between(&pair[0], &pair[1]))
        .collect()
}

/// Has a server exit with this code while nothing is under way.
async fn exits(client: &Client, server_id: &str, code: i32) {
    let exit = json!({"do": "exit", "reply": true, "code": code});
    assert_eq!(echoed(&client.deed(server_id, &exit).await), "goodbye");
}

/// Asks an operator's verb of a server and waits until it is done.
async fn ordered(client: &Client, server_id: &str, verb: &str) {
    let path = format!("/servers/{server_id}/{verb}?wait");
    let answer = client.post(&path, "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}
