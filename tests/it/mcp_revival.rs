//! Sessions of the legacy era that are not in memory any more: their clients go on with them, unless they were ended.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::mcp::{Session, request, tool_call};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";

async fn works(session: &Session, text: &str) {
    let called = session
        .ask(&tool_call(1, "echo", &json!({"text": text})))
        .await;
    assert_eq!(called["result"]["content"][0]["text"], text, "{called}");
}

async fn is_unknown(session: &Session) {
    let refused = session.tell(&request(1, "ping", &json!({}))).await;
    let text = refused.text();
    assert_eq!(refused.status, 404, "{text}");
    let code = &refused.json()["error"]["data"]["error_code"];
    assert_eq!(code, "session_not_found", "{text}");
}

/// RA13: a restart of the gateway, in order or by SIGKILL, ends no session on a shared server, whatever its era, and
/// none on the path of all servers where all share theirs.
#[tokio::test]
async fn a_session_outlives_its_gateway() {
    let modern = Server::gremlin("g2").orders(&json!({"era": "modern"}));
    let mut gateway = Gateway::builder()
        .server(Server::gremlin("g1"))
        .server(modern)
        .start();
    let client = gateway.client();
    let mut sessions = Vec::new();
    for path in ["/g1/mcp", "/g2/mcp"] {
        sessions.push(Session::open(&client, path, REVISION).await);
    }
    let all = Session::open(&client, "/mcp", "2025-06-18").await;
    for by in [Signal::TERM, Signal::KILL] {
        gateway.restart(by, |_| ()).await;
        for session in &sessions {
            works(session, "again").await;
        }
        let called = all
            .ask(&tool_call(1, "g1__echo", &json!({"text": "all"})))
            .await;
        assert_eq!(called["result"]["content"][0]["text"], "all", "{called}");
    }
}

/// RA13: what the client declared is known after a restart: it is still asked, and what it did not declare it is not.
#[tokio::test]
async fn a_session_is_revived_with_what_its_client_can_do() {
    let mut gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let capabilities = json!({"sampling": {}});
    let client = gateway.client();
    let session = Session::open_with(&client, "/g1/mcp", REVISION, &capabilities).await;
    gateway.restart(Signal::KILL, |_| ()).await;
    let ask = |method: &str, params: Value| {
        tool_call(
            "call",
            "gremlin",
            &json!({"do": "ask", "method": method, "params": params}),
        )
    };
    let params = json!({"messages": [], "maxTokens": 1});
    let mut stream = session.stream(&ask("sampling/createMessage", params)).await;
    let question = stream.message(SOON).await;
    assert_eq!(question["method"], "sampling/createMessage", "{question}");
    session.reply(&question, &json!({"said": "yes"})).await;
    let response = stream.message(SOON).await;
    assert!(response.to_string().contains("yes"), "{response}");
    let refused = session.ask(&ask("roots/list", json!({}))).await;
    assert!(refused.to_string().contains("-32601"), "{refused}");
}

/// RA13: after idle expiry a session goes on, and the client that comes back to its stream, even with the id of an event
/// that nobody keeps any more, is told to look at the lists again.
#[tokio::test]
async fn a_session_that_was_idle_goes_on_and_its_client_looks_at_the_lists_again() {
    let gateway = Gateway::builder()
        .limit("session_idle_ms", 500)
        .server(Server::gremlin("g1"))
        .start();
    let session = Session::open(&gateway.client(), "/g1/mcp", REVISION).await;
    let mut stream = session.listen().await;
    let last_event = stream.event(SOON).await.id.unwrap();
    drop(stream);
    let client = gateway.client();
    wait_for("the end of the session in memory", SOON, async || {
        (client.status("g1").await["sessions"] == 0).then_some(())
    })
    .await;
    let mut stream = session.resume(&last_event).await;
    let heard = stream.message(SOON).await;
    assert_eq!(
        heard["method"], "notifications/tools/list_changed",
        "{heard}"
    );
    works(&session, "again").await;
    session
        .deed(&json!({"do": "list_changed", "of": "prompts"}))
        .await;
    wait_for("a notification of the server", SOON, async || {
        let heard = stream.message(SOON).await;
        (heard["method"] == "notifications/prompts/list_changed").then_some(())
    })
    .await;
    let revived = gateway.logs().events(
        "a session that was not in memory goes on; its subscriptions and its log level are lost",
    );
    assert!(!revived.is_empty(), "{}", gateway.logs().text());
}

/// RA13: a session that its client ended stays ended, whether it was in memory or not, over restarts too, and is as
/// unknown as one that never was.
#[tokio::test]
async fn a_session_that_its_client_ended_stays_ended() {
    let mut gateway = Gateway::builder()
        .set("state_dir", "state")
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let session = Session::open(&client, "/g1/mcp", REVISION).await;
    let other = Session::open(&client, "/g1/mcp", REVISION).await;
    let third = Session::open(&client, "/g1/mcp", REVISION).await;
    assert_eq!(session.end().await.status, 204);
    is_unknown(&session).await;
    gateway.restart(Signal::TERM, |_| ()).await;
    is_unknown(&session).await;
    assert_eq!(session.end().await.status, 404);
    assert_eq!(other.end().await.status, 204, "it is not in memory");
    is_unknown(&other).await;
    assert_eq!(other.end().await.status, 404);

    let record = gateway.folder().join("state/ended-sessions");
    let (beginning, _) = other.id.split_at(32);
    let (longer, _) = other.id.split_at(33);
    wait_for("the record of the second session", SOON, async || {
        let text = std::fs::read_to_string(&record).ok()?;
        text.contains(beginning).then_some(())
    })
    .await;
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(!text.contains(longer), "no id is in it: {text}");
    gateway.restart(Signal::KILL, |_| ()).await;
    is_unknown(&session).await;
    is_unknown(&other).await;
    assert_eq!(gateway.journal("g1").count_method("tools/call"), 0);
    works(&third, "goes on").await;
}

/// RA13: a session belongs to its token's entry in the config, whatever its place in the list, and to its server: a reload
/// or a restart with another entry, or without the server, ends it, and a forged id was never one.
#[tokio::test]
async fn a_session_ends_with_its_token_and_its_server() {
    let mut gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("g2"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let own = Session::open(&alice, "/g1/mcp", REVISION).await;
    let elsewhere = Session::open(&alice, "/g2/mcp", REVISION).await;
    let of_bob = Session::open(&bob, "/g1/mcp", REVISION).await;
    gateway
        .restart(Signal::TERM, |config| {
            config["tokens"].as_array_mut().unwrap().reverse();
        })
        .await;
    is_unknown(&own.stolen_by(&bob)).await;
    is_unknown(&own.on("/g2/mcp")).await;
    is_unknown(&own.on("/mcp")).await;
    works(&own, "mine").await;
    works(&of_bob, "his").await;

    gateway
        .restart(Signal::TERM, |config| {
            let tokens = config["tokens"].as_array_mut().unwrap();
            let alice = tokens.iter_mut().find(|token| token["name"] == "alice");
            alice.unwrap()["admin"] = true.into();
        })
        .await;
    is_unknown(&own).await;
    works(&of_bob, "his").await;
    is_unknown(&elsewhere).await;

    let of_server = Session::open(&alice, "/g2/mcp", REVISION).await;
    let without = |config: &mut Value| config["servers"][1]["server_id"] = "g3".into();
    gateway.restart(Signal::TERM, without).await;
    let gone = of_server.tell(&request(1, "ping", &json!({}))).await;
    let code = &gone.json()["error"]["data"]["error_code"];
    assert_eq!((gone.status, code), (404, &json!("server_not_found")));
}

/// RA13: a token that a reload takes out and another brings back has no sessions left.
#[tokio::test]
async fn a_reload_ends_the_sessions_of_a_token_for_good() {
    let mut gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start();
    let own = Session::open(&gateway.alice(), "/g1/mcp", REVISION).await;
    let reload = async |admin: bool, generation: u64| {
        gateway.rewrite_config(|config| config["tokens"][0]["admin"] = admin.into());
        gateway.signal(Signal::HUP);
        let client = gateway.client();
        wait_for("the reload", SOON, async || {
            let health = client.get("/health").await.json();
            (health["config"]["generation"] == generation).then_some(())
        })
        .await;
    };
    reload(true, 2).await;
    is_unknown(&own).await;
    reload(false, 3).await;
    is_unknown(&own).await;
    gateway.restart(Signal::TERM, |_| ()).await;
    is_unknown(&own).await;
}

/// RA13: where a session has a process of its own, whose state is gone with it, its id is unknown after a restart, unless the
/// server says that its sessions are revived.
#[tokio::test]
async fn a_session_with_a_process_of_its_own_is_revived_only_where_the_config_says_so() {
    for revives in [false, true] {
        let server = Server::gremlin("g1")
            .set("instance", "session")
            .set("revive_sessions", revives);
        let mut gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        let (one, all) = (
            Session::open(&client, "/g1/mcp", REVISION).await,
            Session::open(&client, "/mcp", REVISION).await,
        );
        works(&one, "before").await;
        gateway.restart(Signal::TERM, |_| ()).await;
        if revives {
            works(&one, "after").await;
            assert_eq!(all.tell(&request(1, "ping", &json!({}))).await.status, 200);
            assert_eq!(one.end().await.status, 204);
            is_unknown(&one).await;
        } else {
            is_unknown(&one).await;
            is_unknown(&all).await;
        }
    }
}

/// RA13: many requests at once after a restart revive one session.
#[tokio::test]
async fn requests_at_once_revive_a_session_once() {
    let mut gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let session = Session::open(&gateway.client(), "/g1/mcp", REVISION).await;
    gateway.restart(Signal::KILL, |_| ()).await;
    let calls = (0..20).map(|number| {
        let session = &session;
        async move {
            let text = format!("call {number}");
            let call = tool_call(number, "echo", &json!({"text": text}));
            let called = session.ask(&call).await;
            assert_eq!(called["result"]["content"][0]["text"], text, "{called}");
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(gateway.client().status("g1").await["sessions"], 1);
}
