//! Signals to guards, from whoever takes them for the gateway and from their own servers.

use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::process;
use crate::support::wait::wait_until;

/// The guard of a server that runs.
async fn guard_of(client: &Client, server_id: &str) -> u32 {
    let server = pid_of(client, server_id).await;
    process::find(server).expect("the server").parent
}

/// Stops a guard, as its server could.
async fn stop_guard(guard: u32) {
    process::signal(guard, Signal::STOP);
    wait_until("a stopped guard", SOON, || {
        process::find(guard).is_some_and(|process| process.state == 'T')
    })
    .await;
}

async fn restart_now(client: &Client) {
    let answer = client.post("/servers/g1/restart?wait&now", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// RC03: guards are not called as the gateway is, what their servers are told is not in their command line, and a
/// signal that was meant for the gateway does nothing to them.
#[tokio::test]
async fn a_signal_that_is_meant_for_the_gateway_does_nothing_to_a_guard() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let (server, guard) = (pid_of(&client, "g1").await, guard_of(&client, "g1").await);
    assert_eq!(process::command_line(guard), "hmg-guard g1");
    if cfg!(target_os = "linux") {
        assert_eq!(process::find(guard).expect("the guard").name, "hmg-guard");
    }
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        process::signal(guard, signal);
    }
    // A guard that heeds one ends its server after 200 ms, in which it may end by itself.
    let longer = json!({"do": "sleep", "ms": 700, "say": "lives"});
    assert_eq!(echoed(&client.deed("g1", &longer).await), "lives");
    assert_eq!(pid_of(&client, "g1").await, server);
    let health = client.get("/health").await.json();
    assert_eq!(health["pid"], gateway.pid(), "{health}");
    gateway.signal(Signal::HUP);
    gateway.logs().event("config reloaded", SOON).await;
    assert_eq!(pid_of(&client, "g1").await, server);
}

/// RC04: a guard that its server has stopped once is woken to do its work.
#[tokio::test]
async fn a_guard_that_was_stopped_is_woken_to_end_its_server() {
    let gateway = fault_gateway(Server::gremlin("g1").orders(&json!({"ignore_eof": true})));
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let (server, guard) = (pid_of(&client, "g1").await, guard_of(&client, "g1").await);
    stop_guard(guard).await;
    restart_now(&client).await;
    assert!(!process::is_alive(server) && !process::is_alive(guard));
    assert!(!gateway.logs().text().contains("killing both"));
    echoes(&client, "g1", "again").await;
}

/// RC04: a guard that is stopped whenever it is woken loses its work to the gateway; so the server is restarted, and the
/// gateway ends, both within a second beyond the graces.
#[tokio::test]
async fn the_gateway_does_the_work_of_a_guard_that_is_stopped_again_and_again() {
    let orders = json!({"ignore_term": true, "ignore_eof": true});
    let mut gateway = fault_gateway(Server::gremlin("g1").orders(&orders));
    let client = gateway.client();
    for round in 0..2 {
        echoes(&client, "g1", "up").await;
        let (server, guard) = (pid_of(&client, "g1").await, guard_of(&client, "g1").await);
        let child = json!({"do": "fork_grandchild", "setsid": true, "ignore_term": true});
        let grandchild = pid_in(&client.deed("g1", &child).await);
        let stopping = tokio::spawn(async move {
            while process::is_alive(guard) {
                process::signal(guard, Signal::STOP);
                tokio::task::yield_now().await;
            }
        });
        let asked = Instant::now();
        if round == 0 {
            restart_now(&client).await;
        } else {
            gateway.signal(Signal::TERM);
            assert!(gateway.ended(SOON).await.success());
        }
        let took = asked.elapsed();
        assert!(took <= Duration::from_secs(5), "{took:?} in round {round}");
        let gone = || {
            [server, guard, grandchild]
                .iter()
                .all(|pid| !process::is_alive(*pid))
        };
        wait_until("the end of the tree", SOON, gone).await;
        stopping.await.unwrap();
    }
}

/// RC04: the end of the gateway wakes a stopped guard, too; on Linux, where a death has a signal for the children.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_guard_that_was_stopped_is_woken_by_the_death_of_the_gateway() {
    if !process::finds_descendants() {
        return;
    }
    let mut gateway = fault_gateway(Server::gremlin("g1").orders(&json!({"ignore_eof": true})));
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let (server, guard) = (pid_of(&client, "g1").await, guard_of(&client, "g1").await);
    stop_guard(guard).await;
    gateway.signal(Signal::KILL);
    gateway.ended(SOON).await;
    wait_until(
        "the end of the server and its guard",
        Duration::from_secs(3),
        || !process::is_alive(server) && !process::is_alive(guard),
    )
    .await;
}
