//! Questions of a server that nobody waits for any more: the client is told, and the time of the call runs again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::alone::metric;
use crate::support::mcp::{Session, modern_call, modern_post, tool_call};
use crate::support::sse::Sse;
use crate::support::stdio::text_of;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";
const ELICIT: &str = "elicitation/create";
const CANCELLED: &str = "notifications/cancelled";

fn question() -> Value {
    json!({"message": "?", "requestedSchema": {"type": "object", "properties": {}}})
}

fn elicitation() -> Value {
    json!({"elicitation": {}})
}

fn gateway() -> Gateway {
    let server = Server::gremlin("g1").set("request_timeout_ms", 1500);
    Gateway::builder().server(server).start()
}

/// A question on a stream and its withdrawal; gives the question.
async fn asked_and_withdrawn(stream: &mut Sse) -> Value {
    let asked = stream.message(SOON).await;
    assert_eq!(asked["method"], ELICIT, "{asked}");
    let withdrawn = stream.message(SOON).await;
    assert_eq!(withdrawn["method"], CANCELLED, "{withdrawn}");
    assert_eq!(withdrawn["params"]["requestId"], asked["id"], "{withdrawn}");
    asked
}

/// RA04: a server that takes its question back has its call timed again, and the client is told.
#[tokio::test]
async fn a_question_that_its_server_withdraws_is_withdrawn_at_the_client() {
    let gateway = gateway();
    let client = gateway.client();
    let session = Session::open_with(&client, "/g1/mcp", REVISION, &elicitation()).await;
    let unask = |say: Option<&str>| {
        let mut deed =
            json!({"do": "unask", "method": ELICIT, "params": question(), "after_ms": 200});
        if let Some(say) = say {
            deed["say"] = say.into();
        }
        tool_call("call", "gremlin", &deed)
    };
    let mut stream = session.stream(&unask(Some("without it"))).await;
    let asked = asked_and_withdrawn(&mut stream).await;
    let response = stream.message(SOON).await;
    assert_eq!(text_of(&response), "without it");
    // The answer of a client that had not read the withdrawal yet.
    session.reply(&asked, &json!({"action": "decline"})).await;

    let began = Instant::now();
    let mut stream = session.stream(&unask(None)).await;
    asked_and_withdrawn(&mut stream).await;
    let response = stream.message(SOON).await;
    let code = &response["error"]["data"]["error_code"];
    assert_eq!(code, "server_timeout", "{response}");
    assert!(began.elapsed() >= Duration::from_millis(1500));
}

/// RA04: a call that ends while its question is open withdraws it before its response.
#[tokio::test]
async fn a_question_is_withdrawn_with_the_call_that_has_caused_it() {
    let gateway = gateway();
    let client = gateway.client();
    let session = Session::open_with(&client, "/g1/mcp", REVISION, &elicitation()).await;
    let ask = |wait_ms: u64| {
        let deed = json!({"do": "ask", "method": ELICIT, "params": question(), "wait_ms": wait_ms});
        tool_call("call", "gremlin", &deed)
    };
    let mut stream = session.stream(&ask(100)).await;
    asked_and_withdrawn(&mut stream).await;
    assert_eq!(text_of(&stream.message(SOON).await), "no answer");

    // The client cancels the call.
    let mut stream = session.stream(&ask(60_000)).await;
    let asked = stream.message(SOON).await;
    let params = json!({"requestId": "call"});
    let cancel = json!({"jsonrpc": "2.0", "method": CANCELLED, "params": params});
    assert_eq!(session.tell(&cancel).await.status, 202);
    let withdrawn = stream.message(SOON).await;
    assert_eq!(withdrawn["params"]["requestId"], asked["id"], "{withdrawn}");
    let response = stream.message(SOON).await;
    assert!(response["error"].is_object(), "{response}");
}

/// RA04: of the questions of a modern server, those that are open when one was refused.
#[tokio::test]
async fn what_else_a_modern_server_asks_is_withdrawn_when_one_answer_is_refused() {
    let server = Server::gremlin("g1").orders(&json!({"era": "modern"}));
    let gateway = Gateway::builder().server(server).start();
    let client = gateway.client();
    let session = Session::open_with(&client, "/g1/mcp", REVISION, &elicitation()).await;
    let one = json!({"method": ELICIT, "params": question()});
    let requests = json!({"a": one, "b": one});
    let deed = json!({"do": "input_required", "requests": requests, "state": "s"});
    let mut stream = session.stream(&tool_call("call", "gremlin", &deed)).await;
    let (first, second) = (stream.message(SOON).await, stream.message(SOON).await);
    let error = json!({"code": -1, "message": "no"});
    let refusal = json!({"jsonrpc": "2.0", "id": first["id"], "error": error});
    assert_eq!(session.tell(&refusal).await.status, 202);
    let withdrawn = stream.message(SOON).await;
    assert_eq!(withdrawn["method"], CANCELLED, "{withdrawn}");
    assert_eq!(
        withdrawn["params"]["requestId"], second["id"],
        "{withdrawn}"
    );
    let response = stream.message(SOON).await;
    assert!(response["error"].is_object(), "{response}");
}

/// RA04: while a modern client is away with the question, or before it was asked.
#[tokio::test]
async fn a_question_to_a_modern_client_is_withdrawn_while_its_call_is_held() {
    let gateway = gateway();
    let client = gateway.client();
    let call = |deed: &Value| modern_call("gremlin", deed, &elicitation());
    let send = async |message: &Value| {
        let request = modern_post(&client, "/g1/mcp", message);
        client.send(request).await.json()
    };
    let mut deed = json!({
        "do": "unask", "method": ELICIT, "params": question(), "after_ms": 0, "say": "without it",
    });
    let answer = send(&call(&deed)).await;
    assert_eq!(text_of(&answer), "without it", "never asked");

    deed["after_ms"] = 500.into();
    deed["ms"] = 500.into();
    let message = call(&deed);
    let held = send(&message).await;
    assert_eq!(held["result"]["resultType"], "input_required", "{held}");
    let mut again = message.clone();
    let asked = held["result"]["inputRequests"].as_object().unwrap();
    let responses = asked
        .keys()
        .map(|key| (key.clone(), json!({"action": "decline"})));
    again["params"]["inputResponses"] = Value::Object(responses.collect());
    again["params"]["requestState"] = held["result"]["requestState"].clone();
    // The server has withdrawn the question and answered while the client was away.
    let under_way = r#"host_mcp_gateway_server_in_flight{host_mcp_gateway_server_id="g1"}"#;
    wait_for("the server's answer", SOON, async || {
        (metric(&client, under_way).await < 0.5).then_some(())
    })
    .await;
    let answer = send(&again).await;
    assert_eq!(text_of(&answer), "without it", "{answer}");
    let declined = gateway.journal("g1").count("decline");
    assert_eq!(declined, 0, "an answer to what was withdrawn");
}

/// RD03: a server that asks and asks has few questions put to its client, and the rest refused.
#[tokio::test]
async fn a_modern_client_is_asked_a_bounded_number_of_questions() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").set("request_timeout_ms", 60_000))
        .start();
    let client = gateway.client();
    let message = "?".repeat(100_000);
    let params =
        json!({"message": message, "requestedSchema": {"type": "object", "properties": {}}});
    let frame = format!(r#"{{"jsonrpc":"2.0","id":@N@,"method":"{ELICIT}","params":{params}}}"#);
    let deed = json!({"do": "write", "frame": frame, "times": 1000});
    let call = modern_call("gremlin", &deed, &elicitation());
    let answer = client.send(modern_post(&client, "/g1/mcp", &call)).await;
    let result = answer.json();
    let asked = &result["result"]["inputRequests"];
    let asked = asked.as_object().map_or(0, serde_json::Map::len);
    assert!((1..=64).contains(&asked), "{asked} questions");
    assert!(
        answer.body.len() < 5 * 1024 * 1024,
        "{} bytes",
        answer.body.len()
    );
}
