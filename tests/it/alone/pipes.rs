//! Pipes that do not do as pipes should: held open, closed early, not read.

use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;
use crate::support::process;

/// From the end of the child to the answers, with what it left behind holding its stdout: the drain's cap
/// of 2 s and a margin.
const DRAINED: Duration = Duration::from_millis(2500);

/// Kills `g1` with a request under way while a grandchild holds its stdout; gives the time to the answer.
async fn killed_with_a_grandchild(grandchild: &Value) -> (Gateway, Duration) {
    // The grandchild outlives the drain, so that it is not its end that ends the wait.
    let limits = json!({"term_grace_ms": 4000});
    // And the request's own deadline is not the drain's.
    let server = Server::gremlin("g1").set("limits", limits);
    let gateway = fault_gateway(server.set("request_timeout_ms", json!(6000)));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let grandchild = pid_in(&client.deed("g1", grandchild).await);
    let nothing = json!({"do": "nothing"});
    let kill = async {
        journal_has(&gateway, "g1", "\"lost-", 1).await;
        process::signal(first, Signal::KILL);
        Instant::now()
    };
    let ask = async {
        let answers = deeds_at_once(&gateway, "g1", &nothing, "lost", 1).await;
        (answers, Instant::now())
    };
    let (killed, (answers, answered)) = tokio::join!(kill, ask);
    assert_eq!(fault_of(&answers[0]), server_lost());
    assert!(
        process::is_alive(grandchild),
        "it ended before the drain did"
    );
    oracle.gone(&gateway, &[first, grandchild]).await;
    ready_in(&client, "g1", 2).await;
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
    (gateway, answered - killed)
}

/// F19: the answer waits for no more than the drain.
#[tokio::test]
async fn a_grandchild_that_holds_stdout_does_not_hide_the_end() {
    let grandchild = json!({"do": "fork_grandchild", "hold_stdout": true, "ignore_term": true});
    let (_gateway, took) = killed_with_a_grandchild(&grandchild).await;
    assert!(took <= DRAINED, "told after {took:?}");
}

/// F20: what it writes is not taken for an answer, and does not keep the reader for ever.
#[tokio::test]
async fn a_grandchild_that_keeps_writing_does_not_hide_the_end() {
    let grandchild = json!({"do": "fork_grandchild", "chatter": true, "ignore_term": true});
    let (gateway, took) = killed_with_a_grandchild(&grandchild).await;
    assert!(took <= DRAINED, "told after {took:?}");
    assert!(dropped(&gateway.client(), "g1", "unknown_reply").await > 0.5);
}

/// F21: what is under way is lost before its own deadline, and the process is stopped.
#[tokio::test]
async fn a_server_that_closes_its_stdout_and_lives_on_is_restarted() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let asked = Instant::now();
    let (nothing, close) = (json!({"do": "nothing"}), json!({"do": "close_stdout"}));
    let close = async {
        journal_has(&gateway, "g1", "\"lost-", 3).await;
        client.deed("g1", &close).await
    };
    let (answers, closing) =
        tokio::join!(deeds_at_once(&gateway, "g1", &nothing, "lost", 3), close);
    for answer in answers.iter().chain([&closing]) {
        assert_eq!(fault_of(answer), server_lost());
    }
    // Sooner than their own deadline of 2 s would have ended them.
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(1900), "told after {took:?}");
    oracle.gone(&gateway, &[first]).await;
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["restart_count"], 1, "{status}");
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}

/// F22: nothing can be written any more, and the request that found out is honest about it.
#[tokio::test]
async fn a_server_that_closes_its_stdin_and_lives_on_is_restarted() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let closed = client.deed("g1", &json!({"do": "close_stdin"})).await;
    assert_eq!(echoed(&closed), "stdin is closed");
    // No byte of it can be written to the first life: the second answers it.
    echoes(&client, "g1", "after").await;
    let second = pid_of(&client, "g1").await;
    let entries = gateway.journal("g1").entries();
    let after: Vec<u32> = entries
        .iter()
        .filter(|entry| entry.contains("\"after\""))
        .map(|entry| entry.pid)
        .collect();
    assert_eq!(after, [second]);
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}

/// F23: only the request whose bytes are stuck in the pipe is lost.
#[tokio::test]
async fn a_server_that_stops_reading_is_restarted_and_loses_one_request() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let stopped = client.deed("g1", &json!({"do": "stop_reading"})).await;
    assert_eq!(echoed(&stopped), "not reading any more");
    // Each is more than a pipe of 64 KiB holds.
    let big = json!({"do": "progress", "padding": "p".repeat(100 * 1024)});
    let health = async {
        let mut took = Vec::new();
        while client.status("g1").await["incarnation"] == 1 {
            let asked = Instant::now();
            assert_eq!(client.get("/health").await.status, 200);
            took.push(asked.elapsed());
        }
        took.sort_unstable();
        took
    };
    let (answers, took) = tokio::join!(deeds_at_once(&gateway, "g1", &big, "big", 20), health);
    // The slowest one is the machine's as much as the gateway's.
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(
        median < Duration::from_millis(50) && slowest < Duration::from_millis(250),
        "health took {median:?}, at most {slowest:?}, beside a stalled server"
    );
    let (answered, lost): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((answered.len(), lost.len()), (19, 1));
    assert_eq!(fault_of(lost[0]), server_lost());
    let second = pid_of(&client, "g1").await;
    let entries = gateway.journal("g1").entries();
    let whole = entries.iter().filter(|entry| entry.contains("\"big-"));
    let pids: Vec<u32> = whole.map(|entry| entry.pid).collect();
    assert_eq!(pids, [second; 19]);
    oracle.gone(&gateway, &[first]).await;
    oracle.holds(&gateway, "g1").await;
}

/// F23: of many requests in one write, those that the pipe did not take are not lost with the others.
#[tokio::test]
async fn a_server_that_stops_reading_loses_what_is_in_the_pipe_and_nothing_else() {
    const COUNT: usize = 120;
    const PADDING: usize = 1024;
    /// What a pipe holds, and what the gremlin's reader may have taken out of it beforehand.
    const TAKEN: usize = (64 + 8) * 1024;
    // Those that wait behind the stall must live to see the next child: a stall, a stop and a start.
    let patient = Server::gremlin("g1").set("request_timeout_ms", json!(6000));
    let gateway = fault_gateway(patient);
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let stopped = client
        .deed("g1", &json!({"do": "stop_reading", "ms": 800}))
        .await;
    assert_eq!(echoed(&stopped), "not reading any more");
    // While this one is stuck in the pipe the others gather; once it is read nothing else is.
    let stuck = json!({"do": "stop_reading", "padding": "p".repeat(100 * 1024)});
    let small = json!({"do": "count", "padding": "p".repeat(PADDING)});
    let gathered = async {
        status_where(
            &client,
            "g1",
            "with the big one under way",
            SOON,
            |status| status["in_flight"] == 1,
        )
        .await;
        deeds_at_once(&gateway, "g1", &small, "small", COUNT).await
    };
    let (stuck, answers) =
        tokio::join!(deeds_at_once(&gateway, "g1", &stuck, "stuck", 1), gathered);
    assert_eq!(echoed(&stuck[0]), "not reading any more");
    let (answered, lost): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 200);
    for answer in &lost {
        assert_eq!(fault_of(answer), server_lost());
    }
    // One of them may have been written in part.
    let most = TAKEN / PADDING + 1;
    assert!(
        (1..=most).contains(&lost.len()),
        "{} lost, 1 to {most} can have been in the pipe",
        lost.len()
    );
    let second = pid_of(&client, "g1").await;
    let entries = gateway.journal("g1").entries();
    let read = entries.iter().filter(|entry| entry.contains("\"small-"));
    let pids: Vec<u32> = read.map(|entry| entry.pid).collect();
    assert_eq!(pids, vec![second; answered.len()]);
    oracle.holds(&gateway, "g1").await;
}

/// Lines without end that are no messages keep neither the server's own deadline, nor an operator, nor another server, nor
/// the end of the gateway waiting.
#[tokio::test]
async fn a_server_that_floods_its_stdout_is_ended_as_any_other() {
    let flood = Server::new("flood", "yes", &[]).set("startup_timeout_ms", 1000);
    let noise = Server::new("noise", "sh", &["-c", "yes >&2"]).set("startup_timeout_ms", 60_000);
    let mut gateway = Gateway::builder()
        // A line of the log for each of theirs would be what is measured.
        .set("log", json!({"level": "info", "format": "json"}))
        .server(flood)
        .server(noise.autostart())
        .server(Server::gremlin("g1").autostart())
        .start();
    let client = gateway.client();
    let began = Instant::now();
    let answer = client.call("flood", "echo", &json!({"text": "x"})).await;
    assert_eq!(
        answer.json()["error"]["error_code"],
        "server_starting",
        "{}",
        answer.text()
    );
    assert!(began.elapsed() < SOON / 2, "after {:?}", began.elapsed());
    wait_for("the flood to be ended", SOON, async || {
        let error = client.status("flood").await["last_error"].clone();
        error.as_str()?.contains("startup_timeout_ms").then_some(())
    })
    .await;
    client.post("/servers/flood/start", "").await;
    echoes(&client, "g1", "meanwhile").await;
    let stopped = client.post("/servers/flood/stop?now&wait", "").await;
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    client.post("/servers/flood/start", "").await;
    gateway.signal(Signal::TERM);
    let exit = gateway.ended(Duration::from_secs(12)).await;
    assert!(exit.success(), "{exit:?}");
}
