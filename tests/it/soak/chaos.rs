//! The faults: one after the other, on servers drawn by chance.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::deeds::Deed;
use super::exchange::exchange;
use super::scene::{FAULTY, PATIENCE, Scene, server_id};
use super::verdict;
use crate::support::client::Client;
use crate::support::mcp::{post, tool_call};
use crate::support::process;

/// Draws with the number of no caller.
const NUMBER: usize = 1000;

/// How long an answer is waited for where none may come.
const GLANCE: Duration = Duration::from_millis(200);

/// Lets faults happen until the callers stop.
pub(super) async fn reign(scene: Arc<Scene>) {
    let client = scene.gateway.client();
    let mut rng = scene.rng(NUMBER);
    while scene.goes_on() {
        let server = server_id(rng.usize(0..FAULTY));
        match rng.u32(0..24) {
            0..10 => order(&scene, &client, &server, &mut rng).await,
            10..15 => strike(&scene, &client, &server, &mut rng).await,
            15..17 => operate(&scene, &client, &server).await,
            17..19 => strike_guard(&scene, &mut rng),
            19..20 => signal_everybody(&scene, &mut rng),
            _ => reload(&scene, &mut rng).await,
        }
        let pause = Duration::from_millis(rng.u64(50..700));
        tokio::time::sleep(pause).await;
    }
}

/// Has a server do itself in.
async fn order(scene: &Scene, client: &Client, server: &str, rng: &mut Rng) {
    let orders = [
        json!({"do": "exit", "code": 0}),
        json!({"do": "exit", "code": 3}),
        json!({"do": "exit", "code": 0, "reply": true}),
        json!({"do": "signal", "signal": 11}),
        json!({"do": "signal", "signal": 6}),
        json!({"do": "partial", "exit": 1}),
        json!({"do": "close_stdout"}),
        json!({"do": "close_stdin"}),
        json!({"do": "stop_reading"}),
        json!({"do": "stop_reading", "ms": 500}),
        json!({"do": "fork_grandchild", "hold_stdout": true}),
        json!({"do": "fork_grandchild", "hold_stdout": true, "chatter": true}),
        json!({"do": "fork_grandchild", "setsid": true, "ignore_term": true}),
        json!({"do": "stderr", "bytes": 2_000_000}),
        json!({"do": "garbage", "lines": 3000}),
        json!({"do": "bigline", "bytes": 8_000_000, "id": "last"}),
    ];
    let order = &orders[rng.usize(0..orders.len())];
    scene
        .book
        .fault(order["do"].as_str().unwrap_or_default().to_owned());
    let call = tool_call(1, "gremlin", order);
    let request = post(client, &format!("/{server}/rpc"), &call).timeout(GLANCE);
    let _ = exchange(request).await;
}

/// Strikes the process of a server from outside.
async fn strike(scene: &Scene, client: &Client, server: &str, rng: &mut Rng) {
    let Ok(heard) = exchange(client.request(Method::GET, "/servers")).await else {
        return;
    };
    let Some(pid) = heard
        .messages
        .first()
        .and_then(|servers| pid_of(servers, server))
    else {
        return;
    };
    let signals = [
        Signal::KILL,
        Signal::TERM,
        Signal::STOP,
        Signal::SEGV,
        Signal::HUP,
    ];
    let signal = signals[rng.usize(0..signals.len())];
    scene.book.fault(format!("{signal:?}"));
    process::signal(pid, signal);
    if signal == Signal::STOP && rng.bool() {
        tokio::time::sleep(Duration::from_millis(rng.u64(10..900))).await;
        process::signal(pid, Signal::CONT);
    }
}

fn pid_of(servers: &Value, server: &str) -> Option<u32> {
    let entries = servers["servers"].as_array()?;
    let entry = entries.iter().find(|entry| entry["server_id"] == server)?;
    u32::try_from(entry["pid"].as_u64()?).ok()
}

/// What an operator does.
async fn operate(scene: &Scene, client: &Client, server: &str) {
    scene.book.fault("restart".to_owned());
    let restart = client.request(Method::POST, &format!("/servers/{server}/restart"));
    let _ = exchange(restart.timeout(GLANCE)).await;
}

/// Reloads the config, in which one server has changed, while calls run there.
async fn reload(scene: &Arc<Scene>, rng: &mut Rng) {
    let changed = rng.usize(0..FAULTY);
    let mut calls = JoinSet::new();
    for _ in 0..rng.usize(0..12) {
        let deed = Deed::sleep(rng.u64(50..400), scene.mark(NUMBER));
        calls.spawn(call_under_reload(Arc::clone(scene), changed, deed));
    }
    tokio::time::sleep(Duration::from_millis(rng.u64(0..60))).await;
    let value = rng.u32(..);
    let change = rng.u32(0..10);
    let rewrite = |change: &dyn Fn(&mut Value)| {
        // `control` is the first of the list.
        let rewritten = |config: &mut Value| change(&mut config["servers"][changed + 1]);
        scene.gateway.rewrite_config(rewritten);
        scene.gateway.signal(Signal::HUP);
    };
    let name = match change {
        0 => {
            rewrite(&|server| server["disabled"] = true.into());
            tokio::time::sleep(Duration::from_millis(rng.u64(0..800))).await;
            rewrite(&|server| server["disabled"] = false.into());
            "reload: disabled for a while"
        }
        1 => {
            rewrite(&|server| server["request_timeout_ms"] = (1500 + value % 500).into());
            "reload: other deadline"
        }
        2 => {
            rewrite(&|_| ());
            "reload: no change"
        }
        _ => {
            // It is started anew.
            rewrite(&|server| server["env"]["CHANGED"] = value.to_string().into());
            "reload: other environment"
        }
    };
    scene.book.fault(name.to_owned());
    while let Some(ended) = calls.join_next().await {
        ended.expect("a call that does not panic");
    }
}

async fn call_under_reload(scene: Arc<Scene>, server: usize, deed: Deed) {
    let client = scene.client(NUMBER);
    let call = tool_call(1, deed.tool, &deed.arguments);
    let request = post(&client, &format!("/{}/rpc", server_id(server)), &call);
    scene.book.asked();
    let asked = Instant::now();
    let heard = exchange(request.timeout(PATIENCE)).await;
    let outcome = verdict::enter(
        &scene.book,
        NUMBER,
        &deed,
        &json!(1),
        heard,
        asked.elapsed(),
    );
    scene.book.fault(format!("call under a reload: {outcome}"));
}

/// Sends a signal that is meant for the gateway to all guards, that of the untouched server too: none heeds it.
fn signal_everybody(scene: &Scene, rng: &mut Rng) {
    let signal = [Signal::HUP, Signal::INT, Signal::TERM][rng.usize(0..3)];
    scene.book.fault(format!("{signal:?} to all guards"));
    for guard in guards(scene) {
        process::signal(guard, signal);
    }
    if signal == Signal::HUP {
        // As a terminal that was closed: the gateway of the soak has none, and reloads.
        scene.gateway.signal(signal);
    }
}

fn guards(scene: &Scene) -> Vec<u32> {
    process::descendants(scene.gateway.pid())
        .into_iter()
        .filter(|process| process.parent == scene.gateway.pid())
        .map(|process| process.pid)
        .collect()
}

/// Kills a guard, but not the one of the untouched server, which is the first that was started.
fn strike_guard(scene: &Scene, rng: &mut Rng) {
    let mut guards = guards(scene);
    // A guard bears the id of its server.
    guards.retain(|guard| process::command_line(*guard) != "hmg-guard control");
    if let Some(guard) = guards.get(rng.usize(0..guards.len().max(1))) {
        scene.book.fault("guard killed".to_owned());
        process::signal(*guard, Signal::KILL);
    }
}
