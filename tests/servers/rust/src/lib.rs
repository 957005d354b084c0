//! What the servers of all releases of the SDK share. Their types differ from release to release and what they are
//! read from does not, so everything here is JSON.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Runs a server on one thread until its input ends.
pub fn run(server: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(server)
}

/// The type of a release that stands for this JSON.
pub fn model<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("JSON of the specification")
}

/// The capabilities of a server with tools.
pub fn capabilities() -> Value {
    json!({"tools": {}})
}

/// The result of `tools/list`.
pub fn tools(names: &[&str]) -> Value {
    let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
    json!({"tools": names.iter().map(tool).collect::<Vec<_>>()})
}

/// A result of one text.
pub fn said(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

/// The result of a tool that failed.
pub fn failed(why: &dyn Error) -> Value {
    let mut result = said(&why.to_string());
    result["isError"] = true.into();
    result
}

/// A request that asks the client for a name.
pub fn question() -> Value {
    let properties = json!({"name": {"type": "string"}});
    let schema = json!({"type": "object", "properties": properties, "required": ["name"]});
    let params = json!({"mode": "form", "message": "Who are you?", "requestedSchema": schema});
    json!({"method": "elicitation/create", "params": params})
}

/// The result of a tool whose question was answered with this.
pub fn greeting(answer: &impl Serialize) -> Value {
    let answer = serde_json::to_value(answer).unwrap_or_default();
    let name = answer["content"]["name"].as_str().unwrap_or("nobody");
    said(&format!("Hello, {name}!"))
}
