//! A child that is killed with work under way: who is told what, and what is written again.

use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;
use crate::support::process;

/// F15: each is told within a second that it may have run.
#[tokio::test]
async fn fifty_requests_in_flight_are_lost_at_once_and_none_is_written_again() {
    let gateway = fault_gateway(Server::gremlin("g1").set("restart_policy", "on-failure"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let nothing = json!({"do": "nothing"});
    let killed = async {
        journal_has(&gateway, "g1", "\"lost-", 50).await;
        assert_eq!(client.status("g1").await["in_flight"], 50);
        process::signal(first, Signal::KILL);
        Instant::now()
    };
    let asked = async {
        let answers = deeds_at_once(&gateway, "g1", &nothing, "lost", 50).await;
        (answers, Instant::now())
    };
    let (killed, (answers, answered)) = tokio::join!(killed, asked);
    for answer in &answers {
        assert_eq!(fault_of(answer), server_lost());
    }
    let took = answered - killed;
    assert!(took <= Duration::from_secs(1), "told after {took:?}");

    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["restart_count"], 1, "{status}");
    // SIGKILL has this number on every Unix.
    assert_eq!(status["last_exit_signal"], "SIGKILL", "{status}");
    assert!(status["last_exit_code"].is_null(), "{status}");
    assert_eq!(status["in_flight"], 0, "{status}");
    echoes(&client, "g1", "after").await;
    let second = pid_of(&client, "g1").await;
    assert_ne!(first, second);
    let entries = gateway.journal("g1").entries();
    let again = entries
        .iter()
        .filter(|entry| entry.pid == second && entry.contains("\"lost-"));
    assert_eq!(again.count(), 0);
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}

/// F16: what was not yet written is not lost, and waits for the next life.
#[tokio::test]
async fn what_was_still_queued_is_answered_by_the_next_incarnation() {
    let limits = json!({"max_in_flight": 10});
    let gateway = fault_gateway(Server::gremlin("g1").set("limits", limits));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let (nothing, sleep) = (json!({"do": "nothing"}), json!({"do": "sleep", "ms": 50}));
    let queue = async {
        journal_has(&gateway, "g1", "\"written-", 10).await;
        deeds_at_once(&gateway, "g1", &sleep, "queued", 20).await
    };
    let kill = async {
        let active = "http_server_active_requests{http_request_method=\"POST\"}";
        wait_for("30 requests at the gateway", SOON, async || {
            (metric(&client, active).await > 29.5).then_some(())
        })
        .await;
        assert_eq!(gateway.journal("g1").count("\"queued-"), 0);
        process::signal(first, Signal::KILL);
    };
    let written = deeds_at_once(&gateway, "g1", &nothing, "written", 10);
    let (written, queued, ()) = tokio::join!(written, queue, kill);
    for answer in &written {
        assert_eq!(fault_of(answer), server_lost());
    }
    for answer in &queued {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let second = pid_of(&client, "g1").await;
    let entries = gateway.journal("g1").entries();
    let pids = |text: &str| -> Vec<u32> {
        let with = entries.iter().filter(|entry| entry.contains(text));
        with.map(|entry| entry.pid).collect()
    };
    assert_eq!(pids("\"written-"), [first; 10]);
    assert_eq!(pids("\"queued-"), [second; 20]);
    oracle.holds(&gateway, "g1").await;
}

/// F18: half an answer is no answer.
#[tokio::test]
async fn half_a_line_before_the_end_is_a_lost_request() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let answer = client
        .deed("g1", &json!({"do": "partial", "exit": 1}))
        .await;
    assert_eq!(fault_of(&answer), server_lost());
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["last_exit_code"], 1, "{status}");
    let counted = dropped(&client, "g1", "unfinished_line").await;
    assert!((counted - 1.0).abs() < 0.5, "{counted} counted");
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}

/// F32: the guard is not a single point of failure. On Linux that holds also for what left the server's session, on
/// other systems for its process group.
#[tokio::test]
async fn a_server_whose_guard_is_killed_is_killed_and_restarted() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let guard = process::find(first).expect("the server").parent;
    let of_guard = process::find(guard).expect("the guard").parent;
    assert_eq!(of_guard, gateway.pid(), "the guard is the gateway's child");
    let setsid = process::finds_descendants();
    let away = json!({"do": "fork_grandchild", "setsid": setsid, "ignore_term": true});
    let away = client.deed("g1", &away).await;
    let away = pid_in(&away);
    let nothing = json!({"do": "nothing"});
    let kill = async {
        journal_has(&gateway, "g1", "\"lost-", 5).await;
        process::signal(guard, Signal::KILL);
    };
    let (answers, ()) = tokio::join!(deeds_at_once(&gateway, "g1", &nothing, "lost", 5), kill);
    for answer in &answers {
        assert_eq!(fault_of(answer), server_lost());
    }
    oracle.gone(&gateway, &[first, guard, away]).await;
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["restart_count"], 1, "{status}");
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}

/// F32, of a guard that is killed in the middle of its work: its server is gone, and what that has left does not heed
/// a polite signal.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_guard_was_about_to_end_is_ended_without_it() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let guard = process::find(first).expect("the server").parent;
    let away = json!({"do": "fork_grandchild", "setsid": true, "ignore_term": true});
    let away = pid_in(&client.deed("g1", &away).await);
    process::signal(first, Signal::KILL);
    oracle.gone(&gateway, &[first]).await;
    process::signal(guard, Signal::KILL);
    oracle.gone(&gateway, &[guard, away]).await;
    ready_in(&client, "g1", 2).await;
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}
