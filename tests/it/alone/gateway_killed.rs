//! The gateway dies without a word: nothing of its servers survives it (invariant I11).

use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::places;
use crate::support::process::{self, Process};
use crate::support::wait::wait_until;

/// From the death of the gateway to the end of its last descendant.
const ORPHANS: Duration = Duration::from_secs(3);

/// A gremlin below three shells, as it would be below `npx`: none of them replaces itself by its child.
fn wrapped(id: &str) -> Server {
    let gremlin = places::gremlin();
    let script = format!(
        "sh -c \"sh -c '{}; true'; true\"; true",
        gremlin.to_str().unwrap()
    );
    Server::gremlin(id)
        .set("command", "sh")
        .set("args", json!(["-c", script]))
}

/// The parents of a process up to the gateway, nearest first.
fn chain(gateway: &Gateway, pid: u32) -> Vec<Process> {
    let mut chain = Vec::new();
    let mut next = pid;
    while next != gateway.pid() {
        let process = process::find(next).unwrap_or_else(|| panic!("{next} below the gateway"));
        next = process.parent;
        chain.push(process);
    }
    chain
}

/// The gremlin's own pid, from itself: `/servers` shows the outermost shell's.
async fn innermost(client: &Client, server_id: &str) -> u32 {
    let identity = client.deed(server_id, &json!({"do": "whoami"})).await;
    let identity: Value = serde_json::from_str(&echoed(&identity)).unwrap();
    u32::try_from(identity["pid"].as_u64().unwrap()).unwrap()
}

/// Kills the gateway and waits until its last process is gone.
async fn kill(gateway: &mut Gateway, family: &[u32]) {
    for pid in family {
        assert!(process::is_alive(*pid), "{pid} of {family:?}");
    }
    gateway.signal(Signal::KILL);
    let killed = Instant::now();
    gateway.ended(ORPHANS).await;
    let left = ORPHANS.saturating_sub(killed.elapsed());
    wait_until("the end of every process", left, || {
        gateway.family().is_empty() && family.iter().all(|pid| !process::is_alive(*pid))
    })
    .await;
}

#[tokio::test]
async fn a_chain_of_wrappers_ends_with_a_killed_gateway() {
    let mut gateway = fault_gateway(wrapped("g1"));
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let gremlin = innermost(&client, "g1").await;
    let chain = chain(&gateway, gremlin);
    // gremlin, three shells, guard.
    assert_eq!(chain.len(), 5, "{chain:?}");
    assert_eq!(chain[3].pid, pid_of(&client, "g1").await);
    let mut family: Vec<u32> = chain.iter().map(|process| process.pid).collect();
    let child = json!({"do": "fork_grandchild", "hold_stdout": true, "ignore_term": true});
    family.push(pid_in(&client.deed("g1", &child).await));
    kill(&mut gateway, &family).await;
}

/// F31: three servers, of which one is below wrappers, one started what left its session (only the reaper
/// of its descendants finds that), and one ends by nothing but SIGKILL. None of it ever becomes an orphan
/// of the system's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_of_three_servers_survives_a_killed_gateway() {
    let stubborn = json!({"ignore_term": true, "ignore_eof": true});
    let mut gateway = Gateway::builder()
        .fault_profile()
        .server(wrapped("wrapped"))
        .server(Server::gremlin("scattered"))
        .server(Server::gremlin("stubborn").orders(&stubborn))
        .start();
    let client = gateway.client();
    let mut family = Vec::new();
    let mut guards = Vec::new();
    for server_id in ["wrapped", "scattered", "stubborn"] {
        echoes(&client, server_id, "up").await;
        let chain = chain(&gateway, innermost(&client, server_id).await);
        guards.push(chain.last().expect("a guard").pid);
        family.extend(chain.iter().map(|process| process.pid));
    }
    let holder = json!({"do": "fork_grandchild", "hold_stdout": true, "ignore_term": true});
    family.push(pid_in(&client.deed("wrapped", &holder).await));
    let away = json!({"do": "fork_grandchild", "setsid": true, "ignore_term": true});
    let away = pid_in(&client.deed("scattered", &away).await);
    let process = process::find(away).expect("the grandchild");
    assert_eq!((process.group, process.session), (away, away));
    family.push(away);
    let orphans = || {
        let everyone = process::all();
        let below = everyone.iter().filter(|process| {
            let is_guard = guards.contains(&process.pid);
            family.contains(&process.pid) && !is_guard && !family.contains(&process.parent)
        });
        below.cloned().collect::<Vec<_>>()
    };
    let watched = async {
        while family.iter().any(|pid| process::is_alive(*pid)) {
            assert_eq!(orphans(), [], "left by their guard");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(kill(&mut gateway, &family), watched);
}

/// A server that listens neither to the end of its stdin nor to SIGTERM.
#[tokio::test]
async fn a_server_that_ignores_everything_ends_with_a_killed_gateway() {
    let stubborn = json!({"ignore_term": true, "ignore_eof": true});
    // Grace that would be too long without its gateway.
    let server = Server::gremlin("g1")
        .orders(&stubborn)
        .set("stop_grace_ms", 20_000);
    let mut gateway = fault_gateway(server);
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let family = [
        pid_of(&client, "g1").await,
        pid_of(&client, "control").await,
    ];
    kill(&mut gateway, &family).await;
}

/// F29, F30: the same shapes, stopped by the operator, while the gateway lives on.
#[tokio::test]
async fn a_stop_leaves_nothing_of_a_chain_of_wrappers() {
    let gateway = fault_gateway(wrapped("g1"));
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let gremlin = innermost(&client, "g1").await;
    let mut family: Vec<u32> = chain(&gateway, gremlin)
        .iter()
        .map(|process| process.pid)
        .collect();
    let child = json!({"do": "fork_grandchild", "setsid": true, "ignore_term": true});
    family.push(pid_in(&client.deed("g1", &child).await));
    let stopped = client.post("/servers/g1/stop?wait", "").await;
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    assert_eq!(stopped.json()["status"], "stopped");
    let left: Vec<_> = family
        .iter()
        .filter_map(|pid| process::find(*pid))
        // Dead, and the system's to reap: without a reaper of its own the gateway has nothing to do with that.
        .filter(|process| process::finds_descendants() || process.state != 'Z')
        .collect();
    assert!(left.is_empty(), "after the stop: {left:?}");
    let control = pid_of(&client, "control").await;
    assert!(process::is_alive(control));
}
