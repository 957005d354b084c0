//! Requests of the modern era on the MCP endpoints: what they must say, and what becomes of a client that goes away.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::mcp::{self, MODERN, modern, modern_post};
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const VERSION: &str = "mcp-protocol-version";

fn call(id: impl Into<Value>, tool: &str, arguments: &Value) -> Value {
    modern(
        id,
        "tools/call",
        &json!({"name": tool, "arguments": arguments}),
    )
}

/// Status, id and code of an error.
async fn refusal(client: &Client, request: RequestBuilder) -> (u16, Value, Value) {
    let refused = client.send(request).await;
    let answer = refused.json();
    (
        refused.status,
        answer["id"].clone(),
        answer["error"]["code"].clone(),
    )
}

#[tokio::test]
async fn a_request_needs_no_handshake_and_no_session_comes_of_it() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("g1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        let message = call("a", "echo", &json!({"text": "hello"}));
        // What a session of the legacy era would need is ignored.
        let request = modern_post(&client, "/g1/mcp", &message)
            .header("mcp-session-id", "none")
            .header("last-event-id", "1-1");
        let called = client.send(request).await;
        let answer = called.json();
        assert_eq!(
            (called.status, &answer["id"]),
            (200, &json!("a")),
            "{answer}"
        );
        assert_eq!(answer["result"]["content"][0]["text"], "hello", "{answer}");
        assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
        assert!(!called.headers.contains_key("mcp-session-id"));
    }
}

#[tokio::test]
async fn a_server_that_gives_no_list_of_its_tools_can_be_called() {
    let server = Server::gremlin("g1").orders(&json!({"era": "modern", "no_list": true}));
    let gateway = Gateway::builder().server(server).start();
    let client = gateway.client();
    for id in ["first", "second"] {
        let message = call(id, "echo", &json!({"text": id}));
        let answer = client.send(modern_post(&client, "/g1/mcp", &message)).await;
        let answer = answer.json();
        assert_eq!(answer["result"]["content"][0]["text"], id, "{answer}");
    }
    let lists = gateway.journal("g1").count_method("tools/list");
    assert_eq!(lists, 1, "it is asked once");
}

#[tokio::test]
async fn calls_at_once_ask_for_the_list_once_and_wait_for_no_more_than_a_part_of_their_own_time() {
    let server = Server::gremlin("g1").orders(&json!({"era": "modern", "no_list": true}));
    let gateway = Gateway::builder().server(server.autostart());
    let gateway = gateway.set("request_timeout_ms", 3000).start();
    let client = gateway.client();
    let asked = Instant::now();
    let calls = (0..8).map(|id| {
        let message = call(id, "gremlin", &json!({"do": "nothing"}));
        client.send(modern_post(&client, "/g1/mcp", &message))
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.json()["error"]["code"], -31006, "{}", answer.text());
    }
    // A quarter of the time for the list, the whole for the call, and some for the machine.
    assert!(asked.elapsed() < Duration::from_secs(6), "{asked:?}");
    assert_eq!(gateway.journal("g1").count_method("tools/list"), 1);
}

#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let message = call(3, "echo", &json!({"text": "x"}));
    let with = |headers: &[(&str, &str)]| {
        let request = mcp::post(&client, "/g1/mcp", &message);
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
    };
    let (version, method) = ((VERSION, MODERN), ("mcp-method", "tools/call"));
    for headers in [
        &[method, ("mcp-name", "echo")][..],
        &[(VERSION, "2025-11-25"), method, ("mcp-name", "echo")],
        &[(VERSION, "1999-01-01"), method, ("mcp-name", "echo")],
        &[version, version, method, ("mcp-name", "echo")],
        &[version, ("mcp-name", "echo")],
        &[version, ("mcp-method", "tools/list"), ("mcp-name", "echo")],
        &[version, ("mcp-method", "Tools/call"), ("mcp-name", "echo")],
        &[version, method],
        &[version, method, ("mcp-name", "gremlin")],
        &[version, method, ("mcp-name", "=?base64?!!?=")],
    ] {
        let expected = (400, json!(3), json!(-32020));
        assert_eq!(
            refusal(&client, with(headers)).await,
            expected,
            "{headers:?}"
        );
    }
    assert_eq!(gateway.journal("g1").count_method("tools/call"), 0);
    for name in ["echo", "=?base64?ZWNobw==?="] {
        let taken = client
            .send(with(&[version, method, ("mcp-name", name)]))
            .await;
        assert_eq!(taken.status, 200, "{name}: {}", taken.text());
    }
}

#[tokio::test]
async fn a_request_must_make_its_claims() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let mut bare = call(4, "echo", &json!({"text": "x"}));
    bare["params"].as_object_mut().unwrap().remove("_meta");
    let mut half = call(4, "echo", &json!({"text": "x"}));
    let claims = half["params"]["_meta"].as_object_mut().unwrap();
    claims.remove("io.modelcontextprotocol/clientCapabilities");
    for message in [bare, half] {
        let request = modern_post(&client, "/g1/mcp", &message);
        let expected = (400, json!(4), json!(-32602));
        assert_eq!(refusal(&client, request).await, expected, "{message}");
    }
    let mut strange = call(4, "echo", &json!({"text": "x"}));
    strange["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01".into();
    let request = mcp::post(&client, "/g1/mcp", &strange)
        .header(VERSION, "2099-01-01")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo");
    let refused = client.send(request).await;
    let error = refused.json()["error"].clone();
    assert_eq!(
        (refused.status, &error["code"]),
        (400, &json!(-32022)),
        "{error}"
    );
    assert_eq!(error["data"]["requested"], "2099-01-01", "{error}");
    assert_eq!(error["data"]["supported"][0], MODERN, "{error}");
}

#[tokio::test]
async fn an_error_has_the_status_that_the_era_gives_it() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("g1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        for (method, status) in [("no/such", 404), ("ping", 404), ("initialize", 404)] {
            let request = modern_post(&client, "/g1/mcp", &modern(5, method, &json!({})));
            let expected = (status, json!(5), json!(-32601));
            assert_eq!(refusal(&client, request).await, expected, "{era}: {method}");
        }
        for (code, status) in [
            (-32601, 404),
            (-32020, 400),
            (-32602, 200),
            (-32603, 200),
            (7, 200),
        ] {
            let message = call(
                6,
                "gremlin",
                &json!({"do": "refuse", "code": code, "message": "no"}),
            );
            let request = modern_post(&client, "/g1/mcp", &message);
            let expected = (status, json!(6), json!(code));
            assert_eq!(refusal(&client, request).await, expected, "{era}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("g1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        let journal = gateway.journal("g1");
        // One goes before anything was answered, one in the middle of a stream.
        let silent = call(1, "gremlin", &json!({"do": "nothing"}));
        let request = modern_post(&client, "/g1/mcp", &silent);
        let asked = async {
            wait_for("the call", SOON, async || {
                (journal.count_method("tools/call") == 1).then_some(())
            })
            .await;
        };
        tokio::select! {
            answer = request.send() => panic!("{answer:?}"),
            () = asked => {}
        }
        let cancelled = async |count| {
            wait_for("a cancellation", SOON, async || {
                let told = journal.of_method("notifications/cancelled");
                (told.len() == count).then_some(told)
            })
            .await
        };
        cancelled(1).await;

        let arguments = json!({"do": "progress", "count": 1000, "interval_ms": 50});
        let mut talking = call(2, "gremlin", &arguments);
        talking["params"]["_meta"]["progressToken"] = 0.into();
        let request = modern_post(&client, "/g1/mcp", &talking);
        let mut stream = Sse::new(request.send().await.unwrap());
        let event = stream.event(SOON).await;
        assert_eq!((&event.id, event.retry), (&None, None), "nothing to resume");
        assert_eq!(event.json()["params"]["progressToken"], 0);
        drop(stream);
        let told = cancelled(2).await;
        let calls = journal.of_method("tools/call");
        for (call, told) in calls.iter().zip(&told) {
            assert_eq!(told["params"]["requestId"], call["id"], "{era}");
        }
    }
}
