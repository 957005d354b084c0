//! Servers that are not shared by all: who has which process, and when it ends.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{SOON, echoes};
use crate::support::client::{Answer, Client};
use crate::support::mcp::{self, Session, initialize, modern_call, modern_post, request};
use crate::support::process;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server};

const REVISION: &str = "2025-11-25";

fn gremlin(instance: &str) -> Server {
    Server::gremlin("g1").set("instance", instance)
}

async fn open(client: &Client) -> Session {
    Session::open(client, "/g1/mcp", REVISION).await
}

/// The pid of the process that a session talks to.
async fn pid_of(session: &Session) -> u32 {
    let who: Value = serde_json::from_str(&session.call("gremlin", &json!({"do": "whoami"})).await)
        .expect("an identity");
    u32::try_from(who["pid"].as_u64().expect("a pid")).unwrap()
}

/// The same for a request without a session.
async fn modern_pid(client: &Client) -> u32 {
    let call = modern_call("gremlin", &json!({"do": "whoami"}), &json!({}));
    let answer = client.send(modern_post(client, "/g1/mcp", &call)).await;
    let text = crate::support::stdio::text_of(&answer.json());
    let who: Value = serde_json::from_str(&text).unwrap();
    u32::try_from(who["pid"].as_u64().expect("a pid")).unwrap()
}

/// The pids in `instances` of `/servers`, in order.
async fn listed(client: &Client) -> Vec<u32> {
    let status = client.status("g1").await;
    let instances = status["instances"].as_array().expect("instances");
    let pids = instances.iter().filter_map(|one| one["pid"].as_u64());
    let mut pids: Vec<_> = pids.map(|pid| u32::try_from(pid).unwrap()).collect();
    pids.sort_unstable();
    pids
}

fn sorted<const N: usize>(mut pids: [u32; N]) -> [u32; N] {
    pids.sort_unstable();
    pids
}

async fn is_gone(pid: u32) {
    let what = format!("the end of process {pid}");
    wait_until(&what, SOON, || !process::is_alive(pid)).await;
}

/// An attempt to open a session.
async fn shaken(client: &Client) -> Answer {
    client
        .send(mcp::post(client, "/g1/mcp", &initialize(REVISION)))
        .await
}

#[tokio::test]
async fn every_session_has_a_process_of_its_own_which_ends_with_it() {
    let gateway = Gateway::builder()
        .people()
        .server(gremlin("session"))
        .start();
    let alice = gateway.alice();
    let (one, other) = (open(&alice).await, open(&alice).await);
    let foreign = open(&gateway.bob()).await;
    let pids = [
        pid_of(&one).await,
        pid_of(&other).await,
        pid_of(&foreign).await,
    ];
    assert_eq!(listed(&gateway.client()).await, sorted(pids));
    assert_eq!(
        listed(&alice).await,
        sorted([pids[0], pids[1]]),
        "one's own"
    );
    assert!(
        pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2],
        "{pids:?}"
    );

    // What is said in one session is heard by its process, and what its process says by it alone.
    one.call("echo", &json!({"text": "for one"})).await;
    let journal = gateway.journal("g1").entries();
    let heard: Vec<_> = journal
        .iter()
        .filter(|entry| entry.contains("for one"))
        .collect();
    assert!(heard.len() == 1 && heard[0].pid == pids[0], "{heard:?}");
    let (mut own, mut own_of_other) = (one.listen().await, other.listen().await);
    one.deed(&json!({"do": "updated", "uri": "gremlin://nest"}))
        .await;
    one.deed(&json!({"do": "list_changed", "of": "tools"}))
        .await;
    other
        .deed(&json!({"do": "list_changed", "of": "prompts"}))
        .await;
    let heard = own.message(SOON).await;
    assert_eq!(
        heard["method"], "notifications/tools/list_changed",
        "{heard}"
    );
    let heard = own_of_other.message(SOON).await;
    assert_eq!(
        heard["method"], "notifications/prompts/list_changed",
        "{heard}"
    );

    assert_eq!(one.end().await.status, 204);
    is_gone(pids[0]).await;
    assert_eq!(pid_of(&other).await, pids[1]);
    assert_eq!(pid_of(&foreign).await, pids[2]);
    assert_eq!(gateway.stop().await.code(), Some(0));
    assert!(!pids.into_iter().any(process::is_alive), "{pids:?}");
}

#[tokio::test]
async fn the_sessions_of_a_token_share_a_process_and_another_token_has_its_own() {
    let gateway = Gateway::builder()
        .people()
        .server(gremlin("client"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let (one, other, foreign) = (open(&alice).await, open(&alice).await, open(&bob).await);
    let pids = [pid_of(&one).await, pid_of(&foreign).await];
    assert_ne!(pids[0], pids[1]);
    assert_eq!(pid_of(&other).await, pids[0]);
    assert_eq!(modern_pid(&alice).await, pids[0]);
    assert_eq!(modern_pid(&bob).await, pids[1]);
    let plain = alice.deed("g1", &json!({"do": "whoami"})).await;
    assert!(
        plain.text().contains(&pids[0].to_string()),
        "{}",
        plain.text()
    );
    assert_eq!(listed(&gateway.client()).await, sorted(pids));
    assert_eq!(one.end().await.status, 204);
    assert_eq!(
        pid_of(&other).await,
        pids[0],
        "there as long as anybody uses it"
    );
    assert_eq!(gateway.stop().await.code(), Some(0));
    assert!(!pids.into_iter().any(process::is_alive), "{pids:?}");
}

#[tokio::test]
async fn requests_without_a_session_share_a_process_a_token() {
    let gateway = Gateway::builder()
        .people()
        .server(gremlin("session"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let session = open(&alice).await;
    let pids = [
        pid_of(&session).await,
        modern_pid(&alice).await,
        modern_pid(&bob).await,
    ];
    assert_eq!(modern_pid(&alice).await, pids[1]);
    assert_eq!(modern_pid(&bob).await, pids[2]);
    let listed = listed(&gateway.client()).await;
    assert_eq!(listed, sorted(pids));
    assert!(listed.is_sorted_by(|one, next| one < next), "{listed:?}");
}

#[tokio::test]
async fn a_process_that_nobody_uses_any_more_ends() {
    let gateway = Gateway::builder()
        .people()
        .limit("session_idle_ms", 1500)
        .limit("instance_idle_ms", 300)
        .server(gremlin("session"))
        .server(Server::gremlin("g2").set("instance", "client"))
        .start();
    let alice = gateway.alice();
    let (silent, listening) = (open(&alice).await, open(&alice).await);
    let _own = listening.listen().await;
    let pids = [
        pid_of(&silent).await,
        modern_pid(&alice).await,
        pid_of(&listening).await,
    ];
    let of_client = Session::open(&alice, "/g2/mcp", REVISION).await;
    let of_client = pid_of(&of_client).await;
    // That of the session that has aged, that of requests without one, and that of a client without sessions.
    for pid in [pids[0], pids[1], of_client] {
        is_gone(pid).await;
    }
    assert_eq!(pid_of(&listening).await, pids[2]);
    assert_eq!(
        silent.tell(&request(9, "ping", &json!({}))).await.status,
        404
    );
    let next = modern_pid(&alice).await;
    assert!(!pids.contains(&next), "another one for whoever comes then");
}

/// A process that takes its time to end is not joined by the next one of the same client: both may want what only one can
/// have. Requests wait meanwhile.
#[tokio::test]
async fn the_next_process_of_a_client_waits_for_the_end_of_the_last() {
    let gateway = Gateway::builder()
        .limit("instance_idle_ms", 300)
        .limit("hold_ms", 20_000)
        .limit("term_grace_ms", 60_000)
        .server(
            gremlin("client")
                .set("stop_grace_ms", 60_000)
                .orders(&json!({"ignore_eof": true, "ignore_term": true})),
        )
        .server(Server::gremlin("g2"))
        .server(Server::gremlin("g3"))
        .start();
    let client = gateway.client();
    let before = modern_pid(&client).await;
    wait_for("the stop of the idle process", SOON, async || {
        listed(&client).await.is_empty().then_some(())
    })
    .await;
    let mut next = std::pin::pin!(modern_pid(&client));
    // As long as two starts take, another process would have been there.
    let two_starts = async {
        for id in ["g2", "g3"] {
            echoes(&client, id, "hi").await;
        }
    };
    tokio::select! {
        biased;
        pid = &mut next => panic!("process {pid} answers beside {before}"),
        () = two_starts => {}
    }
    assert!(process::is_alive(before), "it ends when the test ends it");
    process::signal(before, Signal::KILL);
    assert_ne!(next.await, before);
    assert!(!process::is_alive(before));
}

#[tokio::test]
async fn there_are_so_many_processes_and_who_finds_no_room_is_told_so() {
    let gateway = Gateway::builder()
        .people()
        .limit("max_instances", 2)
        .server(gremlin("session"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let one = open(&alice).await;
    let over = shaken(&alice).await.json();
    let code = &over["error"]["data"]["error_code"];
    assert_eq!(code, "rate_limited", "more than half: {over}");
    let _other = open(&bob).await;
    let pid = pid_of(&one).await;
    let third = gateway.client();
    let refused = shaken(&third).await;
    let error = &refused.json()["error"];
    assert_eq!(error["data"]["error_code"], "server_busy", "{error}");
    assert_eq!(
        (&error["code"], &error["data"]["delivered"]),
        (&json!(-31004), &json!("no"))
    );
    assert!(!refused.headers.contains_key("mcp-session-id"));
    assert_eq!(
        third.deed("g1", &json!({"do": "count"})).await.error_code(),
        "server_busy"
    );
    assert_eq!(one.end().await.status, 204);
    is_gone(pid).await;
    let shaken = wait_for("room for another", SOON, async || {
        Some(shaken(&third).await).filter(|answer| answer.json()["result"].is_object())
    })
    .await;
    assert!(!shaken.header("mcp-session-id").is_empty());
    assert_eq!(listed(&gateway.client()).await.len(), 2);
}

#[tokio::test]
async fn a_server_of_ones_own_may_ask_before_anything_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let (before, root) = (folder.path().join("before"), folder.path().join("root"));
    for one in [&before, &root] {
        std::fs::create_dir(one).unwrap();
    }
    let server = Server::filesystem("files", &before).set("instance", "session");
    let gateway = Gateway::builder().server(server).start();
    let capabilities = json!({"roots": {"listChanged": true}});
    let session =
        Session::open_with(&gateway.client(), "/files/mcp", REVISION, &capabilities).await;
    // While a second process starts the first one asks: it waits for a client that opens its stream later.
    // (A call in this session would have the question put on the stream of that call.)
    Session::open_with(&gateway.client(), "/files/mcp", REVISION, &capabilities).await;
    let mut own = session.listen().await;
    let question = own.message(SOON).await;
    assert_eq!(question["method"], "roots/list", "{question}");
    let uri = format!("file://{}", root.display());
    session
        .reply(&question, &json!({"roots": [{"uri": uri, "name": "root"}]}))
        .await;
    let listed = wait_for("the root to be let in", SOON, async || {
        let listed = session.call("list_allowed_directories", &json!({})).await;
        listed.contains(root.to_str().unwrap()).then_some(listed)
    })
    .await;
    assert!(!listed.contains(before.to_str().unwrap()), "{listed}");

    // It is told when they change, and asks again.
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    assert_eq!(session.tell(&changed).await.status, 202);
    let again = own.message(SOON).await;
    assert_eq!(again["method"], "roots/list", "{again}");
    session
        .reply(
            &again,
            &json!({"roots": [{"uri": format!("file://{}", before.display())}]}),
        )
        .await;
    wait_for("the other root", SOON, async || {
        let listed = session.call("list_allowed_directories", &json!({})).await;
        listed.contains(before.to_str().unwrap()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_of_ones_own_knows_what_its_client_can_be_asked() {
    let server = Server::everything("all").set("instance", "session");
    let gateway = Gateway::builder().server(server).start();
    let client = gateway.client();
    let tools = async |capabilities: &Value| {
        let session = Session::open_with(&client, "/all/mcp", REVISION, capabilities).await;
        // Those that depend on the client are added in the course of the handshake.
        session.call("echo", &json!({"message": "up"})).await;
        let answer = session.ask(&request("l", "tools/list", &json!({}))).await;
        answer["result"]["tools"].as_array().expect("tools").len()
    };
    let (nothing, all) = (
        json!({}),
        json!({"roots": {}, "sampling": {}, "elicitation": {}}),
    );
    assert_eq!(tokio::join!(tools(&nothing), tools(&all)), (13, 16));
}

#[tokio::test]
async fn a_process_that_was_started_for_a_session_of_which_nothing_came_ends() {
    let slow = Server::gremlin("g2").set("instance", "session");
    let gateway = Gateway::builder()
        .limit("max_sessions_per_token", 1)
        .server(gremlin("session"))
        .server(slow.orders(&json!({"slow_start_ms": 60_000})))
        .start();
    let client = gateway.client();
    let instances = async |server_id: &str, count: usize| {
        let what = format!("{count} processes of {server_id}");
        wait_for(&what, SOON, async || {
            let status = client.status(server_id).await;
            (status["instances"].as_array().unwrap().len() == count).then_some(())
        })
        .await;
    };
    // A client that does not wait until the server is there.
    let impatient = mcp::post(&client, "/g2/mcp", &initialize(REVISION));
    tokio::select! {
        answer = impatient.send() => panic!("{answer:?}"),
        () = instances("g2", 1) => {}
    }
    instances("g2", 0).await;
    // One that may not have another session.
    let session = open(&client).await;
    let refused = shaken(&client).await;
    assert_eq!(
        refused.json()["error"]["data"]["error_code"],
        "rate_limited"
    );
    instances("g1", 1).await;
    assert_eq!(session.end().await.status, 204);
    instances("g1", 0).await;
    wait_until("the end of all processes", SOON, || {
        gateway.family().len() == 1
    })
    .await;
}
