//! Many large requests for a server that takes none of them.

use futures_util::future::join_all;
use serde_json::json;

use super::super::*;
use crate::alone::{echoed, fault, fault_of};
use crate::support::oracle::Oracle;
use crate::support::{Gateway, Server, process};

const CLIENTS: usize = 64;
/// Requests that are let in: under way, and in the queue behind them.
const IN_FLIGHT: usize = 16;
const QUEUED: usize = 16;
/// Nearly the cap of the fault profile, 256 KiB.
const TEXT: usize = 255 * 1024;
/// U6: beyond what was let in.
const GROWTH_KIB: usize = 32 * 1024;

/// F41: memory is bounded by what is let in, and what is not let in is told so at once.
#[tokio::test]
async fn large_requests_for_a_slow_server_are_held_up_to_the_caps_and_no_further() {
    let limits = json!({"max_in_flight": IN_FLIGHT, "max_queue": QUEUED, "stdin_stall_ms": 15_000});
    let server = Server::gremlin("g1")
        .set("limits", limits)
        .set("request_timeout_ms", 15_000);
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(server)
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let before = process::peak_kib(gateway.pid());
    let stop = json!({"do": "stop_reading", "ms": 3000});
    assert_eq!(
        echoed(&client.deed("g1", &stop).await),
        "not reading any more"
    );

    let crowd = gateway.client();
    let asked = (0..CLIENTS).map(|number| {
        let crowd = &crowd;
        async move {
            let text = format!("{number}-{}", "x".repeat(TEXT));
            let answer = crowd.call("g1", "echo", &json!({"text": text})).await;
            let answered = answer.status == 200;
            if answered {
                assert!(echoed(&answer) == text, "another text came back");
            } else {
                assert_eq!(fault_of(&answer), fault(503, "server_busy", "no"));
                assert_eq!(answer.header("retry-after"), "1");
            }
            answered
        }
    });
    let answered = join_all(asked).await;
    let answered = answered.iter().filter(|answered| **answered).count();
    // One is being written; whether more are let in beside the queue is the pipe's to say.
    assert!(
        (QUEUED..=QUEUED + IN_FLIGHT).contains(&answered),
        "{answered} answered"
    );
    if let (Some(before), Some(after)) = (before, process::peak_kib(gateway.pid())) {
        // Each once as it came and once in the batch that is written, and its answer.
        let caps = (IN_FLIGHT + QUEUED) * 3 * 256;
        let grown = after - before;
        assert!(
            grown < GROWTH_KIB + caps,
            "grew by {grown} KiB, caps {caps} KiB"
        );
    }
    drop(crowd);
    nothing_is_under_way(&client, "g1").await;
    oracle.holds(&gateway, "g1").await;
}
