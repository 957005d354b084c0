//! Deeds that write something beside the answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::call::Call;
use crate::protocol::announce;
use crate::state::Gremlin;
use crate::wire;

/// Lines that are no messages, each wrong in a way of its own; the count goes round.
const GARBAGE: [&[u8]; 9] = [
    b"npm WARN deprecated",
    b"",
    b"   ",
    b"\xff\xfe not UTF-8 \xc3\x28",
    b"\0\0\0",
    b"\x1b[31mred\x1b[0m",
    b"Content-Length: 42\r",
    b"{\"jsonrpc\":\"2.0\",",
    b"[1,2,3]",
];

/// Writes garbage lines, then the answer.
pub(super) fn garbage(call: &Call) {
    for line in GARBAGE.iter().cycle().take(call.size("lines")) {
        wire::bytes(&[line, &b"\n"[..]].concat());
    }
    call.say("that was garbage");
}

/// Writes one line as it is, once or more often, then the answer.
pub(super) fn write(call: &Call) {
    for turn in 0..call.number("times").unwrap_or(1) {
        wire::frame(&call.text("frame").replace("@N@", &turn.to_string()));
    }
    call.say("written");
}

/// Sends a log message, then the answer.
pub(super) fn log(call: &Call) {
    let params =
        json!({"level": call.text("level"), "logger": "gremlin", "data": call.text("text")});
    wire::notify("notifications/message", &params.to_string());
    call.say("logged");
}

/// Sends numbered log messages, with a pause after every so many, then the answer.
pub(super) fn logs(call: &Call) {
    let pause = Duration::from_millis(call.number("pause_ms").unwrap_or_default());
    let every = call.size("pause_every").max(1);
    for number in 1..=call.size("count") {
        let text = Value::from(format!("{number} {}", call.text("text")));
        wire::notify(
            "notifications/message",
            &format!(r#"{{"level":"info","data":{text}}}"#),
        );
        if number.is_multiple_of(every) && !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    call.say("logged");
}

/// Writes numbered progress or log messages and the answer, all at once.
pub(super) fn burst(call: &Call) {
    let count = call.size("count");
    let token = call.progress_token.as_deref().unwrap_or("null");
    let mut lines = String::new();
    for number in 1..=count {
        let text = Value::from(format!("{number} {}", call.text("text")));
        let (method, params) = match call.text("of") {
            "log" => (
                "notifications/message",
                format!(r#"{{"level":"info","data":{text}}}"#),
            ),
            other => (
                if other == "progress" {
                    "notifications/progress"
                } else {
                    other
                },
                format!(r#"{{"progressToken":{token},"progress":{number},"message":{text}}}"#),
            ),
        };
        lines += &wire::notification(method, &params);
        lines.push('\n');
    }
    let said = Some(call.text("say")).filter(|said| !said.is_empty());
    lines += &wire::response(&call.id, &call.text_result(said.unwrap_or("done")));
    wire::frame(&lines);
}

/// Says that a list changed, then answers.
pub(super) fn list_changed(gremlin: &Gremlin, call: &Call) {
    let method = format!("notifications/{}/list_changed", call.text("of"));
    announce(gremlin, call.modern, &method, &json!({}));
    call.say("announced");
}

/// Says that a resource changed, then answers.
pub(super) fn updated(gremlin: &Gremlin, call: &Call) {
    let uri = Value::from(call.text("uri"));
    announce(
        gremlin,
        call.modern,
        "notifications/resources/updated",
        &json!({"uri": uri}),
    );
    call.say("announced");
}

/// Writes to stderr, then answers.
pub(super) fn stderr(call: &Call) {
    let width = call
        .number("width")
        .map_or(wire::WIDTH, |_| call.size("width"));
    wire::flood_stderr(call.size("bytes"), width);
    if !call.text("line").is_empty() {
        wire::complain(call.text("line"));
    }
    call.say("complained");
}
