//! Deeds that take time, each but `block` on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::call::Call;
use crate::state::Gremlin;
use crate::wire;

/// What a request that was cancelled meanwhile does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// As the specification wants it: no answer is sent.
    SaysNothing,
    /// The answer is sent all the same.
    Answers,
}

/// Answers after a while.
pub(super) fn sleep(gremlin: &Arc<Gremlin>, call: Call, cancelled: Cancelled) {
    let gremlin = Arc::clone(gremlin);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(call.number("ms").unwrap_or_default()));
        if cancelled == Cancelled::SaysNothing && gremlin.is_cancelled(&call.id) {
            return;
        }
        call.say(call.text("say"));
    });
}

/// Answers after a while, on the thread that reads: nothing else is done meanwhile.
pub(super) fn block(call: &Call) {
    std::thread::sleep(Duration::from_millis(call.number("ms").unwrap_or_default()));
    call.say(call.text("say"));
}

/// Sends progress, then answers. Without a progress token only the answer is sent. A `note` tells the
/// progress of this call from that of others.
pub(super) fn progress(call: Call) {
    std::thread::spawn(move || {
        let count = call.size("count");
        let interval = Duration::from_millis(call.number("interval_ms").unwrap_or_default());
        for step in 1..=count {
            std::thread::sleep(interval);
            if let Some(token) = &call.progress_token {
                let message = match call.text("note") {
                    "" => format!("{step} of {count}"),
                    note => format!("{note}: {step} of {count}"),
                };
                let message = Value::from(message);
                let params = format!(
                    r#"{{"progressToken":{token},"progress":{step},"total":{count},"message":{message}}}"#
                );
                wire::notify("notifications/progress", &params);
            }
        }
        call.say(call.text("say"));
    });
}
