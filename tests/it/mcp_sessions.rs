//! Sessions of the legacy era on the MCP endpoints: how one begins, what its streams carry, and how it ends.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::mcp::{self, Session, request, tool_call};
use crate::support::sse::Event;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const NEWEST: &str = "2025-11-25";

fn one_gremlin() -> Gateway {
    Gateway::builder().server(Server::gremlin("g1")).start()
}

/// A call that reports its progress this often, then ends.
fn progress(id: &str, count: u32) -> Value {
    let arguments = json!({"do": "progress", "count": count, "interval_ms": 50, "say": "done"});
    let mut call = tool_call(id, "gremlin", &arguments);
    call["params"]["_meta"] = json!({"progressToken": "t"});
    call
}

/// The steps of progress that were told, and the text of the response, if they are the last.
fn told(messages: &[Value]) -> (Vec<u64>, &str) {
    let (response, before) = messages.split_last().expect("a response");
    let steps = before.iter().map(|message| {
        assert_eq!(message["method"], "notifications/progress", "{message}");
        assert_eq!(message["params"]["progressToken"], "t", "{message}");
        message["params"]["progress"].as_u64().unwrap()
    });
    let text = response["result"]["content"][0]["text"].as_str();
    (steps.collect(), text.unwrap_or_default())
}

#[tokio::test]
async fn a_session_begins_with_initialize_is_heard_and_ends() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("g1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let session = Session::open(&gateway.client(), "/g1/mcp", NEWEST).await;
        assert!(session.id.bytes().all(|byte| byte.is_ascii_graphic()));
        let called = session
            .ask(&tool_call(7, "echo", &json!({"text": "hello"})))
            .await;
        assert_eq!(called["result"]["content"][0]["text"], "hello", "{called}");

        let mut own = session.listen().await;
        assert_eq!(own.headers["x-accel-buffering"], "no");
        assert_eq!(own.headers["cache-control"], "no-store");
        let first = own.event(SOON).await;
        let expected = Event {
            id: first.id.clone(),
            retry: Some(1000),
            data: Some(String::new()),
            name: None,
        };
        assert!(first.id.is_some() && first == expected, "{first:?}");
        session
            .deed(&json!({"do": "list_changed", "of": "tools"}))
            .await;
        let heard = own.message(SOON).await;
        assert_eq!(
            heard["method"], "notifications/tools/list_changed",
            "{heard}"
        );

        let ended = session.end().await;
        assert_eq!((ended.status, ended.text()), (204, String::new()));
        assert_eq!(
            own.messages(SOON).await,
            [Value::Null; 0],
            "the stream ends"
        );
        let ping = request(8, "ping", &json!({}));
        assert_eq!(session.tell(&ping).await.status, 404);
        assert_eq!(session.end().await.status, 404);
    }
}

#[tokio::test]
async fn what_a_call_says_comes_before_its_response_on_the_stream_of_its_own() {
    let gateway = one_gremlin();
    for (revision, primes) in [("2025-06-18", false), (NEWEST, true)] {
        let session = Session::open(&gateway.client(), "/g1/mcp", revision).await;
        let mut own = session.listen().await;
        let mut stream = session.stream(&progress("call", 3)).await;
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        let first = stream.event(SOON).await;
        // Clients of earlier revisions fail on an event without data.
        assert_eq!(first.data.as_deref() == Some(""), primes, "{first:?}");
        let mut messages = stream.messages(SOON).await;
        if !primes {
            messages.insert(0, first.json());
        }
        assert_eq!(told(&messages), (vec![1, 2, 3], "done"));
        session
            .deed(&json!({"do": "list_changed", "of": "tools"}))
            .await;
        let heard = own.message(SOON).await;
        assert_eq!(
            heard["method"], "notifications/tools/list_changed",
            "{heard}"
        );
    }
}

#[tokio::test]
async fn a_call_outlives_its_connection_and_the_stream_is_resumed_where_it_broke_off() {
    let gateway = one_gremlin();
    let session = Session::open(&gateway.client(), "/g1/mcp", NEWEST).await;
    let mut stream = session.stream(&progress("call", 4)).await;
    let primer = stream.event(SOON).await.id.unwrap();
    let first = stream.event(SOON).await;
    assert_eq!(first.json()["params"]["progress"], 1);
    drop(stream);
    let mut rest = session.resume(&first.id.unwrap()).await;
    assert_eq!(told(&rest.messages(SOON).await), (vec![2, 3, 4], "done"));
    let mut whole = session.resume(&primer).await;
    assert_eq!(
        told(&whole.messages(SOON).await),
        (vec![1, 2, 3, 4], "done")
    );
    assert_eq!(gateway.journal("g1").count("notifications/cancelled"), 0);

    for unknown in ["nonsense", "99-1"] {
        let request = session.get().header("last-event-id", unknown);
        let refused = gateway.client().send(request).await;
        assert_eq!(refused.status, 400, "{unknown}: {}", refused.text());
    }
}

/// What a client can see of an answer.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status, headers.collect(), answer.text())
}

/// H085: status, headers and body are the same.
#[tokio::test]
async fn a_session_of_another_is_as_unknown_as_one_that_never_was() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("g2"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let own = Session::open(&alice, "/g1/mcp", NEWEST).await;
    let mut stream = own.listen().await;
    stream.event(SOON).await;

    let stolen = own.stolen_by(&bob);
    let elsewhere = own.on("/g2/mcp");
    let never = own.with_id(&"0".repeat(own.id.len()));
    let ping = request(1, "ping", &json!({}));
    for message in [
        &ping,
        &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ] {
        let expected = seen(&never.tell(message).await);
        assert_eq!(expected.0, 404, "{expected:?}");
        assert_eq!(seen(&stolen.tell(message).await), expected);
    }
    let expected = seen(&never.get_whole().await);
    assert_eq!(expected.0, 404, "{expected:?}");
    assert_eq!(seen(&stolen.get_whole().await), expected);
    let expected = seen(&never.end().await);
    assert_eq!(expected.0, 404, "{expected:?}");
    assert_eq!(seen(&stolen.end().await), expected);
    // A session is of the path that it was opened on.
    assert_eq!(elsewhere.tell(&ping).await.status, 404);
    assert_eq!(elsewhere.end().await.status, 404);

    own.deed(&json!({"do": "list_changed", "of": "tools"}))
        .await;
    let heard = stream.message(SOON).await;
    assert_eq!(
        heard["method"], "notifications/tools/list_changed",
        "still there"
    );
}

/// H087: what a client brings along opens nothing.
#[tokio::test]
async fn everything_but_initialize_wants_a_session() {
    let gateway = one_gremlin();
    let client = gateway.client();
    let list = request(5, "tools/list", &json!({}));
    let refused = client.send(mcp::post(&client, "/g1/mcp", &list)).await;
    let answer = refused.json();
    assert_eq!(
        (refused.status, &answer["id"]),
        (400, &json!(5)),
        "{answer}"
    );
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let refused = client.send(mcp::post(&client, "/g1/mcp", &done)).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(gateway.journal("g1").count_method("tools/list"), 0);

    // A new session for whoever asks, whatever it brings along.
    let hello = mcp::post(&client, "/g1/mcp", &mcp::initialize(NEWEST));
    let shaken = client.send(hello.header("mcp-session-id", "none")).await;
    assert_eq!(shaken.status, 200, "{}", shaken.text());
    assert_ne!(shaken.header("mcp-session-id"), "none");
}

#[tokio::test]
async fn a_session_survives_its_server() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::gremlin("g1"))
        .start();
    let session = Session::open(&gateway.client(), "/g1/mcp", NEWEST).await;
    let lost = session.deed(&json!({"do": "exit", "code": 3})).await;
    assert_eq!(lost["error"]["data"]["error_code"], "server_lost", "{lost}");
    let called = session
        .ask(&tool_call(2, "echo", &json!({"text": "again"})))
        .await;
    assert_eq!(called["result"]["content"][0]["text"], "again", "{called}");
    let unknown = session.ask(&request(3, "no/such", &json!({}))).await;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown}");
    let in_band = session.tell(&request(4, "no/such", &json!({}))).await;
    assert_eq!(in_band.status, 200, "{}", in_band.text());
}

#[tokio::test]
async fn a_token_has_so_many_streams_and_calls_do_not_take_of_them() {
    let gateway = Gateway::builder()
        .limit("max_streams_per_token", 1)
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let session = Session::open(&client, "/g1/mcp", NEWEST).await;
    let mut own = session.listen().await;
    own.event(SOON).await;
    let refused = session.get_whole().await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    let mut stream = session.stream(&progress("call", 1)).await;
    assert_eq!(told(&stream.messages(SOON).await), (vec![1], "done"));
    let other = client
        .request(Method::GET, "/g1/rpc")
        .header("accept", "text/event-stream");
    assert_eq!(
        client.send(other).await.status,
        429,
        "one share for all endpoints"
    );
}

#[tokio::test]
async fn a_drain_ends_the_stream_of_a_session_and_lets_a_call_come_to_its_end() {
    let mut gateway = one_gremlin();
    let session = Session::open(&gateway.client(), "/g1/mcp", NEWEST).await;
    let mut own = session.listen().await;
    own.event(SOON).await;
    let mut stream = session.stream(&progress("call", 10)).await;
    assert_eq!(stream.message(SOON).await["params"]["progress"], 1);
    gateway.signal(Signal::TERM);
    assert_eq!(own.messages(SOON).await, [Value::Null; 0]);
    let rest = stream.messages(SOON).await;
    assert_eq!(told(&rest).1, "done", "{rest:?}");
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
}
