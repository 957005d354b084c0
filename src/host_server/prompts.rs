//! The one prompt: a report on the state of the host, with the facts in it.

use serde_json::{Map, Value, json};

use super::call::{Call, Failure};
use super::era::Era;
use super::{rpc, stats};

const NAME: &str = "host_report";

/// The result of `prompts/list`.
pub(super) fn list() -> Value {
    json!({"prompts": [{
        "name": NAME,
        "title": "Report on the host",
        "description": "Asks for a short report on the state of the host; the present facts are put in",
        "arguments": [{
            "name": "focus",
            "description": "What to look at most: \"all\" (the default), \"memory\" or \"disks\"",
            "required": false,
        }],
    }]})
}

/// Answers `prompts/get`.
pub(super) fn get(_call: &Call, _era: Era, params: &Map<String, Value>) -> Result<Value, Failure> {
    match params.get("name") {
        Some(Value::String(name)) if name == NAME => {}
        Some(Value::String(name)) => {
            return Err(rpc::invalid_params(format!("unknown prompt {name:?}")).into());
        }
        _ => return Err(rpc::invalid_params("\"name\" must be a string").into()),
    }
    let focus = match params.get("arguments") {
        None => "all",
        Some(Value::Object(arguments)) => {
            if let Some(other) = arguments.keys().find(|key| *key != "focus") {
                return Err(rpc::invalid_params(format!("unknown argument {other:?}")).into());
            }
            match arguments.get("focus").map(Value::as_str) {
                None | Some(Some("all")) => "all",
                Some(Some("memory")) => "memory and what uses it",
                Some(Some("disks")) => "disks and the space left on them",
                Some(_) => {
                    let message = "argument \"focus\" must be \"all\", \"memory\" or \"disks\"";
                    return Err(rpc::invalid_params(message).into());
                }
            }
        }
        Some(_) => return Err(rpc::invalid_params("\"arguments\" must be an object").into()),
    };
    let facts = json!({"system": stats::system(), "disks": stats::disks()});
    let text = format!(
        "Write a short report on the state of this machine. Focus: {focus}. Begin with what needs \
         attention, if anything does, and give sizes in GiB. The facts as of now:\n\n{facts:#}"
    );
    Ok(json!({
        "description": "Report on the host",
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
    }))
}
