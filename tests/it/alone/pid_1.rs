//! The gateway as the first process of a container, started by a script that leaves a daemon and an orphan to it.

use rustix::process::Signal;
use serde_json::json;

use super::*;
use crate::support::process::{self, Process};
use crate::support::wait::wait_until;

/// A pid namespace, and in it a script that puts the gateway in its own place.
const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
/// A daemon in a session of its own, and a process whose parent is gone before it ends.
const ENTRYPOINT: &str = "setsid sleep 300 & (sleep 1 &) ; exec \"$@\"";

fn children(parent: u32) -> Vec<Process> {
    let mut all = process::all();
    all.retain(|process| process.parent == parent);
    all
}

/// RC07: what the entrypoint left is reaped when it ends, and is not killed with a server that has lost its guard.
#[tokio::test]
async fn pid_1_reaps_what_is_not_its_own_and_kills_only_what_a_guard_had() {
    if !process::can_run_by(&CONTAINER) {
        return;
    }
    let command = [&CONTAINER[..], &["sh", "-c", ENTRYPOINT, "sh"]].concat();
    let mut gateway = Gateway::builder()
        .fault_profile()
        .run_by(&command)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let container = gateway.pid();
    let [init] = &children(container)[..] else {
        panic!("one process below unshare: {:?}", children(container));
    };
    let init = init.pid;
    let named = |name: &str| {
        let mut found = children(init);
        found.retain(|process| process.name == name);
        found
    };
    let daemon = || {
        let sleeping = named("sleep");
        sleeping
            .into_iter()
            .find(|process| process.session == process.pid)
    };
    assert!(daemon().is_some(), "{:?}", children(init));
    wait_until("the orphan to be reaped", SOON, || {
        named("sleep").len() == 1
    })
    .await;

    let away = json!({"do": "fork_grandchild", "setsid": process::finds_descendants(), "ignore_term": true});
    assert_eq!(client.deed("g1", &away).await.status, 200);
    let below = process::descendants(init);
    let guard = below.iter().find(|process| process.name == "hmg-guard");
    let guard = guard.expect("a guard").pid;
    let tree: Vec<u32> = process::descendants(guard)
        .iter()
        .map(|process| process.pid)
        .collect();
    assert_eq!(tree.len(), 2, "the server and what it started");
    process::signal(guard, Signal::KILL);
    wait_until("the end of what the guard had", SOON, || {
        tree.iter().all(|pid| process::find(*pid).is_none())
    })
    .await;
    ready_in(&client, "g1", 2).await;
    echoes(&client, "g1", "again").await;
    assert!(daemon().is_some(), "{:?}", children(init));

    process::signal(init, Signal::TERM);
    let status = gateway.ended(SOON).await;
    assert_eq!(status.code(), Some(0), "that of the gateway: {status}");
}
