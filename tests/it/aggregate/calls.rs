//! Calls through `/mcp` that are more than one message and its answer.

use serde_json::{Value, json};

use super::{NEWEST, SOON, text, two_servers};
use crate::support::mcp::{Session, modern, modern_post, request, tool_call};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

fn two_gremlins() -> Gateway {
    Gateway::builder()
        .server(Server::gremlin("a"))
        .server(Server::gremlin("b"))
        .start()
}

#[tokio::test]
async fn progress_comes_under_the_clients_own_token() {
    let gateway = two_servers("modern", "legacy");
    let client = gateway.client();
    let session = Session::open(&client, "/mcp", NEWEST).await;
    let deed = json!({"do": "progress", "count": 3, "interval_ms": 20, "say": "done"});
    let mut call = tool_call(1, "Imp__gremlin", &deed);
    call["params"]["_meta"] = json!({"progressToken": "own"});
    let params = &call["params"];
    let modern_call = modern(1, "tools/call", params);
    let modern_stream = client
        .stream(modern_post(&client, "/mcp", &modern_call))
        .await;
    for mut stream in [session.stream(&call).await, modern_stream] {
        let messages = stream.messages(SOON).await;
        let messages: Vec<_> = messages
            .iter()
            .filter(|message| !message.is_null())
            .collect();
        let (response, before) = messages.split_last().expect("a response");
        assert_eq!(before.len(), 3, "{messages:?}");
        for told in before {
            assert_eq!(told["params"]["progressToken"], "own", "{told}");
        }
        assert_eq!(
            response["result"]["content"][0]["text"], "done",
            "{response}"
        );
    }
}

#[tokio::test]
async fn a_question_is_put_to_the_client_of_its_call() {
    let gateway = two_gremlins();
    let sampling = json!({"sampling": {}});
    let session = Session::open_with(&gateway.client(), "/mcp", NEWEST, &sampling).await;
    let params = json!({"messages": [], "maxTokens": 7});
    let deed = json!({"do": "ask", "method": "sampling/createMessage", "params": params});
    let mut stream = session
        .stream(&tool_call("call", "b__gremlin", &deed))
        .await;
    let question = loop {
        let event = stream.event(SOON).await;
        if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
            break event.json();
        }
    };
    assert_eq!(question["method"], "sampling/createMessage", "{question}");
    let content = json!({"type": "text", "text": "yes"});
    let result = json!({"role": "assistant", "model": "m", "content": content});
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(session.tell(&answer).await.status, 202);
    let response = stream.message(SOON).await;
    let heard: Value =
        serde_json::from_str(&text(&response["result"]["content"][0]["text"])).unwrap();
    assert_eq!(heard["result"]["content"]["text"], "yes", "{heard}");
}

#[tokio::test]
async fn a_cancellation_finds_its_call() {
    let gateway = two_gremlins();
    let session = Session::open(&gateway.client(), "/mcp", NEWEST).await;
    let deed = json!({"do": "sleep", "ms": 30_000});
    let call = tool_call("long", "b__gremlin", &deed);
    let cancel = async {
        let journal = gateway.journal("b");
        wait_for("the call to be under way", SOON, async || {
            (journal.count_method("tools/call") == 1).then_some(())
        })
        .await;
        let params = json!({"requestId": "long"});
        let told = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        assert_eq!(session.tell(&told).await.status, 202);
        wait_for("the server to be told", SOON, async || {
            (journal.count_method("notifications/cancelled") == 1).then_some(())
        })
        .await;
    };
    let (answer, ()) = tokio::join!(session.ask(&call), cancel);
    assert_eq!(
        answer["error"]["data"]["error_code"], "request_cancelled",
        "{answer}"
    );
    assert_eq!(
        gateway.journal("a").count_method("notifications/cancelled"),
        0
    );
}

#[tokio::test]
async fn a_level_of_logs_is_told_to_every_server() {
    let gateway = two_gremlins();
    let session = Session::open(&gateway.client(), "/mcp", NEWEST).await;
    let set = |level: &str| request(1, "logging/setLevel", &json!({"level": level}));
    let answer = session.ask(&set("error")).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
    for server_id in ["a", "b"] {
        let told = gateway.journal(server_id).of_method("logging/setLevel");
        assert_eq!(told.last().unwrap()["params"]["level"], "error", "{told:?}");
    }
    let answer = session.ask(&set("loud")).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[tokio::test]
async fn a_modern_request_repeats_the_name_that_it_sends() {
    let gateway = two_gremlins();
    let client = gateway.client();
    let params = json!({"name": "b__echo", "arguments": {"text": "hi"}});
    let message = modern(1, "tools/call", &params);
    let named = modern_post(&client, "/mcp", &message);
    assert_eq!(client.send(named).await.status, 200);
    let mut other = modern(1, "tools/call", &params);
    other["params"]["name"] = "echo".into();
    let request = modern_post(&client, "/mcp", &other).body(message.to_string());
    let refused = client.send(request).await;
    let code = refused.json()["error"]["code"].clone();
    assert_eq!((refused.status, code), (400, json!(-32020)));
}

#[tokio::test]
async fn a_session_is_of_all_servers_or_of_one() {
    let gateway = two_gremlins();
    let session = Session::open(&gateway.client(), "/mcp", NEWEST).await;
    let list = request(1, "tools/list", &json!({}));
    assert_eq!(session.on("/a/mcp").tell(&list).await.status, 404);
    assert_eq!(session.tell(&list).await.status, 200);
    assert_eq!(session.end().await.status, 204);
    assert_eq!(session.tell(&list).await.status, 404);
}

#[tokio::test]
async fn a_session_of_all_servers_has_processes_of_its_own_where_a_session_has() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("own").set("instance", "session"))
        .server(Server::gremlin("all"))
        .start();
    let client = gateway.client();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let session = Session::open(&client, "/mcp", NEWEST).await;
        let mut pids = Vec::new();
        for tool in ["own__gremlin", "all__gremlin", "own__gremlin"] {
            let said = session
                .ask(&tool_call(1, tool, &json!({"do": "whoami"})))
                .await;
            pids.push(text(&said["result"]["content"][0]["text"]));
        }
        assert_eq!(pids[0], pids[2], "one process for the session");
        seen.push(pids);
    }
    assert_ne!(seen[0][0], seen[1][0], "and another for the next");
    assert_eq!(seen[0][1], seen[1][1]);
    let modern_list = modern(1, "tools/list", &json!({}));
    let listed = client
        .send(modern_post(&client, "/mcp", &modern_list))
        .await
        .json();
    assert_eq!(
        listed["result"]["tools"].as_array().unwrap().len(),
        6,
        "{listed}"
    );
}
