//! The tools for trying things out: an echo that can be slow, and a count that reports its progress.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::schema::{count as non_negative, integer, object};
use super::{Refusal, Tool, arguments, structured, within};
use crate::host_server::call::Call;
use crate::host_server::era::Level;

const MAX_DELAY_MS: u64 = 60_000;
const MAX_STEPS: u64 = 1000;
const MAX_INTERVAL_MS: u64 = 10_000;
/// The longest count; one that would take longer is refused before it begins.
const MAX_COUNT_MS: u64 = 600_000;

pub(super) const ECHO: Tool = Tool {
    name: "echo",
    title: "Echo",
    description: "Returns the text, after a delay if one is wanted",
    input: || {
        object(&[
            (
                "text!",
                json!({"type": "string", "description": "What to return"}),
            ),
            (
                "delay_ms",
                integer(
                    0..=MAX_DELAY_MS,
                    0,
                    "How long to wait before, in milliseconds",
                ),
            ),
        ])
    },
    output: None,
    run: echo,
};

pub(super) const COUNT: Tool = Tool {
    name: "count",
    title: "Count",
    description: "Counts up slowly, reports its progress and can be cancelled; at most 10 minutes",
    input: || {
        object(&[
            ("steps", integer(1..=MAX_STEPS, 5, "How far to count")),
            (
                "interval_ms",
                integer(
                    0..=MAX_INTERVAL_MS,
                    200,
                    "From one step to the next, in milliseconds",
                ),
            ),
        ])
    },
    output: Some(|| object(&[("counted!", non_negative())])),
    run: count,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EchoArguments {
    text: String,
    #[serde(default)]
    delay_ms: u64,
}

fn echo(call: &Call, given: Map<String, Value>) -> Result<Value, Refusal> {
    let given: EchoArguments = arguments(given)?;
    let delay = within("delay_ms", given.delay_ms, 0..=MAX_DELAY_MS)?;
    if delay > 0 {
        call.wait(Duration::from_millis(delay))?;
    }
    Ok(json!({"content": [{"type": "text", "text": given.text}]}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CountArguments {
    steps: u64,
    interval_ms: u64,
}

impl Default for CountArguments {
    fn default() -> Self {
        Self {
            steps: 5,
            interval_ms: 200,
        }
    }
}

fn count(call: &Call, given: Map<String, Value>) -> Result<Value, Refusal> {
    let given: CountArguments = arguments(given)?;
    let steps = within("steps", given.steps, 1..=MAX_STEPS)?;
    let interval = within("interval_ms", given.interval_ms, 0..=MAX_INTERVAL_MS)?;
    if steps * interval > MAX_COUNT_MS {
        return Err(Refusal::Arguments(format!(
            "invalid arguments: steps × interval_ms is {} ms, more than {MAX_COUNT_MS}",
            steps * interval
        )));
    }
    call.log(Level::INFO, &format!("counting to {steps}"));
    for step in 1..=steps {
        call.wait(Duration::from_millis(interval))?;
        call.progress(step, steps, &format!("{step} of {steps}"));
    }
    Ok(structured(&json!({ "counted": steps })))
}
