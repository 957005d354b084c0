//! Answers that are too big, too many, or for nobody.

use serde_json::Value;

use crate::call::Call;
use crate::wire;

/// One line of at least `bytes` bytes, with the id before the bulk, after it, or not at all.
pub(super) fn bigline(call: &Call) {
    let bulk = "b".repeat(call.size("bytes"));
    // Put in afterwards: to escape so much takes a build without optimisation its time.
    let result = call.text_result("BULK").replace("BULK", &bulk);
    let id = &call.id;
    wire::frame(&match call.text("id") {
        "last" => format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{id}}}"#),
        "none" => format!(r#"{{"jsonrpc":"2.0","result":{result}}}"#),
        _ => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
    });
}

/// An answer with a text of `bytes` bytes.
pub(super) fn huge(call: &Call) {
    call.say(&"h".repeat(call.size("bytes")));
}

/// A JSON-RPC error of the caller's choice.
pub(super) fn refuse(call: &Call) {
    let code = call
        .arguments
        .get("code")
        .and_then(Value::as_i64)
        .unwrap_or(-32603);
    let data = call.arguments.get("data").map(Value::to_string);
    wire::refuse(&call.id, code, call.text("message"), data.as_deref());
}

/// The answer, twice.
pub(super) fn twice(call: &Call) {
    call.say(call.text("say"));
    call.say(call.text("say"));
}

/// The answer, under another id.
pub(super) fn with_id(call: &Call, id: &str) {
    wire::reply(id, &call.text_result(call.text("say")));
}

/// The answer, without an id.
pub(super) fn without_id(call: &Call) {
    let result = call.text_result(call.text("say"));
    wire::frame(&format!(r#"{{"jsonrpc":"2.0","result":{result}}}"#));
}
