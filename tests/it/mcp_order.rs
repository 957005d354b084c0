//! What a server says in the course of a call comes before the response, all of it and in its order.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::mcp::{Session, tool_call};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(30);
const SESSIONS: usize = 4;
const CALLS: usize = 50;
const STEPS: u64 = 8;

/// One call; every step of its progress must be there, its own, and before the response.
async fn one_call(session: &Session, who: usize, number: usize) {
    // The same names in every session.
    let id = format!("call {number}");
    let note = format!("{who}-{number}");
    let arguments = json!({"do": "progress", "count": STEPS, "note": note, "say": note});
    let mut call = tool_call(id.as_str(), "gremlin", &arguments);
    call["params"]["_meta"] = json!({"progressToken": number});
    let heard = session.stream(&call).await.messages(SOON).await;
    let expected: Vec<Value> = (1..=STEPS)
        .map(|step| {
            let message = format!("{note}: {step} of {STEPS}");
            let params =
                json!({"progressToken": number, "progress": step, "total": STEPS, "message": message});
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        })
        .collect();
    let (response, before) = heard.split_last().expect("a response");
    assert_eq!(before, expected, "{note}");
    assert_eq!(response["id"], id, "{response}");
    assert_eq!(response["result"]["content"][0]["text"], note, "{response}");
}

/// H080: tokens are the same in all sessions, and each call hears its own.
#[tokio::test]
async fn the_progress_of_many_calls_comes_whole_and_before_their_responses() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let sessions: Vec<_> = join_all(
        (0..SESSIONS).map(|_| async { Session::open(&client, "/g1/mcp", "2025-11-25").await }),
    )
    .await;
    let calls = sessions
        .iter()
        .enumerate()
        .flat_map(|(who, session)| (0..CALLS).map(move |number| one_call(session, who, number)));
    join_all(calls).await;
    assert_eq!(
        gateway.journal("g1").count_method("tools/call"),
        SESSIONS * CALLS
    );
}
