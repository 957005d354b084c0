//! JSON-RPC batches, which clients of 2025-03-26 may send: no server ever sees one.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::mcp::{Session, initialize, request, tool_call};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

fn echo(id: impl Into<Value>, text: &str) -> Value {
    tool_call(id, "echo", &json!({"text": text}))
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_with_the_responses_to_its_requests() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let session = Session::open(&gateway.client(), "/g1/mcp", "2025-03-26").await;
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answer = json!({"jsonrpc": "2.0", "id": 99, "result": {}});
    let members = [
        echo(1, "a"),
        done.clone(),
        echo("1", "b"),
        initialize("2025-03-26"),
        answer,
        json!(7),
    ];
    let answered = session.json_only(&json!(members)).await;
    assert_eq!(answered.status, 200, "{}", answered.text());
    let responses = answered.json();
    let told: Vec<_> = responses.as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 4, "{responses}");
    assert_eq!((&told[0]["id"], &told[1]["id"]), (&json!(1), &json!("1")));
    assert_eq!(told[0]["result"]["content"][0]["text"], "a");
    assert_eq!(told[1]["result"]["content"][0]["text"], "b");
    assert_eq!(
        (&told[2]["id"], &told[2]["error"]["code"]),
        (&json!("initialize"), &json!(-32600))
    );
    assert_eq!(
        (&told[3]["id"], &told[3]["error"]["code"]),
        (&Value::Null, &json!(-32600))
    );

    let accepted = session.tell(&json!([done])).await;
    assert_eq!((accepted.status, accepted.text()), (202, String::new()));
    for bad in [json!([]), json!(vec![done; 101])] {
        let refused = session.tell(&bad).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["error"]["code"], -32600);
    }
    let frames = gateway.journal("g1").entries();
    assert!(
        frames.iter().all(|entry| entry.json().is_object()),
        "{frames:?}"
    );
}

#[tokio::test]
async fn what_a_member_says_before_its_response_makes_the_answer_a_stream() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let session = Session::open(&gateway.client(), "/g1/mcp", "2025-03-26").await;
    let arguments = json!({"do": "progress", "count": 2, "interval_ms": 50, "say": "done"});
    let mut slow = tool_call("slow", "gremlin", &arguments);
    slow["params"]["_meta"] = json!({"progressToken": "t"});
    let batch = json!([slow, echo("quick", "b")]);
    let mut stream = session.stream(&batch).await;
    let messages = stream.messages(SOON).await;
    let of_call = |id: &str| messages.iter().position(|message| message["id"] == id);
    let progress = messages
        .iter()
        .filter(|message| message["method"] == "notifications/progress");
    assert_eq!((messages.len(), progress.count()), (4, 2), "{messages:?}");
    assert_eq!(of_call("slow"), Some(3), "{messages:?}");
    assert!(of_call("quick").is_some(), "{messages:?}");

    let quiet = session.json_only(&batch).await.json();
    assert_eq!(
        (&quiet[0]["id"], &quiet[1]["id"]),
        (&json!("slow"), &json!("quick")),
        "{quiet}"
    );
}

/// H073.
#[tokio::test]
async fn no_other_revision_has_batches() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    for revision in ["2025-06-18", "2025-11-25"] {
        let session = Session::open(&gateway.client(), "/g1/mcp", revision).await;
        let refused = session.tell(&json!([request(1, "ping", &json!({}))])).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["error"]["code"], -32600);
    }
}

#[tokio::test]
async fn the_members_take_of_the_share_of_their_token() {
    let gateway = Gateway::builder()
        .limit("max_in_flight_per_token", 2)
        .server(Server::gremlin("g1"))
        .start();
    let session = Session::open(&gateway.client(), "/g1/mcp", "2025-03-26").await;
    let batch = json!([echo(1, "a"), echo(2, "b"), echo(3, "c")]);
    let responses = session.json_only(&batch).await.json();
    assert_eq!(
        responses[0]["result"]["content"][0]["text"], "a",
        "{responses}"
    );
    assert_eq!(
        responses[1]["result"]["content"][0]["text"], "b",
        "{responses}"
    );
    let data = &responses[2]["error"]["data"];
    assert_eq!(data["error_code"], "rate_limited", "{responses}");
}
