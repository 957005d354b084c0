//! Sessions from the outside: how long they live, how many there may be, and whose requests are whose.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::mcp::{self, Session, initialize, request, tool_call};
use crate::support::sse::Sse;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";

async fn open(client: &Client) -> Session {
    Session::open(client, "/g1/mcp", REVISION).await
}

fn ping() -> Value {
    request("ping", "ping", &json!({}))
}

/// Waits until this many sessions are open; asking in one of them would keep it young.
async fn sessions(client: &Client, count: u64) {
    wait_for(&format!("{count} sessions"), SOON, async || {
        (client.status("g1").await["sessions"] == count).then_some(())
    })
    .await;
}

/// A call that is under way until it is cancelled.
fn endless(id: &str) -> Value {
    tool_call(id, "gremlin", &json!({"do": "nothing"}))
}

/// H090: idle sessions leave the memory, and nothing else ends with them.
#[tokio::test]
async fn a_session_ages_only_while_no_stream_is_open_and_no_call_under_way() {
    let gateway = Gateway::builder()
        .limit("session_idle_ms", 1500)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let (silent, listening, calling) = (
        open(&client).await,
        open(&client).await,
        open(&client).await,
    );
    let mut own = listening.listen().await;
    own.event(SOON).await;
    // Nobody reads this call's answer: it is the call alone that counts.
    let call = tool_call(
        "long",
        "gremlin",
        &json!({"do": "sleep", "ms": 6000, "say": "awake"}),
    );
    let mut stream = calling.stream(&call).await;
    let resumed_at = stream.event(SOON).await.id.expect("an id");
    drop(stream);

    sessions(&client, 2).await;
    listening
        .deed(&json!({"do": "list_changed", "of": "tools"}))
        .await;
    let heard = own.message(SOON).await;
    assert_eq!(
        heard["method"], "notifications/tools/list_changed",
        "{heard}"
    );
    let said = calling.resume(&resumed_at).await.message(SOON).await;
    assert_eq!(said["result"]["content"][0]["text"], "awake", "{said}");

    sessions(&client, 1).await;
    drop(own);
    sessions(&client, 0).await;
    for session in [silent, listening, calling] {
        assert_eq!(session.tell(&ping()).await.status, 200, "it goes on");
    }
}

/// H091: the server is told, and other sessions go on.
#[tokio::test]
async fn the_end_of_a_session_is_the_end_of_its_calls() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let (ending, other) = (open(&client).await, open(&client).await);
    let _ending = ending.stream(&endless("its")).await;
    let _other = other.stream(&endless("the other's")).await;
    let journal = gateway.journal("g1");
    let calls = || journal.count_method("tools/call") == 2;
    wait_until("two calls", SOON, calls).await;
    assert_eq!(ending.end().await.status, 204);
    let cancelled = || journal.count_method("notifications/cancelled") == 1;
    wait_until("a cancellation of its call", SOON, cancelled).await;
    assert_eq!(
        client.status("g1").await["in_flight"],
        1,
        "the other's runs on"
    );
}

#[tokio::test]
async fn a_session_of_a_gateway_with_another_key_is_unknown() {
    let start = || Gateway::builder().server(Server::gremlin("g1")).start();
    let first = start();
    let session = open(&first.client()).await;
    assert_eq!(session.tell(&ping()).await.status, 200);
    assert_eq!(first.stop().await.code(), Some(0));
    let second = start();
    let session = session.stolen_by(&second.client());
    for answer in [
        session.tell(&ping()).await,
        session.get_whole().await,
        session.end().await,
    ] {
        let body = answer.json();
        assert_eq!(answer.status, 404, "{body}");
        assert_eq!(
            body["error"]["data"]["error_code"], "session_not_found",
            "{body}"
        );
    }
    assert!(second.journal("g1").entries().is_empty());
}

/// H090.
#[tokio::test]
async fn a_token_has_so_many_sessions_and_one_more_is_refused_in_band() {
    let gateway = Gateway::builder()
        .people()
        .limit("max_sessions_per_token", 2)
        .server(Server::gremlin("g1"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let (one, other) = (open(&alice).await, open(&alice).await);
    let refused = alice
        .send(mcp::post(&alice, "/g1/mcp", &initialize(REVISION)))
        .await;
    // As every request that was let in: a legacy client shows such an error and drops one with another status.
    let body = refused.json();
    assert_eq!(
        (refused.status, &body["id"]),
        (200, &json!("initialize")),
        "{body}"
    );
    let data = json!({
        "origin": "gateway",
        "error_code": "rate_limited",
        "server_id": "g1",
        "delivered": "no",
        "retry_after_ms": 5000,
    });
    assert_eq!(
        (&body["error"]["code"], &body["error"]["data"]),
        (&json!(-31004), &data)
    );
    assert!(!refused.headers.contains_key("mcp-session-id"));
    assert_eq!(other.tell(&ping()).await.status, 200);
    open(&bob).await;
    assert_eq!(one.end().await.status, 204);
    open(&alice).await;
}

fn is_taken(answer: &Answer) {
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["error"]["code"]),
        (400, &json!(-32600)),
        "{body}"
    );
    let text = body["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("a request with this id is under way"),
        "{text}"
    );
}

/// H072, H079: within a session an id is unique while it is under way, as the specification wants it.
#[tokio::test]
async fn an_id_is_used_once_at_a_time_in_a_session_and_names_nothing_in_another() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start();
    let alice = gateway.alice();
    let (own, second, foreign) = (
        open(&alice).await,
        open(&alice).await,
        open(&gateway.bob()).await,
    );
    let journal = gateway.journal("g1");
    let calls = || journal.of_method("tools/call");
    let mut streams = Vec::new();
    for (number, session) in [&own, &second, &foreign].into_iter().enumerate() {
        streams.push(session.stream(&endless("same")).await);
        wait_until("the call", SOON, || calls().len() == number + 1).await;
    }
    is_taken(&own.tell(&endless("same")).await);
    is_taken(&own.tell(&request("same", "ping", &json!({}))).await);
    assert_eq!(calls().len(), 3);

    let cancel = cancellation("same");
    assert_eq!(own.tell(&cancel).await.status, 202);
    let told = async |count| {
        wait_for("a cancellation", SOON, async || {
            let told = journal.of_method("notifications/cancelled");
            (told.len() == count).then_some(told)
        })
        .await
    };
    assert_eq!(told(1).await[0]["params"]["requestId"], calls()[0]["id"]);
    // What is not under way here is nothing that could be cancelled.
    assert_eq!(own.tell(&cancel).await.status, 202);
    let heard = own
        .ask(&tool_call("same", "echo", &json!({"text": "free again"})))
        .await;
    assert_eq!(
        heard["result"]["content"][0]["text"], "free again",
        "{heard}"
    );
    assert_eq!(foreign.tell(&cancel).await.status, 202);
    assert_eq!(told(2).await[1]["params"]["requestId"], calls()[2]["id"]);
    assert_eq!(gateway.client().status("g1").await["in_flight"], 1);
}

fn cancellation(id: &str) -> Value {
    let params = json!({"requestId": id, "reason": "enough"});
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
}

/// Cancels a call, and wants this told on its stream.
async fn cancels(session: &Session, id: &str, stream: &mut Sse) {
    assert_eq!(session.tell(&cancellation(id)).await.status, 202);
    let mut ended = stream.message(SOON).await;
    // Its questions are withdrawn before it ends.
    while ended["method"] == "notifications/cancelled" {
        ended = stream.message(SOON).await;
    }
    let code = &ended["error"]["data"]["error_code"];
    assert_eq!(
        (&ended["id"], code),
        (&json!(id), &json!("request_cancelled")),
        "{ended}"
    );
}

#[tokio::test]
async fn a_call_that_is_cancelled_before_it_is_made_never_reaches_the_server() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").set("client_features", "serialize"))
        .server(Server::gremlin("g2").orders(&json!({"era": "modern"})))
        .start();
    let client = gateway.client();
    let late = tool_call("waits", "echo", &json!({"text": "too late"}));
    let journal = gateway.journal("g1");

    // It waits for its turn.
    let (busy, waiting) = (open(&client).await, open(&client).await);
    let sleep = json!({"do": "sleep", "ms": 1500, "say": "awake"});
    let mut long = busy.stream(&tool_call("long", "gremlin", &sleep)).await;
    wait_until("the call", SOON, || journal.count_method("tools/call") == 1).await;
    let mut stream = waiting.stream(&late).await;
    cancels(&waiting, "waits", &mut stream).await;
    let all = Session::open(&client, "/mcp", REVISION).await;
    let late = tool_call("waits", "g1__echo", &json!({"text": "too late"}));
    cancels(&all, "waits", &mut all.stream(&late).await).await;
    let said = long.message(SOON).await;
    assert_eq!(said["result"]["content"][0]["text"], "awake", "{said}");
    assert_eq!(waiting.call("echo", &json!({"text": "next"})).await, "next");
    assert_eq!(journal.count("too late"), 0);

    // It waits for what its client is to say before the call is made again.
    let sampling = json!({"sampling": {}});
    let session = Session::open_with(&client, "/g2/mcp", REVISION, &sampling).await;
    let requests = json!({"q": {"method": "sampling/createMessage", "params": {"messages": []}}});
    let deed = json!({"do": "input_required", "requests": requests, "state": "s"});
    let mut stream = session.stream(&tool_call("waits", "gremlin", &deed)).await;
    let question = stream.message(SOON).await;
    assert_eq!(question["method"], "sampling/createMessage", "{question}");
    cancels(&session, "waits", &mut stream).await;
    assert_eq!(gateway.journal("g2").count_method("tools/call"), 1);
}
