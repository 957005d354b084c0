//! `requestState` in the hands of somebody who should not have it, or who has changed it: nothing is resumed.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::gateway::Builder;
use crate::support::mcp::{modern_call, modern_post};
use crate::support::process;
use crate::support::stdio::text_of;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);

fn people(era: &str) -> Builder {
    let server = Server::gremlin("g1").orders(&json!({"era": era}));
    Gateway::builder().people().server(server)
}

/// A call during which the server wants a person to say something, in the way of its era.
fn asking(era: &str) -> Value {
    let schema = json!({"type": "object", "properties": {}});
    let params = json!({"message": "well?", "requestedSchema": schema});
    let arguments = if era == "legacy" {
        json!({"do": "ask", "method": "elicitation/create", "params": params})
    } else {
        let requests = json!({"q": {"method": "elicitation/create", "params": params}});
        json!({"do": "input_required", "requests": requests, "state": "of the child"})
    };
    modern_call("gremlin", &arguments, &json!({"elicitation": {}}))
}

async fn posted(client: &Client, message: &Value) -> Answer {
    client.send(modern_post(client, "/g1/mcp", message)).await
}

/// Makes a call that is answered with a question, and gives the call with the answer to it.
async fn asked(client: &Client, era: &str) -> Value {
    let mut call = asking(era);
    let answer = posted(client, &call).await.json();
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required", "{answer}");
    let questions = result["inputRequests"].as_object().unwrap();
    let said = json!({"action": "accept", "content": {"said": "true"}});
    for (key, question) in questions {
        assert_eq!(question["method"], "elicitation/create", "{answer}");
        call["params"]["inputResponses"][key] = said.clone();
    }
    assert_eq!(questions.len(), 1, "{answer}");
    assert!(result["requestState"].is_string(), "{answer}");
    call["params"]["requestState"] = result["requestState"].clone();
    call
}

/// The same call with another state.
fn with_state(call: &Value, state: &str) -> Value {
    let mut call = call.clone();
    call["params"]["requestState"] = state.into();
    call
}

/// Every state that differs from this one by a character at one of some places.
fn tampered(call: &Value) -> impl Iterator<Item = Value> {
    let state = call["params"]["requestState"].as_str().unwrap().to_owned();
    let last = state.len() - 1;
    let places = [0, 1, 12, 20, last / 2, last - 1, last];
    places.into_iter().map(move |at| {
        let other = if state.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        let mut state = state.clone();
        state.replace_range(at..=at, other);
        with_state(call, &state)
    })
}

/// The same state on other requests.
fn misplaced(call: &Value) -> impl Iterator<Item = Value> {
    let changes = [
        ("tools/call", "name", "echo"),
        ("prompts/get", "name", "gremlin"),
        ("resources/read", "uri", "gremlin"),
    ];
    changes.into_iter().map(|(method, member, target)| {
        let mut call = call.clone();
        call["method"] = method.into();
        call["params"].as_object_mut().unwrap().remove("name");
        call["params"][member] = target.into();
        call
    })
}

fn is_refused(answer: &Answer, what: &str) {
    let body = answer.json();
    let refusal = (answer.status, &body["id"], &body["error"]["code"]);
    let expected = (400, &json!("call"), &json!(-32602));
    assert_eq!(refusal, expected, "{what}: {body}");
    let text = body["error"]["message"].as_str().unwrap();
    assert!(text.contains("params.requestState"), "{what}: {text}");
}

/// Refuses whatever is wrong with a state, and takes it from the one to whom it was given, for what it was given.
async fn is_bound(gateway: &Gateway, era: &str) -> Value {
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let call = asked(&alice, era).await;
    let journal = gateway.journal("g1");
    let read = journal.entries_of_first().len();
    is_refused(&posted(&bob, &call).await, "by another token");
    for call in tampered(&call) {
        is_refused(&posted(&alice, &call).await, "tampered with");
    }
    for call in misplaced(&call) {
        is_refused(&posted(&alice, &call).await, "on another request");
    }
    let nonsense = with_state(&call, "nonsense");
    is_refused(&posted(&alice, &nonsense).await, "made up");
    assert_eq!(
        journal.entries_of_first().len(),
        read,
        "the server heard nothing of it"
    );

    let resumed = posted(&alice, &call).await;
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    let told = text_of(&resumed.json());
    assert!(told.contains(r#""said":"true""#), "{told}");
    assert_eq!(
        journal.entries_of_first().len(),
        read + 1,
        "one frame resumes it"
    );
    call
}

#[tokio::test]
async fn a_held_call_is_resumed_once_by_whom_it_belongs_to() {
    let gateway = people("legacy").start();
    let call = is_bound(&gateway, "legacy").await;
    let journal = gateway.journal("g1");
    let read = journal.entries_of_first().len();
    is_refused(&posted(&gateway.alice(), &call).await, "used twice");
    assert_eq!(journal.entries_of_first().len(), read);
    assert_eq!(journal.count_method("tools/call"), 1);
}

#[tokio::test]
async fn a_held_call_keeps_its_turn_where_calls_are_made_one_by_one() {
    let server = Server::gremlin("g1").orders(&json!({"era": "legacy"}));
    let server = server.set("client_features", "serialize");
    let gateway = Gateway::builder().people().server(server).start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let call = asked(&alice, "legacy").await;
    let (of_bob, of_alice) = tokio::join!(asked(&bob, "legacy"), posted(&alice, &call));
    assert_eq!(of_alice.status, 200, "{}", of_alice.text());
    let of_bob = posted(&bob, &of_bob).await;
    assert_eq!(of_bob.status, 200, "{}", of_bob.text());
    for answer in [of_alice, of_bob] {
        let told = text_of(&answer.json());
        assert!(told.contains(r#""said":"true""#), "{told}");
    }
}

/// RA06: a client that never answers a question keeps others from their turn for `input_wait_ms`, and is told so when it
/// comes back.
#[tokio::test]
async fn a_held_call_gives_its_turn_up_while_others_wait() {
    let server = Server::gremlin("g1").orders(&json!({"era": "legacy"}));
    let server = server.set("client_features", "serialize");
    let builder = Gateway::builder().people().server(server);
    let gateway = builder.limit("input_wait_ms", 700).start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let of_alice = asked(&alice, "legacy").await;
    let of_bob = bob.deed("g1", &json!({"do": "count"})).await;
    assert_eq!(of_bob.status, 200, "{}", of_bob.text());
    let late = posted(&alice, &of_alice).await.json();
    let text = late["error"]["message"].as_str().unwrap_or_default();
    assert!(text.contains("input_wait_ms"), "{late}");
    assert_eq!(late["error"]["data"]["delivered"], "unknown", "{late}");
}

/// RA06: a held call whose process is gone has no turn any more.
#[tokio::test]
async fn a_held_call_of_a_server_that_died_keeps_nobody_waiting() {
    let server = Server::gremlin("g1").orders(&json!({"era": "legacy"}));
    let server = server.set("client_features", "serialize");
    let gateway = Gateway::builder()
        .people()
        .set("restart_backoff_ms", 100)
        .server(server)
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let of_alice = asked(&alice, "legacy").await;
    let pid = alice.status("g1").await["pid"].as_u64().unwrap();
    process::signal(u32::try_from(pid).unwrap(), Signal::KILL);
    wait_for("the next process", SOON, async || {
        let status = bob.status("g1").await;
        (status["incarnation"] == 2 && status["status"] == "ready").then_some(())
    })
    .await;
    let of_bob = asked(&bob, "legacy").await;
    let lost = posted(&alice, &of_alice).await.json();
    let code = &lost["error"]["data"]["error_code"];
    assert_eq!(code, "server_lost", "{lost}");
    let of_bob = posted(&bob, &of_bob).await;
    assert!(text_of(&of_bob.json()).contains(r#""said":"true""#));
}

/// RA06: a client that hangs up gives no turn away: its call is still at the server.
#[tokio::test]
async fn a_client_that_hangs_up_gives_no_turn_away() {
    let server = Server::gremlin("g1").set("client_features", "serialize");
    let gateway = Gateway::builder()
        .people()
        .set("request_timeout_ms", 2000)
        .server(server)
        .start();
    let (alice, bob, journal) = (gateway.alice(), gateway.bob(), gateway.journal("g1"));
    let silent = json!({"do": "nothing", "nonce": "of alice"});
    tokio::select! {
        answer = alice.deed("g1", &silent) => panic!("{}", answer.text()),
        () = wait_until("the call", SOON, || journal.count("of alice") == 1) => {}
    }
    let next = json!({"do": "count", "nonce": "of bob"});
    // It may wait for its turn as long as the other for its answer, and the other began first.
    let answer = wait_for("a turn", SOON, async || {
        Some(bob.deed("g1", &next).await).filter(|answer| answer.status == 200)
    });
    answer.await;
    let entries = journal.entries();
    let place = |part: &str| entries.iter().position(|entry| entry.contains(part));
    let (cancelled, of_bob) = (place("notifications/cancelled"), place("of bob"));
    assert!(cancelled.is_some() && cancelled < of_bob, "{entries:?}");
}

#[tokio::test]
async fn a_state_of_a_modern_server_is_bound_to_whom_it_was_given() {
    let gateway = people("modern").start();
    is_bound(&gateway, "modern").await;
    let calls = gateway.journal("g1").of_method("tools/call");
    let states: Vec<_> = calls
        .iter()
        .map(|call| &call["params"]["requestState"])
        .collect();
    assert_eq!(states, [&Value::Null, &json!("of the child")]);
}

#[tokio::test]
async fn a_held_call_whose_time_is_over_is_cancelled_and_cannot_be_resumed() {
    let gateway = people("legacy")
        .set("request_timeout_ms", 2500)
        .set("request_max_ms", 2500)
        .limit("session_idle_ms", 400)
        .start();
    let alice = gateway.alice();
    let call = asked(&alice, "legacy").await;
    let journal = gateway.journal("g1");
    let cancelled = wait_for("a cancellation", SOON, async || {
        journal.of_method("notifications/cancelled").pop()
    })
    .await;
    let made = journal.of_method("tools/call");
    assert_eq!(cancelled["params"]["requestId"], made[0]["id"]);
    // Its question is answered too, and not by the client.
    let is_refusal = |frame: &Value| frame["id"] == 0 && frame["error"].is_object();
    wait_until("the refusal of its question", SOON, || {
        let entries = journal.entries();
        entries.iter().any(|entry| is_refusal(&entry.json()))
    })
    .await;
    is_refused(&posted(&alice, &call).await, "expired");
    assert_eq!((made.len(), journal.count(r#""said""#)), (1, 0));
    assert_eq!(journal.count_method("notifications/cancelled"), 1);
}

#[tokio::test]
async fn a_state_of_a_modern_server_expires() {
    let gateway = people("modern")
        .set("request_timeout_ms", 2500)
        .set("request_max_ms", 2500)
        .start();
    let alice = gateway.alice();
    let call = asked(&alice, "modern").await;
    let refused = wait_for("the state to expire", SOON, async || {
        Some(posted(&alice, &call).await).filter(|answer| answer.status != 200)
    })
    .await;
    is_refused(&refused, "expired");
}
