//! The tools: which there are, what they take, and how a call becomes a result.

mod demo;
mod host;
mod schema;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::call::{Call, Failure};
use super::era::Era;
use super::rpc;

/// One tool.
struct Tool {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    input: fn() -> Value,
    output: Option<fn() -> Value>,
    run: fn(&Call, Map<String, Value>) -> Result<Value, Refusal>,
}

/// Why a tool gave no result.
enum Refusal {
    /// The arguments do not fit; told inside a result, so that the model can mend them (MCP
    /// 2025-11-25, tools, Error Handling).
    Arguments(String),
    /// The call was ended.
    Ended(super::call::Ended),
}

impl From<super::call::Ended> for Refusal {
    fn from(ended: super::call::Ended) -> Self {
        Self::Ended(ended)
    }
}

const TOOLS: [Tool; 5] = [
    host::SYSTEM_INFO,
    host::DISKS,
    host::PROCESSES,
    demo::ECHO,
    demo::COUNT,
];

/// The result of `tools/list`, always in the same order.
pub(super) fn list() -> Value {
    let tools: Vec<Value> = TOOLS.iter().map(Tool::definition).collect();
    json!({ "tools": tools })
}

/// Answers `tools/call`.
pub(super) fn call(call: &Call, _era: Era, params: &Map<String, Value>) -> Result<Value, Failure> {
    let Some(Value::String(name)) = params.get("name") else {
        return Err(rpc::invalid_params("\"name\" must be a string").into());
    };
    let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) else {
        return Err(rpc::invalid_params(format!("unknown tool {name:?}")).into());
    };
    let arguments = match params.get("arguments") {
        None => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return Err(rpc::invalid_params("\"arguments\" must be an object").into()),
    };
    match (tool.run)(call, arguments) {
        Ok(result) => Ok(result),
        Err(Refusal::Arguments(message)) => Ok(json!({
            "content": [{"type": "text", "text": message}],
            "isError": true,
        })),
        Err(Refusal::Ended(ended)) => Err(ended.into()),
    }
}

impl Tool {
    fn definition(&self) -> Value {
        let mut definition = json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": (self.input)(),
            "annotations": {
                "title": self.title,
                "readOnlyHint": true,
                "openWorldHint": false,
            },
        });
        if let (Some(output), Some(object)) = (self.output, definition.as_object_mut()) {
            object.insert("outputSchema".to_owned(), output());
        }
        definition
    }
}

/// A result with both forms: structured for programs, the same as text for older clients.
fn structured(content: &Value) -> Value {
    json!({
        "content": [{"type": "text", "text": format!("{content:#}")}],
        "structuredContent": content,
    })
}

/// Arguments as their type, or what is wrong with them, naming the argument.
fn arguments<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        Refusal::Arguments(if path == "." {
            format!("invalid arguments: {cause}")
        } else {
            format!("invalid argument {path:?}: {cause}")
        })
    })
}

/// A number within its bounds.
fn within(name: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Refusal::Arguments(format!(
        "invalid argument {name:?}: {value} is not between {} and {}",
        range.start(),
        range.end()
    )))
}
