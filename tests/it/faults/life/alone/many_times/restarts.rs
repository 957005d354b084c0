//! A server that is killed again and again while it is at work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use rustix::process::Signal;

use super::*;

const USUALLY: u64 = 100;
/// Callers that ask all the time.
const CALLERS: usize = 8;

/// Asks for echoes until told to stop; what became of them, by name.
async fn caller(gateway: &Gateway, stop: &AtomicBool, next: &AtomicU64) -> BTreeMap<String, u64> {
    let client = gateway.client();
    let mut ends = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let nonce = next.fetch_add(1, Ordering::Relaxed).to_string();
        let answer = client
            .call("g1", "echo", &json!({"text": nonce, "nonce": nonce}))
            .await;
        let end = if answer.status == 200 {
            assert_eq!(echoed(&answer), nonce, "the answer of another");
            "answered".to_owned()
        } else {
            let (_, code, delivered) = fault_of(&answer);
            format!("{code}, delivered {delivered}")
        };
        *ends.entry(end).or_default() += 1;
        // A steady load, not as much as the machine can bear.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ends
}

/// F35: every life is followed by the next, every request has its answer or its error, and nothing
/// is left of all of them.
#[tokio::test]
async fn a_server_that_is_killed_under_load_is_restarted_every_time() {
    let kills = cycles(USUALLY);
    let server = Server::gremlin("g1")
        .set("restart_backoff_ms", 1)
        .set("restart_backoff_max_ms", 1)
        .set("restart_limit", json!({"count": 5000, "window_ms": 10_000}));
    let gateway = fault_gateway(server);
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    let killer = async {
        for life in 1..=kills {
            let status = ready_in(&client, "g1", life).await;
            let pid = u32::try_from(status["pid"].as_u64().expect("a pid")).unwrap();
            process::signal(pid, Signal::KILL);
        }
        ready_in(&client, "g1", kills + 1).await;
        stop.store(true, Ordering::Relaxed);
    };
    let callers = join_all((0..CALLERS).map(|_| caller(&gateway, &stop, &next)));
    let ((), ends) = tokio::join!(killer, callers);
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for (end, count) in ends.into_iter().flatten() {
        *all.entry(end).or_default() += count;
    }
    let asked = next.load(Ordering::Relaxed);
    println!("{kills} kills, {asked} requests: {all:?}");
    assert_eq!(all.values().sum::<u64>(), asked);
    let honest = [
        "answered",
        "server_lost, delivered unknown",
        "server_starting, delivered no",
    ];
    assert!(
        all.keys().all(|end| honest.contains(&end.as_str())),
        "{all:?}"
    );
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], kills + 1, "{status}");
    assert_eq!(status["restart_count"], kills, "{status}");
    assert_eq!(status["in_flight"], 0, "{status}");
    assert_eq!(client.status("control").await["incarnation"], 1);
    oracle.holds(&gateway, "g1").await;
}
