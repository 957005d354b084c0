//! Deeds that want something from the client, in the way of either era.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Call, modern_meta};
use crate::state::Gremlin;
use crate::wire;

/// Sends the request to the client that the call names.
fn put(call: &Call, id: &str) {
    let method = Value::from(call.text("method"));
    let params = call.arguments.get("params").cloned();
    let params = params.unwrap_or_else(|| json!({}));
    wire::frame(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#
    ));
}

/// Sends a request to the client and withdraws it, then answers.
pub(super) fn unask(gremlin: &Arc<Gremlin>, call: Call) {
    let (id, _answer) = gremlin.expect_answer();
    std::thread::spawn(move || {
        let wait = |name| Duration::from_millis(call.number(name).unwrap_or_default());
        put(&call, &id);
        std::thread::sleep(wait("after_ms"));
        wire::notify(
            "notifications/cancelled",
            &format!(r#"{{"requestId":{id},"reason":"changed my mind"}}"#),
        );
        std::thread::sleep(wait("ms"));
        if call.arguments.contains_key("say") {
            call.say(call.text("say"));
        }
    });
}

/// Sends a request to the client, waits for its answer on a thread of its own, and reports the whole frame.
pub(super) fn ask(gremlin: &Arc<Gremlin>, call: Call) {
    let (id, answer) = gremlin.expect_answer();
    std::thread::spawn(move || {
        put(&call, &id);
        let wait = Duration::from_millis(call.number("wait_ms").unwrap_or(10_000));
        match answer.recv_timeout(wait) {
            Ok(frame) => call.say(&frame),
            Err(_) => call.say("no answer"),
        }
    });
}

/// Asks by an `input_required` result; a retry that carries responses is answered with what it carried.
pub(super) fn input_required(call: &Call) {
    if let Some(retry) = &call.retry {
        call.show(retry);
        return;
    }
    let result = json!({
        "resultType": "input_required",
        "inputRequests": call.arguments.get("requests").cloned().unwrap_or_else(|| json!({})),
        "requestState": call.text("state"),
        "_meta": modern_meta(),
    });
    wire::reply(&call.id, &result.to_string());
}
