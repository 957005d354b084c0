//! A response that is long in coming: it becomes a stream with comments before its client gives it up.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::gateway::TOKEN;
use crate::support::mcp::{Session, initialize, modern, modern_post, post, request, tool_call};
use crate::support::places::{self, MARKER};
use crate::support::sse::{Item, Sse};
use crate::support::stdio::text_of;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(20);
const REVISION: &str = "2025-11-25";

/// A gateway whose responses are silent for less than half a second, and a server that takes two to start.
fn gateway() -> Gateway {
    Gateway::builder()
        .limit("silence_ms", 400)
        .server(Server::gremlin("g1"))
        .server(Server::gremlin("late").orders(&json!({"slow_start_ms": 2500})))
        .start()
}

/// The keep-alive comments on a stream, and its last message.
async fn read(mut stream: Sse) -> (usize, Value) {
    let (mut comments, mut last) = (0, Value::Null);
    while let Some(item) = stream.next(SOON).await {
        match item {
            Item::Comment(text) => comments += usize::from(text == "keep-alive"),
            Item::Event(event) => {
                if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                    last = event.json();
                }
            }
        }
    }
    (comments, last)
}

/// RA10: in both eras, with one server and with all, the response is a stream with comments after `silence_ms`.
#[tokio::test]
async fn a_call_that_is_silent_is_answered_with_comments_and_then_its_response() {
    let gateway = gateway();
    let client = gateway.client();
    let slow = json!({"do": "sleep", "ms": 2500, "say": "at last"});
    let session = Session::open(&client, "/g1/mcp", REVISION).await;
    let of_all = Session::open(&client, "/mcp", REVISION).await;
    let modern_of = |path: &'static str, tool: &str| {
        let params = json!({"name": tool, "arguments": slow});
        modern_post(&client, path, &modern("call", "tools/call", &params))
    };
    let requests = [
        modern_of("/g1/mcp", "gremlin"),
        modern_of("/mcp", "g1__gremlin"),
        session.message(&tool_call("call", "gremlin", &slow)),
        of_all.message(&tool_call("call", "g1__gremlin", &slow)),
    ];
    let reads = requests.map(async |request| {
        let stream = Sse::new(request.send().await.expect("an answer"));
        read(stream).await
    });
    for (comments, response) in futures_util::future::join_all(reads).await {
        assert_eq!(text_of(&response), "at last");
        assert!(comments >= 2, "{comments} comments before {response}");
    }
}

/// RA10: a server that starts is waited for with comments too; the head tells the session that is opened.
#[tokio::test]
async fn a_server_that_is_long_in_starting_is_waited_for_with_comments() {
    let gateway = gateway();
    let client = gateway.client();
    let hello = post(&client, "/late/mcp", &initialize(REVISION));
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let listen = modern("listen", "subscriptions/listen", &filter);
    let listen = modern_post(&client, "/late/mcp", &listen);
    let echo = json!({"name": "echo", "arguments": {"text": "here"}});
    let call = modern_post(&client, "/late/mcp", &modern("call", "tools/call", &echo));
    let (hello, listen, call) = tokio::join!(hello.send(), listen.send(), call.send());
    let stream = Sse::new(hello.expect("an answer"));
    let id = stream.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let (comments, response) = read(stream).await;
    assert_eq!(
        response["result"]["protocolVersion"], REVISION,
        "{response}"
    );
    assert!(comments >= 1, "{comments} comments");
    let (comments, response) = read(Sse::new(call.expect("an answer"))).await;
    assert_eq!(text_of(&response), "here");
    assert!(comments >= 1, "{comments} comments");
    let acknowledged = Sse::new(listen.expect("an answer")).message(SOON).await;
    let method = "notifications/subscriptions/acknowledged";
    assert_eq!(acknowledged["method"], method, "{acknowledged}");

    let list = client
        .request(reqwest::Method::POST, "/late/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-session-id", id)
        .body(request(1, "tools/list", &json!({})).to_string());
    assert_eq!(client.send(list).await.status, 200, "the session is open");
}

/// RA10: what takes no stream is answered with JSON, however late.
#[tokio::test]
async fn a_client_that_takes_no_stream_waits_for_its_response() {
    let gateway = gateway();
    let client = gateway.client();
    let slow = json!({"do": "sleep", "ms": 1500, "say": "at last"});
    let params = json!({"name": "gremlin", "arguments": slow});
    let message = modern("call", "tools/call", &params);
    let json_only = client
        .request(reqwest::Method::POST, "/g1/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "gremlin")
        .body(message.to_string());
    let answer = client.send(json_only).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(text_of(&answer.json()), "at last");
    let plain = client.rpc("g1", &tool_call(1, "gremlin", &slow)).await;
    assert_eq!(text_of(&plain.json()), "at last");
}

/// RA10: the fetch of Node, with its deadlines for head and body set to 1.5 seconds.
#[tokio::test]
async fn a_client_that_times_out_on_silence_gets_its_answers() {
    let gateway = gateway();
    let program = places::repository().join("tests/clients/typescript/silent.mjs");
    let url = |server: &str| format!("http://{}/{server}/mcp", gateway.address());
    let ran = Command::new("node")
        .arg(program)
        .args([&url("g1"), TOKEN, &url("late")])
        .env(MARKER, places::new_marker())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(SOON, ran).await;
    let output = ran.expect("an end").expect("node");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let answers: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|fault| panic!("{fault}: {stdout}{stderr}"));
    assert_eq!(answers, json!(["at last", "at last", "at last"]));
}
