//! The operator's verbs: start, stop, restart, with and without `?wait`, and who may use them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::process;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const READER: &str = "reader-4f0ab97e61c2d83557";
const KEEPER: &str = "keeper-b83d6e105f92c7a448";

async fn order(client: &Client, path: &str) -> Answer {
    client.send(client.request(Method::POST, path)).await
}

async fn echo(client: &Client, server_id: &str) -> Answer {
    client.call(server_id, "echo", &json!({"text": "hi"})).await
}

async fn until(client: &Client, server_id: &str, status: &str) -> Value {
    wait_for(&format!("{server_id} to be {status}"), SOON, async || {
        let entry = client.status(server_id).await;
        (entry["status"] == status).then_some(entry)
    })
    .await
}

fn pid(entry: &Value) -> u32 {
    u32::try_from(entry["pid"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_stopped_server_stays_stopped_until_it_is_started() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").autostart())
        .server(Server::control())
        .start();
    let client = gateway.client();
    let before = until(&client, "g1", "ready").await;

    let stopped = order(&client, "/servers/g1/stop?wait").await;
    assert_eq!(
        (stopped.status, stopped.json()),
        (200, json!({"server_id": "g1", "status": "stopped"}))
    );
    assert!(
        !process::is_alive(pid(&before)),
        "the answer comes when the process is gone"
    );
    let entry = client.status("g1").await;
    assert_eq!(
        (&entry["pid"], &entry["last_error"]),
        (&Value::Null, &json!("stopped by the operator"))
    );

    for _ in 0..2 {
        let refused = echo(&client, "g1").await;
        assert_eq!(
            (refused.status, refused.error_code()),
            (503, json!("server_stopped"))
        );
        assert_eq!(refused.json()["error"]["delivered"], "no");
    }
    assert_eq!(client.get("/health").await.json()["status"], "degraded");
    assert_eq!(client.get("/ready").await.status, 503);
    assert_eq!(echo(&client, "control").await.status, 200);

    let started = order(&client, "/servers/g1/start?wait=true").await;
    assert_eq!(
        (started.status, started.json()),
        (200, json!({"server_id": "g1", "status": "ready"}))
    );
    assert_eq!(echo(&client, "g1").await.status, 200);
    assert_ne!(pid(&client.status("g1").await), pid(&before));
    until(&client, "control", "ready").await;
    assert_eq!(client.get("/ready").await.status, 200);
}

#[tokio::test]
async fn without_wait_an_order_is_taken_and_carried_out_later() {
    let orders = json!({"ignore_eof": true, "slow_start_ms": 300});
    let gateway = Gateway::builder()
        .server(
            Server::gremlin("g1")
                .orders(&orders)
                .set("stop_grace_ms", 500),
        )
        .start();
    let client = gateway.client();
    let started = order(&client, "/servers/g1/start").await;
    assert_eq!(
        (started.status, &started.json()["status"]),
        (202, &json!("starting"))
    );
    let first = pid(&until(&client, "g1", "ready").await);

    let restarted = order(&client, "/servers/g1/restart").await;
    assert_eq!(
        (restarted.status, &restarted.json()["status"]),
        (202, &json!("stopping"))
    );
    let entry = until(&client, "g1", "ready").await;
    assert_eq!(entry["incarnation"], 2);
    assert!(!process::is_alive(first), "one process at a time");

    let stopped = order(&client, "/servers/g1/stop").await;
    assert_eq!(
        (stopped.status, &stopped.json()["status"]),
        (202, &json!("stopping"))
    );
    let refused = echo(&client, "g1").await;
    assert_eq!(
        refused.error_code(),
        "server_stopped",
        "at once, not when the process is gone"
    );
    until(&client, "g1", "stopped").await;
}

#[tokio::test]
async fn a_restart_gives_a_new_process_and_loses_what_the_old_one_had() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    assert_eq!(echo(&client, "g1").await.status, 200);
    let before = pid(&client.status("g1").await);
    let held = json!({"do": "sleep", "ms": 20_000, "say": "never"});
    let (lost, restarted) = tokio::join!(client.deed("g1", &held), async {
        wait_until("the call in the child", SOON, || {
            gateway.journal("g1").count("\"sleep\"") == 1
        })
        .await;
        order(&client, "/servers/g1/restart?wait").await
    });
    assert_eq!(
        (restarted.status, &restarted.json()["status"]),
        (200, &json!("ready"))
    );
    assert_eq!(
        (lost.status, lost.error_code()),
        (502, json!("server_lost"))
    );
    assert_eq!(lost.json()["error"]["delivered"], "unknown");
    assert_ne!(pid(&client.status("g1").await), before);
    assert_eq!(
        gateway.journal("g1").count("\"sleep\""),
        1,
        "written once, never again"
    );
}

#[tokio::test]
async fn waiting_for_a_server_that_cannot_start_tells_why() {
    let gateway = Gateway::builder()
        .server(
            Server::gremlin("g1")
                .orders(&json!({"exit": 3}))
                .set("restart_policy", "never"),
        )
        .start();
    let client = gateway.client();
    let answer = order(&client, "/servers/g1/start?wait").await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (503, json!("server_failed")),
        "{}",
        answer.text()
    );
    assert_eq!(client.status("g1").await["last_exit_code"], 3);
}

/// H122: a token that reaches one server is shown that one.
#[tokio::test]
async fn only_an_administrator_gives_orders_and_only_to_its_own_servers() {
    let tokens = json!([
        {"name": "reader", "env": "READER"},
        {"name": "keeper", "env": "KEEPER", "admin": true, "servers": ["g1"]},
    ]);
    let gateway = Gateway::builder()
        .set("tokens", tokens)
        .env("READER", READER)
        .env("KEEPER", KEEPER)
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("g2"))
        .start();
    let (reader, keeper) = (
        gateway.client_with(Some(READER)),
        gateway.client_with(Some(KEEPER)),
    );
    for verb in ["start", "stop", "restart"] {
        for server_id in ["g1", "unknown"] {
            let refused = order(&reader, &format!("/servers/{server_id}/{verb}")).await;
            assert_eq!(
                (refused.status, refused.error_code()),
                (403, json!("auth_denied"))
            );
        }
        for server_id in ["g2", "unknown"] {
            let unknown = order(&keeper, &format!("/servers/{server_id}/{verb}")).await;
            assert_eq!(
                (unknown.status, unknown.error_code()),
                (404, json!("server_not_found"))
            );
        }
    }
    assert_eq!(order(&keeper, "/servers/g1/start?wait").await.status, 200);
    assert_eq!(echo(&reader, "g2").await.status, 200);
    assert_eq!(echo(&keeper, "g2").await.error_code(), "server_not_found");
    let listed = keeper.get("/servers").await.json();
    assert_eq!(
        listed["servers"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    assert_eq!(keeper.get("/metrics").await.error_code(), "auth_denied");
}

/// RC08: a verb that could do nothing says so, and why.
#[tokio::test]
async fn a_disabled_server_is_listed_and_never_started() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").autostart().set("disabled", true))
        .start();
    let client = gateway.client();
    assert_eq!(echo(&client, "g1").await.error_code(), "server_stopped");
    for verb in ["start", "start?wait", "restart", "stop"] {
        let answer = order(&client, &format!("/servers/g1/{verb}")).await;
        let told = (answer.status, answer.error_code());
        assert_eq!(told, (409, json!("server_disabled")), "{}", answer.text());
        assert!(answer.text().contains("disabled"), "{}", answer.text());
    }
    assert_eq!(client.status("g1").await["status"], "stopped");
    assert_eq!(
        client.get("/ready").await.status,
        200,
        "what is off is not missing"
    );
    assert!(gateway.journal("g1").entries().is_empty());
}

/// RG02, RG01: a variable that is not set fails one server, and one that is not passed is named.
#[tokio::test]
async fn a_server_that_lacks_a_variable_fails_alone_and_says_which() {
    let asks = "echo \"ACME_TOKEN is not set\" >&2; exit 1";
    let gateway = Gateway::builder()
        .set("restart_limit", json!({"count": 1}))
        .env("ACME_TOKEN", "canary-acme")
        .server(Server::control())
        .server(
            Server::gremlin("lacks")
                .env("KEY", "${HMG_NOT_SET}")
                .autostart(),
        )
        .server(
            Server::gremlin("own")
                .env("KEY", "${HMG_NOT_SET}")
                .set("instance", "client"),
        )
        .server(Server::new("asks", "sh", &["-c", asks]).autostart())
        .start();
    let client = gateway.client();
    assert_eq!(echo(&client, "control").await.status, 200);
    for server_id in ["lacks", "own"] {
        let entry = client.status(server_id).await;
        let reason = entry["last_error"].as_str().unwrap();
        assert_eq!(entry["status"], "failed", "{entry}");
        assert!(
            reason.contains("the variable HMG_NOT_SET is not set"),
            "{reason}"
        );
        assert_eq!(echo(&client, server_id).await.error_code(), "server_failed");
    }
    assert_eq!(client.get("/ready").await.status, 503);
    let asks = until(&client, "asks", "failed").await;
    let reason = asks["last_error"].as_str().unwrap();
    assert!(
        reason.contains("ACME_TOKEN is set for the gateway"),
        "{reason}"
    );
    assert!(!asks.to_string().contains("canary"), "{asks}");

    gateway.rewrite_config(|config| {
        for server in config["servers"].as_array_mut().unwrap() {
            server["env"]["KEY"] = "set".into();
        }
    });
    gateway.signal(rustix::process::Signal::HUP);
    until(&client, "lacks", "ready").await;
    assert_eq!(echo(&client, "own").await.status, 200);
}

/// RF05: `npx` and `uvx` are small beside the server that they start, and what lost its parent counts too.
#[tokio::test]
async fn memory_is_that_of_the_launcher_and_of_all_that_it_started() {
    if !process::finds_descendants() {
        return;
    }
    let gremlin = crate::support::places::gremlin();
    let script = "(setsid sleep 1000 &); \"$0\"; exit";
    let launched = ["-c", script, gremlin.to_str().unwrap()];
    let gateway = Gateway::builder()
        .server(Server::new("launched", "sh", &launched).autostart())
        .start();
    let client = gateway.client();
    let entry = until(&client, "launched", "ready").await;
    let resident = |pid| process::footprint(pid).map_or(0, |held| held.resident_kib as u64 * 1024);
    let guard = process::find(pid(&entry)).unwrap().parent;
    let tree = process::descendants(guard);
    assert_eq!(tree.len(), 3, "{tree:?}");
    let expected: u64 = tree.iter().map(|process| resident(process.pid)).sum();
    let told = entry["memory_bytes"].as_u64().unwrap();
    assert!(told > resident(pid(&entry)) * 2, "{told} in {entry}");
    assert!(
        (expected / 2..expected * 2).contains(&told),
        "{told}, expected about {expected}"
    );
}

/// RC05: an operator's stop holds for the clients that have no process yet, and so does the start that undoes it.
#[tokio::test]
async fn a_stop_holds_for_clients_that_have_no_process_of_their_own_yet() {
    for instance in ["client", "session"] {
        let gateway = Gateway::builder()
            .people()
            .server(Server::gremlin("g1").set("instance", instance))
            .start();
        let client = gateway.client();
        let (alice, bob) = (gateway.alice(), gateway.bob());
        assert_eq!(echo(&alice, "g1").await.status, 200, "{instance}");
        let stopped = order(&client, "/servers/g1/stop?wait").await;
        assert_eq!(stopped.status, 200, "{}", stopped.text());
        for refused in [&alice, &bob] {
            let answer = echo(refused, "g1").await;
            let error = (answer.status, answer.error_code());
            assert_eq!(error, (503, json!("server_stopped")), "{instance}");
            assert_eq!(answer.json()["error"]["delivered"], "no");
        }
        assert_eq!(client.get("/ready").await.status, 503);
        let started = order(&client, "/servers/g1/start?wait").await;
        assert_eq!(started.status, 200, "{}", started.text());
        for served in [&alice, &bob] {
            assert_eq!(echo(served, "g1").await.status, 200, "{instance}");
        }
    }
}

/// RC05: a server that nobody uses can be stopped, and says so.
#[tokio::test]
async fn a_server_without_a_process_can_be_stopped() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").set("instance", "client"))
        .start();
    let client = gateway.client();
    assert_eq!(order(&client, "/servers/g1/stop").await.status, 202);
    let entry = client.status("g1").await;
    assert_eq!(
        (&entry["status"], &entry["last_error"]),
        (&json!("stopped"), &json!("stopped by the operator"))
    );
    assert_eq!(echo(&client, "g1").await.error_code(), "server_stopped");
    assert_eq!(order(&client, "/servers/g1/restart").await.status, 202);
    assert_eq!(echo(&client, "g1").await.status, 200);
}
