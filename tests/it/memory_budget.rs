//! The memory of the process has an end: refusals instead of growth, and servers are killed before the gateway.

use futures_util::future::join_all;
use serde_json::json;

use crate::alone::{echoed, fault, fault_of};
use crate::support::{Gateway, Server, process};

/// One token has half of it.
const BUDGET: usize = 2 * 1024 * 1024;
/// A request of this size is held twice, as it came and as it is written, and its answer once.
const TEXT: usize = 200 * 1024;
const CLIENTS: usize = 16;

/// Large requests that the budget has no room for are refused, with nothing delivered; small ones are served meanwhile,
/// and large ones again afterwards.
#[tokio::test]
async fn large_requests_over_the_memory_budget_are_refused_and_small_ones_are_served() {
    let gateway = Gateway::builder()
        .limit("memory_bytes", BUDGET)
        .server(Server::control())
        .server(Server::gremlin("g1").set("limits", json!({"stdin_stall_ms": 15_000})))
        .start();
    let client = gateway.client();
    let stop = json!({"do": "stop_reading", "ms": 2000});
    assert_eq!(
        echoed(&client.deed("g1", &stop).await),
        "not reading any more"
    );
    let text = "x".repeat(TEXT);
    let large = (0..CLIENTS).map(|_| async {
        let answer = client.call("g1", "echo", &json!({"text": text})).await;
        if answer.status == 200 {
            assert!(echoed(&answer) == text, "another text came back");
            return true;
        }
        assert_eq!(fault_of(&answer), fault(429, "rate_limited", "no"));
        assert!(!answer.header("retry-after").is_empty());
        let told = answer.text();
        assert!(told.contains("limits.memory_bytes"), "{told}");
        false
    });
    let small = async {
        let answer = client
            .call("control", "echo", &json!({"text": "small"}))
            .await;
        assert_eq!(echoed(&answer), "small");
    };
    let (served, ()) = tokio::join!(join_all(large), small);
    let served = served.iter().filter(|served| **served).count();
    assert!(
        (1..=BUDGET / 2 / TEXT).contains(&served),
        "{served} of {CLIENTS} served"
    );
    let again = client.call("g1", "echo", &json!({"text": text})).await;
    assert!(echoed(&again) == text, "{}", again.status);
}

/// When memory runs out Linux kills a server before its guard and the gateway.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_is_killed_for_want_of_memory_before_the_gateway() {
    let score = |pid: u32| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a score");
        text.trim().parse().expect("a number")
    };
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let child = client.deed("g1", &json!({"do": "fork_grandchild"})).await;
    let child: u32 = echoed(&child).parse().expect("a pid");
    let status = client.status("g1").await;
    let server = u32::try_from(status["pid"].as_u64().expect("a pid")).expect("a pid");
    let guard = process::find(server).expect("the server").parent;
    let own = score(gateway.pid());
    assert_eq!(score(guard), own);
    let handicapped = (own + 500).min(1000);
    assert_eq!((score(server), score(child)), (handicapped, handicapped));
}
