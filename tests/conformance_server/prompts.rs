//! The prompts, and completions for their arguments.

use serde_json::{Value, json};

use crate::call::{Call, Halt};
use crate::media;
use crate::question::Question;
use crate::wire::{INVALID_PARAMS, Refusal};

/// What an argument can be completed to.
const PLACES: [&str; 3] = ["paris", "park", "party"];

/// The entries of `prompts/list`.
pub(crate) fn list() -> Value {
    let argument = |name: &str, description: &str| json!({"name": name, "description": description, "required": true});
    json!([
        {"name": "test_simple_prompt", "description": "Says one sentence"},
        {
            "name": "test_prompt_with_arguments",
            "description": "Repeats its arguments",
            "arguments": [argument("arg1", "The first"), argument("arg2", "The second")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "Holds a resource",
            "arguments": [argument("resourceUri", "The address of the resource")],
        },
        {"name": "test_prompt_with_image", "description": "Holds a picture"},
        {"name": "test_input_required_result_prompt", "description": "Asks before it speaks"},
    ])
}

/// Gives the prompt that the call names.
pub(crate) fn get(call: &mut Call) -> Result<Value, Halt> {
    let messages = match call.name() {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let (first, second) = (call.text("arg1"), call.text("arg2"));
            vec![text(&format!(
                "Prompt with arguments: arg1='{first}', arg2='{second}'"
            ))]
        }
        "test_prompt_with_embedded_resource" => {
            let resource = json!({
                "uri": call.text("resourceUri"),
                "mimeType": "text/plain",
                "text": "Embedded resource content for testing.",
            });
            vec![
                user(&json!({"type": "resource", "resource": resource})),
                text("Please process the embedded resource above."),
            ]
        }
        "test_prompt_with_image" => {
            let image = json!({"type": "image", "data": media::PNG, "mimeType": "image/png"});
            vec![user(&image), text("Please analyze the image above.")]
        }
        "test_input_required_result_prompt" => {
            let fields = json!({"context": {"type": "string"}});
            let message = "What context should the prompt use?";
            let question = Question::form(message, &fields, &["context"]);
            let answer = call.ask("user_context", question)?;
            let context = answer.pointer("/content/context").and_then(Value::as_str);
            vec![text(&format!(
                "In the context of {}",
                context.unwrap_or("nothing")
            ))]
        }
        unknown => {
            let text = format!("unknown prompt {unknown}");
            return Err(Refusal::new(INVALID_PARAMS, text).into());
        }
    };
    Ok(json!({"messages": messages}))
}

fn user(content: &Value) -> Value {
    json!({"role": "user", "content": content})
}

fn text(text: &str) -> Value {
    user(&json!({"type": "text", "text": text}))
}

/// The answer to `completion/complete`: every argument is a place.
pub(crate) fn complete(params: &Value) -> Value {
    let begun = params.pointer("/argument/value").and_then(Value::as_str);
    let begun = begun.unwrap_or_default();
    let values: Vec<&str> = PLACES
        .into_iter()
        .filter(|place| place.starts_with(begun))
        .collect();
    json!({"completion": {"total": values.len(), "hasMore": false, "values": values}})
}
