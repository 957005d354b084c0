//! Notifications of a server that are neither of progress, logs, lists nor resources: they reach whom they are about.

use std::time::Duration;

use serde_json::{Value, json};

use crate::alone::dropped;
use crate::support::client::Client;
use crate::support::mcp::{Session, tool_call};
use crate::support::sse::Sse;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";
const COMPLETE: &str = "notifications/elicitation/complete";
const STATUS: &str = "notifications/tasks/status";
const CUSTOM: &str = "notifications/acme/moved";

/// A session that can be asked to visit a URL, and its stream.
async fn open(client: &Client) -> (Session, Sse) {
    let url = json!({"elicitation": {"url": {}}});
    let session = Session::open_with(client, "/g1/mcp", REVISION, &url).await;
    let mut own = session.listen().await;
    own.event(SOON).await;
    (session, own)
}

fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// Has the server write a message.
fn writes(message: &Value) -> Value {
    json!({"do": "write", "frame": message.to_string()})
}

/// The next message on a stream, and then nothing but what marks the end of the test.
async fn hears_only(own: &mut Sse, message: Option<&Value>) {
    let mut heard = Vec::new();
    loop {
        let next = own.message(SOON).await;
        if next["method"] == "notifications/tools/list_changed" {
            break;
        }
        heard.push(next);
    }
    let expected: Vec<Value> = message.into_iter().cloned().collect();
    assert_eq!(heard, expected);
}

const MARKER: &str = r#"{"do": "list_changed", "of": "tools"}"#;

fn marker() -> Value {
    serde_json::from_str(MARKER).unwrap()
}

/// RA11: of a server that all share, to the session in whose call the id came up.
#[tokio::test]
async fn what_names_an_elicitation_or_a_task_reaches_the_session_that_it_came_up_in() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let ((one, mut of_one), (_other, mut of_other)) = (open(&client).await, open(&client).await);

    // Asked on the stream of a call.
    let params = json!({"mode": "url", "message": "?", "url": "https://x", "elicitationId": "e1"});
    let ask = json!({"do": "ask", "method": "elicitation/create", "params": params, "wait_ms": 50});
    one.deed(&ask).await;
    // Named by an error.
    let needed = json!({"elicitations": [{"mode": "url", "elicitationId": "e2", "url": "https://x", "message": "?"}]});
    let refuse = json!({"do": "refuse", "code": -32042, "message": "visit", "data": needed});
    one.deed(&refuse).await;
    // A call that becomes a task.
    let task = json!({"task": {"taskId": "t1", "status": "working"}});
    let raw = json!({"do": "raw", "result": task.to_string()});
    let mut call = tool_call("call", "gremlin", &raw);
    call["params"]["task"] = json!({"ttl": 1000});
    one.ask(&call).await;

    for message in [
        notification(COMPLETE, &json!({"elicitationId": "e1"})),
        notification(COMPLETE, &json!({"elicitationId": "e2"})),
        notification(STATUS, &json!({"taskId": "t1", "status": "completed"})),
    ] {
        client.deed("g1", &writes(&message)).await;
        client.deed("g1", &marker()).await;
        hears_only(&mut of_one, Some(&message)).await;
        hears_only(&mut of_other, None).await;
    }

    let before = dropped(&client, "g1", "unattributed").await;
    for message in [
        notification(COMPLETE, &json!({"elicitationId": "unknown"})),
        notification(STATUS, &json!({"taskId": "unknown"})),
        notification(CUSTOM, &json!({})),
    ] {
        client.deed("g1", &writes(&message)).await;
    }
    wait_for("three dropped messages", SOON, async || {
        (dropped(&client, "g1", "unattributed").await > before + 2.5).then_some(())
    })
    .await;
}

/// RA11: with the progress token of a call, on the stream of that call, under the client's own token.
#[tokio::test]
async fn what_bears_a_progress_token_reaches_the_call_of_it() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let (session, _own) = open(&client).await;
    let deed = json!({"do": "burst", "of": CUSTOM, "count": 1, "text": "x"});
    let mut call = tool_call("call", "gremlin", &deed);
    call["params"]["_meta"] = json!({"progressToken": "mine"});
    let mut stream = session.stream(&call).await;
    let heard = stream.messages(SOON).await;
    assert_eq!(heard[0]["method"], CUSTOM, "{heard:?}");
    assert_eq!(heard[0]["params"]["progressToken"], "mine", "{heard:?}");
}

/// RA11: of a process that is one's own, to all who hear it, as it was written.
#[tokio::test]
async fn what_a_process_of_ones_own_says_reaches_its_owner() {
    for instance in ["session", "client"] {
        let server = Server::gremlin("g1").set("instance", instance);
        let gateway = Gateway::builder().people().server(server).start();
        let (session, mut own) = open(&gateway.alice()).await;
        let (other, mut of_other) = open(&gateway.bob()).await;
        for method in [CUSTOM, COMPLETE, STATUS] {
            let message = notification(method, &json!({"elicitationId": "e", "taskId": "t"}));
            session.deed(&writes(&message)).await;
            session.deed(&marker()).await;
            other.deed(&marker()).await;
            hears_only(&mut own, Some(&message)).await;
            hears_only(&mut of_other, None).await;
        }
    }
}
