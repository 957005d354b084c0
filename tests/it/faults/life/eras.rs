//! Handshakes with servers of either era, and with those that do it wrong.

use super::*;
use crate::support::mcp::{Session, modern_call, modern_post};

/// A call of a modern client, for which a server that nobody knows is asked for its era first.
async fn modern_echo(client: &Client, server_id: &str, text: &str) {
    let call = modern_call("echo", &json!({"text": text}), &json!({}));
    let path = format!("/{server_id}/mcp");
    let answer = client.send(modern_post(client, &path, &call)).await;
    assert_eq!(echoed(&answer), text);
}

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
        // Five that count, and the one that the era probe may have spoilt.
        assert_eq!(status["incarnation"], 6, "{status}");
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
    modern_echo(&client, "g1", "first").await;
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
    modern_echo(&client, "g1", "first").await;
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
    modern_echo(&client, "g1", "first").await;
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let status = client.status("g1").await;
    assert_eq!(status["status"], "ready", "{status}");
    assert_eq!(status["incarnation"], 1, "{status}");
    assert_eq!(status["protocol"], "2025-11-25", "{status}");
    assert_eq!(gateway.journal("g1").count_method("server/discover"), 1);
    oracle.holds(&gateway, "g1").await;
}

/// RB01: a legacy server that takes the era probe for its end is ready in its second life, without a delay
/// and without a failed start, under every policy, and is never probed again. Who asked first has waited for it.
#[tokio::test]
async fn a_server_that_does_not_survive_the_probe_is_started_again_with_initialize() {
    let cases = [
        ("exit", "never"),
        ("exit", "on-failure"),
        ("close_stdout", "never"),
        ("close_stdout", "always"),
    ];
    let mut builder = Gateway::builder().fault_profile();
    let named = cases.map(|(fault, policy)| (format!("{fault}-{policy}"), fault, policy));
    for (server_id, fault, policy) in &named {
        let server = Server::gremlin(server_id)
            .set("restart_policy", *policy)
            // A start that is counted would be the last one.
            .set("restart_limit", json!({"count": 1}));
        builder = builder.server(server.orders(&json!({"fail_probe": fault})));
    }
    let gateway = builder.start();
    let client = gateway.client();
    for (server_id, _, policy) in &named {
        modern_echo(&client, server_id, "before").await;
        let status = client.status(server_id).await;
        assert_eq!(status["incarnation"], 2, "{status}");
        assert_eq!(status["protocol"], "2025-11-25", "{status}");
        assert_eq!(status["last_error"], Value::Null, "{status}");
        for pause in pauses(&gateway, server_id) {
            assert!(pause < 1000, "{server_id} waited {pause} ms");
        }
        let journal = gateway.journal(server_id);
        assert_eq!(journal.count_method("server/discover"), 1, "{server_id}");
        assert_eq!(journal.count("\"before\""), 1, "{server_id}");
        if *policy == "always" {
            exits(&client, server_id, 1).await;
        } else {
            ordered(&client, server_id, "restart").await;
        }
        ready_in(&client, server_id, 3).await;
        assert_eq!(journal.count_method("server/discover"), 1, "{server_id}");
    }
}

/// RB01: so is one that the probe has silenced for good, once the time for its handshake is over.
#[tokio::test]
async fn a_server_that_the_probe_silences_is_started_again_with_initialize() {
    let server = Server::gremlin("g1")
        .set("restart_policy", "never")
        .set("startup_timeout_ms", 1500)
        .set("limits", json!({"era_probe_ms": 200}));
    let gateway = fault_gateway(server.orders(&json!({"fail_probe": "wedge"})));
    let client = gateway.client();
    // Its call may be refused: it waits for no more than one start.
    let call = modern_call("echo", &json!({"text": "before"}), &json!({}));
    client.send(modern_post(&client, "/g1/mcp", &call)).await;
    let answer = client.post("/servers/g1/start?wait", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let status = client.status("g1").await;
    assert_eq!(
        (&status["status"], &status["incarnation"]),
        (&json!("ready"), &json!(2))
    );
    echoes(&client, "g1", "after").await;
    assert_eq!(gateway.journal("g1").count_method("server/discover"), 1);
}

/// RB01: what ended a server once is known after a restart of the gateway: it is ready in its first life.
#[tokio::test]
async fn a_server_that_does_not_survive_the_probe_is_known_after_a_restart_of_the_gateway() {
    let state = tempfile::tempdir().unwrap();
    let gateway = || {
        let server = Server::gremlin("g1");
        let server = server.orders(&json!({"fail_probe": "exit"}));
        let builder = Gateway::builder().fault_profile().server(server);
        builder
            .set("state_dir", state.path().to_str().unwrap())
            .start()
    };
    for life in [2, 1] {
        let gateway = gateway();
        let client = gateway.client();
        modern_echo(&client, "g1", "hello").await;
        let status = client.status("g1").await;
        assert_eq!(status["incarnation"], life, "{status}");
        gateway.stop().await;
    }
}

/// A shared server that knows both eras has a process for each that is used, and no more.
#[tokio::test]
async fn each_client_is_served_in_its_own_era() {
    let gateway = fault_gateway(Server::gremlin("g1").orders(&json!({"era": "dual"})));
    let client = gateway.client();
    let session = Session::open(&client, "/g1/mcp", "2025-11-25").await;
    assert_eq!(
        session.call("echo", &json!({"text": "legacy"})).await,
        "legacy"
    );
    let status = client.status("g1").await;
    assert_eq!(status["protocol"], "2025-11-25", "{status}");
    assert!(status["instances"].is_null(), "one process: {status}");
    for _ in 0..3 {
        modern_echo(&client, "g1", "modern").await;
    }
    assert_eq!(
        session.call("echo", &json!({"text": "again"})).await,
        "again"
    );
    let status = client.status("g1").await;
    let spoken = |at: usize| status["instances"][at]["protocol"].clone();
    assert_eq!(
        (spoken(0), spoken(1)),
        (json!("2025-11-25"), json!("2026-07-28"))
    );
    assert_eq!(
        status["instances"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );
    let journal = gateway.journal("g1");
    assert_eq!(journal.count_method("initialize"), 1);
    assert_eq!(journal.count_method("server/discover"), 1);
    // An order is for both.
    ordered(&client, "g1", "stop").await;
    let call = modern_call("echo", &json!({"text": "no"}), &json!({}));
    let answer = client.send(modern_post(&client, "/g1/mcp", &call)).await;
    assert!(answer.text().contains("-31003"), "{}", answer.text());
    ordered(&client, "g1", "start").await;
    modern_echo(&client, "g1", "modern").await;
    assert_eq!(
        session.call("echo", &json!({"text": "legacy"})).await,
        "legacy"
    );
}

/// A server of one era has one process, whoever comes first; the other clients are bridged to it.
#[tokio::test]
async fn a_server_of_one_era_serves_clients_of_both_by_one_process() {
    let servers = [("legacy", "2025-11-25"), ("modern", "2026-07-28")];
    for legacy_first in [true, false] {
        let mut builder = Gateway::builder().fault_profile();
        for (era, _) in servers {
            builder = builder.server(Server::gremlin(era).orders(&json!({"era": era})));
        }
        let gateway = builder.start();
        let client = gateway.client();
        for (server_id, protocol) in servers {
            let path = format!("/{server_id}/mcp");
            if !legacy_first {
                modern_echo(&client, server_id, "modern").await;
            }
            let session = Session::open(&client, &path, "2025-11-25").await;
            assert_eq!(
                session.call("echo", &json!({"text": "legacy"})).await,
                "legacy"
            );
            modern_echo(&client, server_id, "modern").await;
            let said = session.call("echo", &json!({"text": "again"})).await;
            assert_eq!(said, "again");
            let status = client.status(server_id).await;
            assert!(status["instances"].is_null(), "{status}");
            assert_eq!(status["protocol"], protocol, "{status}");
            assert_eq!(status["incarnation"], 1, "{status}");
        }
    }
}

/// A pin is one process of that era, for clients of both.
#[tokio::test]
async fn a_server_that_is_pinned_to_an_era_has_one_process() {
    for (era, protocol) in [("legacy", "2025-11-25"), ("modern", "2026-07-28")] {
        let server = Server::gremlin("g1").set("era", era);
        let gateway = fault_gateway(server.orders(&json!({"era": "dual"})));
        let client = gateway.client();
        modern_echo(&client, "g1", "modern").await;
        let session = Session::open(&client, "/g1/mcp", "2025-11-25").await;
        assert_eq!(
            session.call("echo", &json!({"text": "legacy"})).await,
            "legacy"
        );
        modern_echo(&client, "g1", "modern").await;
        let status = client.status("g1").await;
        assert!(status["instances"].is_null(), "{status}");
        assert_eq!(status["protocol"], protocol, "{status}");
    }
}
