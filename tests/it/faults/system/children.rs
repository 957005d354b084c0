//! Servers that the system ends, and servers whose stderr is no text.

use serde_json::json;

use super::*;
use crate::alone::{deeds_at_once, echoes, fault_of, journal_has, pid_of, ready_in, server_lost};
use crate::alone::{fault_gateway, status_where};
use crate::support::oracle::Oracle;
use crate::support::{Server, places};

/// A gremlin that a shell prepares.
fn prepared(script: &str) -> Server {
    let gremlin = places::gremlin();
    let script = format!("{script}; exec \"$0\"");
    Server::gremlin("g1")
        .set("command", "sh")
        .set("args", json!(["-c", script, gremlin]))
}

/// F40: to the gateway it is the same whichever of its limits the system enforces with SIGKILL. That of
/// processor time (`RLIMIT_CPU`) needs no control group, and so no rights, to be set for one process.
#[tokio::test]
async fn a_server_that_the_system_kills_is_lost_and_restarted() {
    let server = prepared("ulimit -t 1").set("request_timeout_ms", 20_000);
    let gateway = fault_gateway(server);
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let nothing = json!({"do": "nothing"});
    let waiting = deeds_at_once(&gateway, "g1", &nothing, "waits", 5);
    let burn = async {
        journal_has(&gateway, "g1", "\"waits-", 5).await;
        client
            .deed("g1", &json!({"do": "burn", "nonce": "burns"}))
            .await
    };
    let (waiting, burnt) = tokio::join!(waiting, burn);
    for answer in waiting.iter().chain([&burnt]) {
        assert_eq!(fault_of(answer), server_lost());
    }
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["last_exit_signal"], "SIGKILL", "{status}");
    assert_eq!(status["restart_count"], 1, "{status}");
    echoes(&client, "g1", "after").await;
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}

/// F45: what a terminal would obey is escaped, what is no UTF-8 is replaced, and no line is kept whole
/// that has no end.
#[tokio::test]
async fn stderr_that_is_no_text_is_shown_as_text_and_kept_in_bounds() {
    let noise = r"printf '\033[31mred\033[0m\000\377\302\n' >&2; head -c 10485760 /dev/zero | tr '\0' x >&2; printf '\nlast\n' >&2";
    let gateway = fault_gateway(prepared(noise));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let status = status_where(&client, "g1", "with its last words", SOON, |status| {
        let mut tail = status["stderr_tail"].as_array().into_iter().flatten();
        tail.any(|line| line == "last")
    })
    .await;
    let tail = status["stderr_tail"].as_array().expect("lines");
    let lines: Vec<&str> = tail.iter().filter_map(serde_json::Value::as_str).collect();
    let long = "x".repeat(2048);
    let red = "\\u{1b}[31mred\\u{1b}[0m\\u{0}\u{fffd}\u{fffd}";
    assert_eq!(lines, [red, &long, "last"]);
    let logs = gateway.logs().text();
    let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!raw(&logs), "a control character is in the log");
    assert!(logs.len() < 1024 * 1024, "{} bytes logged", logs.len());
    oracle.holds(&gateway, "g1").await;
}
