//! What a server asks of a client of the legacy era: it is put to the one that has caused it, and nobody else can answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{Session, modern_call, modern_post, tool_call};
use crate::support::stdio::text_of;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";
const SAMPLING: &str = "sampling/createMessage";

/// A call during which the server asks for a sample.
fn asking() -> Value {
    let params = json!({"messages": [], "maxTokens": 7});
    tool_call(
        "call",
        "gremlin",
        &json!({"do": "ask", "method": SAMPLING, "params": params}),
    )
}

/// H074, H099: a question goes to the one that has caused it, and a response from anybody else answers nothing.
#[tokio::test]
async fn a_question_comes_on_the_stream_of_its_call_and_only_its_client_can_answer() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("g1"))
        .start();
    let sampling = json!({"sampling": {}});
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let own = Session::open_with(&alice, "/g1/mcp", REVISION, &sampling).await;
    let second = Session::open_with(&alice, "/g1/mcp", REVISION, &sampling).await;
    let foreign = Session::open_with(&bob, "/g1/mcp", REVISION, &sampling).await;

    let mut stream = own.stream(&asking()).await;
    let question = stream.message(SOON).await;
    assert_eq!(question["method"], SAMPLING, "{question}");
    assert_eq!(question["params"]["maxTokens"], 7, "{question}");
    let said = |text: &str| {
        let content = json!({"type": "text", "text": text});
        let result = json!({"role": "assistant", "model": "m", "content": content});
        json!({"jsonrpc": "2.0", "id": question["id"], "result": result})
    };
    for (session, status) in [(&foreign, 400), (&second, 400), (&own.stolen_by(&bob), 404)] {
        let refused = session.tell(&said("forged")).await;
        assert_eq!(refused.status, status, "{}", refused.text());
    }
    let taken = own.tell(&said("true")).await;
    assert_eq!((taken.status, taken.text()), (202, String::new()));
    let rest = stream.messages(SOON).await;
    let [response] = &rest[..] else {
        panic!("expected the response, got {rest:?}");
    };
    let heard = response["result"]["content"][0]["text"].as_str().unwrap();
    let heard: Value = serde_json::from_str(heard).unwrap();
    assert_eq!(heard["result"]["content"]["text"], "true", "{heard}");
    assert_eq!(own.tell(&said("again")).await.status, 400);
}

/// The frame by which the gremlin was answered, as it tells in the result of its tool.
fn answer_in(response: &Value) -> Value {
    serde_json::from_str(&text_of(response)).unwrap()
}

#[tokio::test]
async fn a_question_that_the_client_cannot_be_asked_is_answered_by_the_gateway() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let roots_only = json!({"roots": {}});
    let session = Session::open_with(&gateway.client(), "/g1/mcp", REVISION, &roots_only).await;
    let answer = session.ask(&asking()).await;
    let heard = answer_in(&answer);
    assert_eq!(heard["error"]["code"], -32601, "{heard}");
}

/// The modern call during which the server asks for a sample.
async fn asked_modern(client: &Client, capabilities: &Value) -> Value {
    let call = modern_call("gremlin", &asking()["params"]["arguments"], capabilities);
    let answer = client.send(modern_post(client, "/g1/mcp", &call)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// H099: the server is refused at once.
#[tokio::test]
async fn whoever_declared_nothing_is_asked_nothing_and_the_tool_comes_to_its_end() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("g1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        let session = Session::open(&client, "/g1/mcp", REVISION).await;
        let _own = session.listen().await;
        let of_legacy = session.ask(&asking()).await;
        let of_modern = asked_modern(&client, &json!({})).await;
        let of_plain = client.rpc("g1", &asking()).await.json();
        for answer in [of_legacy, of_modern, of_plain] {
            let heard = answer_in(&answer);
            assert_eq!(heard["error"]["code"], -32601, "{era}: {heard}");
        }
    }
}

/// RA08: the first round has run, so what refuses the second does not say that nothing was delivered.
#[tokio::test]
async fn a_call_whose_second_round_is_refused_may_have_run() {
    let server = Server::gremlin("g1").orders(&json!({"era": "modern"}));
    let gateway = Gateway::builder().server(server).start();
    let (client, elicitation) = (gateway.client(), json!({"elicitation": {}}));
    let session = Session::open_with(&client, "/g1/mcp", REVISION, &elicitation).await;
    let schema = json!({"type": "object", "properties": {}});
    let params = json!({"message": "well?", "requestedSchema": schema});
    let requests = json!({"q": {"method": "elicitation/create", "params": params}});
    let deed = json!({"do": "input_required", "requests": requests, "state": "s"});
    let mut stream = session.stream(&tool_call("call", "gremlin", &deed)).await;
    let question = stream.message(SOON).await;
    assert_eq!(client.post("/servers/g1/stop?wait", "").await.status, 200);
    session
        .reply(&question, &json!({"action": "accept", "content": {}}))
        .await;
    let refused = stream.message(SOON).await;
    let data = &refused["error"]["data"];
    assert_eq!(data["error_code"], "server_stopped", "{refused}");
    assert_eq!(data["delivered"], "unknown", "{refused}");
}

#[tokio::test]
async fn whoever_takes_no_stream_is_asked_on_that_of_the_session_or_not_at_all() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let sampling = json!({"sampling": {}});
    let client = gateway.client();
    let session = Session::open_with(&client, "/g1/mcp", REVISION, &sampling).await;
    let refused = session.json_only(&asking()).await.json();
    let heard = answer_in(&refused);
    assert!(heard["error"]["code"].is_number(), "{heard}");

    let mut own = session.listen().await;
    own.event(SOON).await;
    let result = json!({"role": "assistant", "model": "m", "content": []});
    let message = asking();
    let (answered, ()) = tokio::join!(session.json_only(&message), async {
        let question = own.message(SOON).await;
        assert_eq!(question["method"], SAMPLING, "{question}");
        session.reply(&question, &result).await;
    });
    assert_eq!(answer_in(&answered.json())["result"], result);
}
