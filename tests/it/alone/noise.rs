//! Noise and load on the pipes beside the answers: everything is answered all the same.

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;
use crate::support::process;

/// F43: who looks at the log at its usual level is not flooded either.
#[tokio::test]
async fn lines_that_are_no_messages_are_counted_and_hide_no_answer() {
    const LINES: u32 = 10_000;
    let gateway = Gateway::builder()
        .fault_profile()
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::control())
        .server(Server::gremlin("g1").set("request_timeout_ms", 20_000))
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let logged = gateway.logs().lines().len();
    for turn in 1..=3 {
        let garbage = json!({"do": "garbage", "lines": LINES});
        let answer = client.deed("g1", &garbage).await;
        assert_eq!(echoed(&answer), "that was garbage");
        let counted = dropped(&client, "g1", "garbage_line").await;
        assert!(
            (counted - f64::from(turn * LINES)).abs() < 0.5,
            "{counted} counted after {turn} times {LINES}"
        );
    }
    let logged = gateway.logs().lines().len() - logged;
    assert!(logged <= 5, "{logged} lines logged");
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.holds(&gateway, "g1").await;
}

/// F44: who writes much to stderr is not blocked by it, and does not fill the log.
#[tokio::test]
async fn a_flood_on_stderr_delays_nothing_and_is_not_kept() {
    const LINE: usize = 64 * 1024;
    // A gigabyte, of whole lines.
    const BYTES: usize = 16 * 1024 * LINE;
    let gateway = fault_gateway(Server::gremlin("g1").set("request_timeout_ms", 60_000));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    // Lines that are longer than what is kept of one, so that the most bytes arrive in the least time.
    let flood = json!({"do": "stderr", "bytes": BYTES, "width": LINE, "line": "the last words"});
    let answer = client.deed("g1", &flood).await;
    assert_eq!(echoed(&answer), "complained");
    let status = status_where(&client, "g1", "with its last words", SOON, |status| {
        let tail = status["stderr_tail"].as_array().expect("a tail");
        let last = tail.last().and_then(Value::as_str).unwrap_or_default();
        last.contains("the last words")
    })
    .await;
    assert_eq!(status["stderr_tail"].as_array().unwrap().len(), 20);
    let logged = gateway.logs().text().len();
    assert!(logged < 1024 * 1024, "{logged} bytes logged");
    oracle.holds(&gateway, "g1").await;
}

/// F24: a child that does not read while its answers are not read would wait for ever, were reading and
/// writing one task.
#[tokio::test]
async fn both_pipes_full_at_once_is_no_deadlock() {
    let gateway = fault_gateway(Server::gremlin("g1").set("request_timeout_ms", 20_000));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let big = gateway.client();
    let texts = (0..40).map(|number| format!("{number}-{}", "x".repeat(200 * 1024)));
    let asked = texts.map(|text| {
        let big = &big;
        async move {
            let answer = big.call("g1", "echo", &json!({"text": text})).await;
            assert!(echoed(&answer) == text, "another text came back");
        }
    });
    let control = async {
        for _ in 0..20 {
            oracle
                .control_answers(&gateway, Duration::from_secs(1))
                .await;
        }
    };
    tokio::join!(join_all(asked), control);
    drop(big);
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.holds(&gateway, "g1").await;
}

/// F26.
#[tokio::test]
async fn a_stopped_process_costs_its_callers_a_deadline_and_is_restarted_by_its_probes() {
    let limits = json!({"probe_interval_ms": 200, "probe_timeout_ms": 200, "probe_misses": 3});
    let gateway = fault_gateway(Server::gremlin("g1").set("limits", limits));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    process::signal(first, Signal::STOP);
    let asked = Instant::now();
    let answers = deeds_at_once(&gateway, "g1", &json!({"do": "count"}), "stuck", 5).await;
    let took = asked.elapsed();
    for answer in &answers {
        assert_eq!(fault_of(answer), fault(504, "server_timeout", "unknown"));
    }
    let (least, most) = (Duration::from_secs(2), Duration::from_secs(3));
    assert!(least <= took && took <= most, "took {took:?}");
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["restart_count"], 1, "{status}");
    echoes(&client, "g1", "after").await;
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}
