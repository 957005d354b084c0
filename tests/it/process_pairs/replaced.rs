//! Orders and reloads: what stays, what is drained and started anew, and that no two processes overlap that must not.

use super::*;
use crate::alone::journal_has;
use crate::reload::{entry, reload, take_out};
use crate::support::mcp::tool_call;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{places, process};

async fn gone(pids: &[u32]) {
    wait_until("their end", SOON, || {
        pids.iter().all(|pid| !process::is_alive(*pid))
    })
    .await;
}

/// A call of each era that is answered this long after it was read.
async fn slow_calls(client: &Client, session: &Session, ms: u64) -> [String; 2] {
    let deed = json!({"do": "sleep", "ms": ms, "say": "done", "nonce": "under way"});
    let call = modern_call("gremlin", &deed, &json!({}));
    let in_session = tool_call(7, "gremlin", &deed);
    let (modern, legacy) = tokio::join!(
        client.send(modern_post(client, "/g1/mcp", &call)),
        session.tell(&in_session),
    );
    [legacy.text(), modern.text()]
}

/// A server that a reload leaves as it was keeps both processes.
#[tokio::test]
async fn a_reload_that_changes_nothing_of_a_server_leaves_both_processes() {
    let gateway = gateway(500);
    let client = gateway.client();
    let (session, before) = both(&client).await;
    reload(&gateway, |config| {
        config["request_timeout_ms"] = 9000.into();
    })
    .await;
    assert_eq!(session.call("echo", &json!({"text": "on"})).await, "on");
    modern_echo(&client, "on").await;
    assert_eq!(pids(&client).await, before);
}

/// Both processes of a server that has changed answer what is under way in them, and are replaced; a restart by the
/// operator is the same.
#[tokio::test]
async fn both_processes_are_drained_and_replaced() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let (session, mut before) = both(&client).await;
    for (times, by_operator) in [(2, false), (4, true)] {
        let replaced = async {
            journal_has(&gateway, "g1", "\"under way\"", times).await;
            if by_operator {
                let answer = client.post("/servers/g1/restart?wait", "").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            } else {
                reload(&gateway, |config| {
                    entry(config, "g1")["env"]["COLOUR"] = "blue".into();
                })
                .await;
            }
            assert_eq!(session.call("echo", &json!({"text": "new"})).await, "new");
            modern_echo(&client, "new").await;
        };
        let (answers, ()) = tokio::join!(slow_calls(&client, &session, 1000), replaced);
        assert!(
            answers.iter().all(|text| text.contains("done")),
            "{answers:?}"
        );
        let after = pids(&client).await;
        assert!(after.iter().all(|pid| !before.contains(pid)), "{after:?}");
        gone(&before).await;
        before = after;
    }
}

/// A server that is disabled ends both; enabled again, each comes when it is wanted.
#[tokio::test]
async fn both_processes_end_when_the_server_is_disabled() {
    let gateway = gateway_with(500, dual("g1").autostart());
    let client = gateway.client();
    let (session, before) = both(&client).await;
    for disabled in [true, false] {
        reload(&gateway, |config| {
            entry(config, "g1")["disabled"] = disabled.into();
        })
        .await;
        gone(&before).await;
    }
    let ready = wait_for("the start of the first", SOON, async || {
        let status = client.status("g1").await;
        (status["instances"][0]["status"] == "ready").then_some(status)
    })
    .await;
    let second = &ready["instances"][1];
    assert_eq!(second["status"], "stopped", "nobody wants it: {ready}");
    modern_echo(&client, "again").await;
    assert_eq!(session.call("echo", &json!({"text": "on"})).await, "on");
    pids(&client).await;
}

/// A client's own processes end both when nobody has used them for long enough.
#[tokio::test]
async fn both_processes_of_a_client_end_when_it_is_idle() {
    let gateway = Gateway::builder()
        .limit("instance_idle_ms", 300)
        .server(dual("g1").set("instance", "client"))
        .start();
    let client = gateway.client();
    let (session, before) = both(&client).await;
    assert_eq!(session.end().await.status, 204);
    gone(&before).await;
    let status = client.status("g1").await;
    assert_eq!(status["instances"], json!([]), "{status}");
}

/// The gremlins that run below a gateway.
fn gremlins(gateway: &Gateway) -> Vec<u32> {
    let mut processes = process::descendants(gateway.pid());
    processes.retain(|process| process.state != 'Z');
    let pids = processes.iter().map(|process| process.pid);
    pids.filter(|pid| process::command_line(*pid).contains("gremlin"))
        .filter(|pid| !process::command_line(*pid).contains("hmg-guard"))
        .collect()
}

/// A server that is another one now (`instance`, `client_features`, `era`), or was taken out and put in again, starts
/// when no process of the one before is left: both may want what only one can have.
#[tokio::test]
async fn a_server_that_takes_the_place_of_another_starts_when_that_is_gone() {
    let changes: [(&str, &str); 3] = [
        ("instance", "client"),
        ("client_features", "serialize"),
        ("era", "legacy"),
    ];
    for (key, value) in changes {
        let gateway = gateway(10_000);
        let client = gateway.client();
        let (session, before) = both(&client).await;
        let replaced = async {
            journal_has(&gateway, "g1", "\"under way\"", 2).await;
            reload(&gateway, |config| entry(config, "g1")[key] = value.into()).await;
            let answer = client.call("g1", "echo", &json!({"text": "new"})).await;
            assert_eq!(echoed(&answer), "new", "{key}: {}", answer.text());
            let left = before.iter().filter(|pid| process::is_alive(**pid));
            assert_eq!(left.count(), 0, "{key}: it has answered beside them");
        };
        let (answers, ()) = tokio::join!(slow_calls(&client, &session, 1500), replaced);
        assert!(
            answers.iter().all(|text| text.contains("done")),
            "{key}: {answers:?}"
        );
        assert_eq!(gremlins(&gateway).len(), 1, "{key}");
    }
}

/// The same where it was not there for a while.
#[tokio::test]
async fn a_server_that_comes_back_starts_when_its_last_process_is_gone() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let (session, before) = both(&client).await;
    let back = async {
        journal_has(&gateway, "g1", "\"under way\"", 2).await;
        let mut entry = Value::Null;
        reload(&gateway, |config| entry = take_out(config, "g1")).await;
        reload(&gateway, |config| {
            config["servers"].as_array_mut().unwrap().push(entry);
        })
        .await;
        let status = client.status("g1").await;
        assert_eq!(status["status"], "stopping", "{status}");
        modern_echo(&client, "back").await;
        let left = before.iter().filter(|pid| process::is_alive(**pid));
        assert_eq!(left.count(), 0, "it has answered beside them");
    };
    let (answers, ()) = tokio::join!(slow_calls(&client, &session, 3000), back);
    assert!(
        answers.iter().all(|text| text.contains("done")),
        "{answers:?}"
    );
}

/// A second process that cannot be started any more, because the first one holds what only one can have, is given up:
/// also the sessions that used it go on with the first one.
#[tokio::test]
async fn sessions_leave_a_second_process_that_cannot_start_any_more() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    modern_echo(&client, "first").await;
    let session = open(&client).await;
    let lock = gateway.folder().join("lock");
    let script = gateway.folder().join("exclusive.sh");
    let text = format!(
        "mkdir {lock} || exit 3\n{gremlin}\nrmdir {lock}\n",
        lock = lock.display(),
        gremlin = places::gremlin().display()
    );
    std::fs::write(&script, text).unwrap();
    let deed = json!({"do": "sleep", "ms": 800, "say": "done", "nonce": "under way"});
    let exclusive = async {
        journal_has(&gateway, "g1", "\"under way\"", 1).await;
        reload(&gateway, |config| {
            entry(config, "g1")["command"] = "/bin/sh".into();
            entry(config, "g1")["args"] = json!([script]);
        })
        .await;
        modern_echo(&client, "holds it").await;
    };
    let call = tool_call(7, "gremlin", &deed);
    let (answer, ()) = tokio::join!(session.tell(&call), exclusive);
    assert!(answer.text().contains("done"), "{}", answer.text());
    wait_for("a failed start of the second", SOON, async || {
        let status = client.status("g1").await;
        let second = &status["instances"][1]["status"];
        (second == "backoff" || second == "failed").then_some(())
    })
    .await;
    let other = open(&client).await;
    for session in [&other, &session] {
        let said = session.call("echo", &json!({"text": "bridged"})).await;
        assert_eq!(said, "bridged");
    }
    let status = client.status("g1").await;
    assert!(status["instances"].is_null(), "one process: {status}");
}
