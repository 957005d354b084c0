//! Whether a server is alive: what it says to a probe, and when silence means nothing.

use rustix::process::Signal;

use super::*;

fn probes(interval_ms: u64, timeout_ms: u64, misses: u64) -> Value {
    json!({
        "probe_interval_ms": interval_ms,
        "probe_timeout_ms": timeout_ms,
        "probe_misses": misses,
    })
}

/// Whether anything was ever held against a server.
fn was_blamed(gateway: &Gateway, server_id: &str) -> Vec<Value> {
    let mut story = story(gateway, server_id);
    story.retain(is_change);
    story
}

/// F50: a server with one thread answers no probe while it is at work.
#[tokio::test]
async fn silence_while_a_call_runs_is_not_held_against_a_server() {
    let server = Server::gremlin("g1").set("limits", probes(100, 100, 1));
    let gateway = fault_gateway(server);
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    // Far apart enough for a probe to be under way when some of them come, and close enough for one to wait.
    for turn in 0..2 {
        let block = json!({"do": "block", "ms": 1900, "say": "done", "nonce": turn.to_string()});
        assert_eq!(echoed(&client.deed("g1", &block).await), "done");
        let asked = gateway.journal("g1").count_method("ping");
        wait_until("the next probe", SOON, || {
            gateway.journal("g1").count_method("ping") > asked
        })
        .await;
    }
    assert_eq!(was_blamed(&gateway, "g1"), [Value::Null; 0]);
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.holds(&gateway, "g1").await;
}

/// F51: the same silence of an idle server shows at once, and ends it the third time.
#[tokio::test]
async fn an_idle_server_that_answers_no_probe_is_unhealthy_and_then_restarted() {
    let server = Server::gremlin("g1").set("limits", probes(300, 200, 3));
    let gateway = fault_gateway(server.orders(&json!({"silent_ping": true})));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    let status = status_where(&client, "g1", "unhealthy", SOON, |status| {
        status["status"] == "unhealthy"
    })
    .await;
    assert_eq!(status["incarnation"], 1, "{status}");
    assert_eq!(status["last_error"], "did not answer the last probe");
    let health = client.get("/health").await.json();
    assert_eq!(health["status"], "degraded", "{health}");
    oracle.gone(&gateway, &[first]).await;
    let reasons: Vec<_> = was_blamed(&gateway, "g1")
        .iter()
        .take(3)
        .map(|event| event["reason"].clone())
        .collect();
    let missed = "did not answer the last probe";
    assert_eq!(
        reasons,
        [missed, missed, "did not answer 3 probes in a row"]
    );
    let status = ready_in(&client, "g1", 2).await;
    assert_eq!(status["restart_count"], 1, "{status}");
    let of_first = |entry: &crate::support::journal::Entry| {
        entry.pid == first && entry.json()["method"] == "ping"
    };
    let asked = gateway.journal("g1").entries();
    assert_eq!(asked.iter().filter(|entry| of_first(entry)).count(), 3);
    // What is alive by its answers is not restarted for its silence on probes.
    echoes(&client, "g1", "after").await;
    ordered(&client, "g1", "stop").await;
    oracle.holds(&gateway, "g1").await;
}

/// F62: the time that the whole gateway slept is nobody's fault: not of servers that were probed, that
/// were starting, or that had work, and not of the requests they answered meanwhile.
#[tokio::test]
async fn a_gateway_that_slept_blames_no_server_for_it() {
    const SLEEP: Duration = Duration::from_secs(10);
    let ids: Vec<String> = (1..=5).map(|number| format!("g{number}")).collect();
    // Probed all the time, and a single miss would be the end.
    let strict = ids.iter().map(|id| {
        Server::gremlin(id)
            .set("limits", probes(100, 200, 1))
            .autostart()
    });
    // Its time to start is shorter than the sleep, and long for a busy machine.
    let slow = Server::gremlin("slow")
        .orders(&json!({"slow_start_ms": 1500}))
        .set("startup_timeout_ms", 8000);
    let mut builder = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(slow);
    for server in strict {
        builder = builder.server(server);
    }
    let gateway = builder.start();
    let client = gateway.client();
    let mut all: Vec<&str> = ids.iter().map(String::as_str).collect();
    all.push("control");
    let oracle = Oracle::before(&gateway, &all).await;
    let sleeps = async {
        journal_has(&gateway, "g1", "\"asleep-", 1).await;
        journal_has(&gateway, "slow", "\"initialize\"", 1).await;
        gateway.signal(Signal::STOP);
        tokio::time::sleep(SLEEP).await;
        gateway.signal(Signal::CONT);
    };
    let answered = json!({"do": "sleep", "ms": 1000, "say": "done"});
    let starting = async { client.call("slow", "echo", &json!({"text": "up"})).await };
    let (answers, started, ()) = tokio::join!(
        deeds_at_once(&gateway, "g1", &answered, "asleep", 1),
        starting,
        sleeps
    );
    assert_eq!(echoed(&answers[0]), "done");
    assert_eq!(echoed(&started), "up");
    // Wide awake: all of them are probed again, several times.
    for id in &ids {
        let asked = gateway.journal(id).count_method("ping");
        wait_until("more probes", SOON, || {
            gateway.journal(id).count_method("ping") > asked + 3
        })
        .await;
    }
    all.push("slow");
    for id in all {
        assert_eq!(was_blamed(&gateway, id), [Value::Null; 0], "{id}");
        let status = client.status(id).await;
        assert_eq!(status["status"], "ready", "{status}");
        assert_eq!(status["incarnation"], 1, "{status}");
    }
    // It was not there when the oracle looked.
    ordered(&client, "slow", "stop").await;
    oracle.holds(&gateway, "g1").await;
}
