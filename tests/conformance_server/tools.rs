//! The tools: their list, and which does what.
//!
//! Names, arguments and results are those that the conformance suite calls and expects;
//! `test_trigger_resource_change` and `test_await_cancellation` are our own, because the suite has nothing that
//! touches a resource or asks what became of a cancelled call.

mod asking;
mod content;

use serde_json::{Value, json};

use crate::call::{Call, Halt};
use crate::listen::Change;
use crate::resources;
use crate::wire::{INVALID_PARAMS, Refusal};

/// What a tool does.
#[derive(Clone, Copy)]
enum Body {
    /// Answers at once.
    Says(fn(&Call) -> Value),
    /// Takes time, asks, or fails.
    Does(fn(&mut Call) -> Result<Value, Halt>),
}

use Body::{Does, Says};

struct Tool {
    name: &'static str,
    description: &'static str,
    body: Body,
}

const fn tool(name: &'static str, description: &'static str, body: Body) -> Tool {
    Tool {
        name,
        description,
        body,
    }
}

/// In the order of the list. The suite calls the first one with nothing but its name.
const TOOLS: [Tool; 31] = [
    tool("test_simple_text", "Says one sentence", Says(content::text)),
    tool(
        "test_image_content",
        "Shows a picture",
        Says(content::image),
    ),
    tool("test_audio_content", "Plays a sound", Says(content::audio)),
    tool(
        "test_embedded_resource",
        "Gives a resource",
        Says(content::resource),
    ),
    tool(
        "test_multiple_content_types",
        "Gives text, a picture and a resource",
        Says(content::mixed),
    ),
    tool("test_error_handling", "Always fails", Does(content::error)),
    tool(
        "test_tool_with_logging",
        "Logs three times while it works",
        Does(content::logging),
    ),
    tool("test_logging_tool", "Logs once", Says(content::log_once)),
    tool(
        "test_tool_with_progress",
        "Reports progress three times",
        Does(content::progress),
    ),
    tool(
        "test_reconnection",
        "Works for a while",
        Does(content::reconnection),
    ),
    tool(
        "json_schema_2020_12_tool",
        "Has a schema with many keywords",
        Says(content::schema),
    ),
    tool(
        "test_x_mcp_header",
        "Has arguments that are headers too",
        Says(content::header),
    ),
    tool(
        "test_missing_capability",
        "Needs a client with sampling",
        Does(asking::missing_capability),
    ),
    tool("test_sampling", "Asks a model", Does(asking::sampling)),
    tool(
        "test_elicitation",
        "Asks a person",
        Does(asking::elicitation),
    ),
    tool(
        "test_elicitation_sep1034_defaults",
        "Asks with default values",
        Does(asking::defaults),
    ),
    tool(
        "test_elicitation_sep1330_enums",
        "Asks for choices",
        Does(asking::enums),
    ),
    tool(
        "test_streaming_elicitation",
        "Reports progress, then asks",
        Does(asking::streaming),
    ),
    tool(
        "test_input_required_result_elicitation",
        "Asks for a name",
        Does(asking::name),
    ),
    tool(
        "test_input_required_result_sampling",
        "Asks for a capital",
        Does(asking::capital),
    ),
    tool(
        "test_input_required_result_list_roots",
        "Asks for the roots",
        Does(asking::roots),
    ),
    tool(
        "test_input_required_result_request_state",
        "Asks, with a state",
        Does(asking::request_state),
    ),
    tool(
        "test_input_required_result_multiple_inputs",
        "Asks three at once",
        Does(asking::multiple),
    ),
    tool(
        "test_input_required_result_multi_round",
        "Asks twice in turn",
        Does(asking::multi_round),
    ),
    tool(
        "test_input_required_result_tampered_state",
        "Asks, with a state",
        Does(asking::request_state),
    ),
    tool(
        "test_input_required_result_capabilities",
        "Asks what can be asked",
        Does(asking::capabilities),
    ),
    tool(
        "test_trigger_tool_change",
        "Tells that the tools changed",
        Says(tools_changed),
    ),
    tool(
        "test_trigger_prompt_change",
        "Tells that the prompts changed",
        Says(prompts_changed),
    ),
    tool(
        "test_trigger_resource_change",
        "Tells that the watched resource changed",
        Says(resource_changed),
    ),
    tool(
        "test_slow_tool",
        "Works for ten seconds unless it is cancelled",
        Does(content::slow),
    ),
    tool(
        "test_await_cancellation",
        "Waits until the slow tool is cancelled",
        Does(content::await_cancellation),
    ),
];

/// The entries of `tools/list`.
pub(crate) fn list() -> Vec<Value> {
    let entry = |tool: &Tool| {
        json!({
            "name": tool.name,
            "description": tool.description,
            "inputSchema": input_schema(tool.name),
        })
    };
    TOOLS.iter().map(entry).collect()
}

/// The schema of a tool's arguments.
pub(crate) fn input_schema(name: &str) -> Value {
    match name {
        "json_schema_2020_12_tool" => content::schema_2020_12(),
        "test_x_mcp_header" => json!({
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "priority": {"type": "integer", "x-mcp-header": "Priority"},
                "note": {"type": "string"},
            },
        }),
        "test_sampling" => json!({
            "type": "object",
            "properties": {"prompt": {"type": "string"}},
            "required": ["prompt"],
        }),
        "test_elicitation" => json!({
            "type": "object",
            "properties": {"message": {"type": "string"}},
            "required": ["message"],
        }),
        _ => json!({"type": "object"}),
    }
}

/// Runs the tool that the call names.
pub(crate) fn call(call: &mut Call) -> Result<Value, Halt> {
    let name = call.name();
    match TOOLS.iter().find(|tool| tool.name == name) {
        Some(tool) => match tool.body {
            Says(body) => Ok(body(call)),
            Does(body) => body(call),
        },
        None => Err(Refusal::new(INVALID_PARAMS, format!("unknown tool {name}")).into()),
    }
}

/// A result of one text.
fn said(text: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": text.into()}]})
}

fn tools_changed(call: &Call) -> Value {
    call.server.announce(&Change::Tools);
    said("told")
}

fn prompts_changed(call: &Call) -> Value {
    call.server.announce(&Change::Prompts);
    said("told")
}

fn resource_changed(call: &Call) -> Value {
    let change = Change::Resource(resources::WATCHED.to_owned());
    call.server.announce(&change);
    said("told")
}
