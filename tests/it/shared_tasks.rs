//! Tasks of a server that all clients share: they are known to the token that created them, and to no other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::alone::dropped;
use crate::support::client::Client;
use crate::support::mcp::{Session, request, tool_call};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";
const RELATED: &str = "io.modelcontextprotocol/related-task";

/// Has the reference server make a report, which takes it four seconds, and gives the id of the task.
async fn create_task(session: &Session, topic: &str) -> String {
    let mut call = tool_call(1, "simulate-research-query", &json!({"topic": topic}));
    call["params"]["task"] = json!({"ttl": 60_000});
    let created = session.ask(&call).await;
    let id = created["result"]["task"]["taskId"].as_str();
    id.unwrap_or_else(|| panic!("no task: {created}"))
        .to_owned()
}

fn about(method: &str, task: &str) -> Value {
    request("about", method, &json!({"taskId": task}))
}

/// What all doors that a client has say to a message: the code of the error and its text.
async fn refused(session: &Session, client: &Client, message: &Value) -> (Value, Value) {
    let in_session = session.ask(message).await["error"].clone();
    let plain = client.rpc("everything", message).await.json();
    let text = plain.to_string();
    assert!(text.contains("invalid_params"), "{text}");
    let all = Session::open(client, "/mcp", REVISION).await;
    let of_all = all.tell(message).await.text();
    assert!(
        of_all.contains("error") && !of_all.contains("\"result\""),
        "{of_all}"
    );
    (in_session["code"].clone(), in_session["message"].clone())
}

/// RE01: with the id of another token's task one can neither see it, fetch its result, cancel it, nor put anything into
/// it; the server is not asked, and says nothing else than of an id that never was.
#[tokio::test]
async fn a_task_of_another_token_is_unknown_to_everybody_else() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::everything("everything"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let of_alice = Session::open(&alice, "/everything/mcp", REVISION).await;
    let of_bob = Session::open(&bob, "/everything/mcp", REVISION).await;
    let task = create_task(&of_alice, "the secret of alice").await;
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let foreign = refused(&of_bob, &bob, &about(method, &task)).await;
        let made_up = refused(&of_bob, &bob, &about(method, "made up")).await;
        assert_eq!(foreign, made_up, "{method}");
        assert_eq!(foreign.0, -32602, "{method}");
    }
    let list = of_bob.ask(&request("list", "tasks/list", &json!({}))).await;
    assert_eq!(list["error"]["code"], -32601, "{list}");
    // The server would put the answer to this into the queue of the task.
    let mut echo = tool_call("echo", "echo", &json!({"message": "from bob"}));
    echo["params"]["_meta"][RELATED] = json!({"taskId": task});
    let echoed = of_bob.ask(&echo).await;
    assert_eq!(echoed["error"]["code"], -32602, "{echoed}");

    // It is alice's in each of her sessions, and on.
    let elsewhere = Session::open(&alice, "/everything/mcp", REVISION).await;
    let seen = elsewhere.ask(&about("tasks/get", &task)).await;
    assert_eq!(seen["result"]["status"], "working", "{seen}");
    let result = elsewhere.ask(&about("tasks/result", &task)).await;
    let text = result["result"]["content"][0]["text"].as_str();
    assert!(
        text.is_some_and(|text| text.contains("the secret of alice")),
        "{result}"
    );
    assert!(!result.to_string().contains("from bob"), "{result}");
    let other = create_task(&of_alice, "given up").await;
    let cancelled = of_alice.ask(&about("tasks/cancel", &other)).await;
    assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
}

/// RE01: a notification about another token's task is not passed on, and is counted; any other is passed on.
#[tokio::test]
async fn a_notification_about_a_task_of_another_token_does_not_reach_the_server() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start();
    let bob = gateway.bob();
    let session = Session::open(&bob, "/g1/mcp", REVISION).await;
    let notify =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "method": method, "params": params});
    let foreign = json!({"taskId": "of alice"});
    let before = dropped(&gateway.client(), "g1", "unattributed").await;
    for message in [
        notify("notifications/tasks/status", foreign.clone()),
        notify("notifications/acme", json!({"_meta": {RELATED: foreign}})),
    ] {
        assert_eq!(session.tell(&message).await.status, 202, "{message}");
        assert_eq!(bob.rpc("g1", &message).await.status, 202, "{message}");
    }
    let harmless = notify("notifications/acme", json!({"taskId": "a word of its own"}));
    assert_eq!(session.tell(&harmless).await.status, 202);
    let journal = gateway.journal("g1");
    wait_for("the harmless one", SOON, async || {
        (journal.count_method("notifications/acme") > 0).then_some(())
    })
    .await;
    assert_eq!(journal.count("of alice"), 0);
    let after = dropped(&gateway.client(), "g1", "unattributed").await;
    assert!((after - before - 4.0).abs() < 0.5, "{before}, {after}");
}
