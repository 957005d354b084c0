//! Handshakes with servers of either era, and with those that do it wrong.

use super::*;

/// F11: a handshake that was answered wrongly is a failed start, and the process is stopped by as much of
/// the ladder as it takes.
#[tokio::test]
async fn a_handshake_that_is_answered_wrongly_is_a_failed_start() {
    let cases = [
        (
            "error",
            false,
            false,
            "no handshake today",
            json!(0),
            json!(null),
        ),
        (
            "version",
            true,
            false,
            "protocol version",
            json!(null),
            json!("SIGTERM"),
        ),
        (
            "not_object",
            true,
            true,
            "is not one",
            json!(null),
            json!("SIGKILL"),
        ),
    ];
    let mut builder = Gateway::builder().fault_profile().server(Server::control());
    for (fault, ignore_eof, ignore_term, ..) in &cases {
        let orders = json!({
            "fail_handshake": fault, "ignore_eof": ignore_eof, "ignore_term": ignore_term,
        });
        builder = builder.server(Server::gremlin(fault).orders(&orders));
    }
    let gateway = builder.start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control"]).await;
    let asked = cases.iter().map(|(server_id, ..)| {
        let client = client.clone();
        async move {
            let answer = client.call(server_id, "echo", &json!({"text": "up"})).await;
            assert_eq!(
                fault_of(&answer),
                fault(503, "server_starting", "no"),
                "{server_id}"
            );
        }
    });
    futures_util::future::join_all(asked).await;
    for (server_id, _, _, why, code, signal) in &cases {
        let status = failed(&client, server_id).await;
        let reason = status["last_error"].as_str().unwrap();
        assert!(
            reason.contains("handshake failed") && reason.contains(why),
            "{server_id}: {reason}"
        );
        assert_eq!(&status["last_exit_code"], code, "{status}");
        assert_eq!(&status["last_exit_signal"], signal, "{status}");
        assert_eq!(status["incarnation"], 5, "{status}");
        assert!(status["pid"].is_null(), "{status}");
        assert_eq!(gateway.journal(server_id).count("\"echo\""), 0);
    }
    let left = process::descendants(gateway.pid());
    assert_eq!(left.len(), 2, "control and its guard: {left:?}");
    oracle.holds(&gateway, "error").await;
}

/// F12: a server of the modern era is asked nothing that only the legacy era knows, at the start and later.
#[tokio::test]
async fn a_modern_server_is_ready_and_stays_so() {
    const PERIODS: usize = 10;
    let limits = json!({"probe_interval_ms": 100, "probe_timeout_ms": 5000, "probe_misses": 1});
    let server = Server::gremlin("g1").set("limits", limits);
    let gateway = fault_gateway(server.orders(&json!({"era": "modern"})));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let status = client.status("g1").await;
    assert_eq!(status["protocol"], "2026-07-28", "{status}");
    let journal = gateway.journal("g1");
    wait_until("ten probes", SOON, || {
        journal.count_method("server/discover") > PERIODS
    })
    .await;
    for method in ["initialize", "notifications/initialized", "ping"] {
        assert_eq!(journal.count_method(method), 0, "{method}");
    }
    let status = client.status("g1").await;
    assert_eq!(status["status"], "ready", "{status}");
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.holds(&gateway, "g1").await;
}

/// F13: a legacy server that says nothing to what it does not know is found out by waiting, once.
#[tokio::test]
async fn a_legacy_server_that_is_silent_on_the_probe_is_found_out_once() {
    const ERA_PROBE: u64 = 400;
    let limits = json!({"era_probe_ms": ERA_PROBE});
    let server = Server::gremlin("g1").set("limits", limits);
    let gateway = fault_gateway(server.orders(&json!({"era": "legacy", "silent_probe": true})));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    exits(&client, "g1", 1).await;
    ready_in(&client, "g1", 2).await;
    echoes(&client, "g1", "after").await;
    let methods = |of_first: bool| -> Vec<String> {
        let entries = gateway.journal("g1").entries();
        let of_life = entries
            .iter()
            .filter(|entry| (entry.pid == first) == of_first);
        let methods =
            of_life.filter_map(|entry| entry.json()["method"].as_str().map(str::to_owned));
        methods.take(4).collect()
    };
    // What was given up is not cancelled: a server that takes no probe takes no cancellation either.
    let asked_first = methods(true);
    assert_eq!(asked_first[0], "server/discover", "{asked_first:?}");
    assert!(
        asked_first.contains(&"initialize".to_owned()),
        "{asked_first:?}"
    );
    let asked_then = methods(false);
    assert_eq!(asked_then[..2], ["initialize", "notifications/initialized"]);
    let events = gateway.logs().of_server("g1");
    let of = |message: &'static str| {
        let of_message = move |event: &&Value| event["message"] == message;
        events.iter().filter(of_message)
    };
    let took: Vec<u64> = of("starting server")
        .zip(of("server is ready"))
        .map(|(start, ready)| millis_between(start, ready))
        .collect();
    assert!(took[0] >= ERA_PROBE, "{took:?}");
    assert!(took[1] < ERA_PROBE, "{took:?}");
    oracle.holds(&gateway, "g1").await;
}

/// F14: what a server has to say on stderr about the probe blocks nobody.
#[tokio::test]
async fn a_legacy_server_that_floods_stderr_on_the_probe_is_ready() {
    let gateway = fault_gateway(
        Server::gremlin("g1").orders(&json!({"era": "legacy", "probe_stderr": 1024 * 1024})),
    );
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let status = client.status("g1").await;
    assert_eq!(status["status"], "ready", "{status}");
    assert_eq!(status["incarnation"], 1, "{status}");
    assert_eq!(status["protocol"], "2025-11-25", "{status}");
    assert_eq!(gateway.journal("g1").count_method("server/discover"), 1);
    oracle.holds(&gateway, "g1").await;
}
