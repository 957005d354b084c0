//! Stops that a server does not make easy: they end within the graces, by the mildest means that works.

use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;
use crate::support::process;
use crate::support::wait::wait_until;

/// `stop_grace_ms` and `term_grace_ms` of the fault profile.
const GRACE: Duration = Duration::from_millis(200);
const BOTH_GRACES: Duration = Duration::from_millis(700);
/// What the signals, the reaping and the answer may take on top on a loaded machine.
const MARGIN: Duration = Duration::from_millis(800);

const SIGKILL: &str = "SIGKILL";
const SIGTERM: &str = "SIGTERM";

/// Stops `g1` and gives how long that took and its last status.
async fn stop(client: &Client) -> (Duration, Value) {
    let asked = Instant::now();
    let answer = client.post("/servers/g1/stop?wait&now", "").await;
    let took = asked.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    (took, client.status("g1").await)
}

async fn stops_within(
    orders: &Value,
    stopped: bool,
    signal: &str,
    least: Duration,
    most: Duration,
) {
    let gateway = fault_gateway(Server::gremlin("g1").orders(orders));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let pid = pid_of(&client, "g1").await;
    if stopped {
        process::signal(pid, Signal::STOP);
        wait_until("a stopped process", SOON, || {
            process::find(pid).is_some_and(|process| process.state == 'T')
        })
        .await;
    }
    let (took, status) = stop(&client).await;
    assert!(
        least <= took && took <= most,
        "{took:?}, {least:?} to {most:?}"
    );
    assert_eq!(status["status"], "stopped", "{status}");
    assert_eq!(status["last_exit_signal"], signal, "{status}");
    let logged = gateway.logs().text().contains("stopped by SIGKILL");
    assert_eq!(logged, signal == SIGKILL);
    assert!(status["pid"].is_null(), "{status}");
    oracle.gone(&gateway, &[pid]).await;
    let answer = client.call("g1", "echo", &json!({"text": "no"})).await;
    assert_eq!(fault_of(&answer), fault(503, "server_stopped", "no"));
    let started = client.post("/servers/g1/start?wait", "").await;
    assert_eq!(started.status, 200, "{}", started.text());
    echoes(&client, "g1", "again").await;
    oracle.holds(&gateway, "g1").await;
}

/// F28: and the stop is over then.
#[tokio::test]
async fn a_server_that_ignores_sigterm_is_killed_after_both_graces() {
    let orders = json!({"ignore_term": true, "ignore_eof": true});
    stops_within(&orders, false, SIGKILL, BOTH_GRACES, BOTH_GRACES + MARGIN).await;
}

#[tokio::test]
async fn a_server_that_ignores_the_end_of_its_stdin_is_asked_by_sigterm() {
    let orders = json!({"ignore_eof": true});
    stops_within(&orders, false, SIGTERM, GRACE, BOTH_GRACES).await;
}

/// F27: the ladder wakes what is stopped, so that it gets to see the SIGTERM.
#[tokio::test]
async fn a_stopped_process_is_woken_to_end() {
    stops_within(&json!({}), true, SIGTERM, GRACE, BOTH_GRACES).await;
}

/// F27: woken, it still does not end, and is killed; the log tells that it came to that.
#[tokio::test]
async fn a_stopped_process_that_ignores_sigterm_is_killed_after_both_graces() {
    let orders = json!({"ignore_term": true, "ignore_eof": true});
    stops_within(&orders, true, SIGKILL, BOTH_GRACES, BOTH_GRACES + MARGIN).await;
}

/// A request under way when the operator stops its server is not left hanging.
#[tokio::test]
async fn a_request_under_way_at_a_stop_is_lost() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let stopped = async {
        journal_has(&gateway, "g1", "\"lost-", 1).await;
        stop(&client).await
    };
    let nothing = json!({"do": "nothing"});
    let asked = deeds_at_once(&gateway, "g1", &nothing, "lost", 1);
    let (answers, (took, status)) = tokio::join!(asked, stopped);
    assert_eq!(fault_of(&answers[0]), server_lost());
    assert!(took <= BOTH_GRACES, "{took:?}");
    assert_eq!(status["last_exit_code"], 0, "{status}");
    // The footprint is compared with that of a gateway whose server runs.
    let started = client.post("/servers/g1/start?wait", "").await;
    assert_eq!(started.status, 200, "{}", started.text());
    oracle.holds(&gateway, "g1").await;
}
