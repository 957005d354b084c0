//! What a tool asks the client's side: a person (elicitation), a model (sampling), or its roots.

use serde_json::{Map, Value, json};

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The method of the legacy request and of the modern input request, which are the same.
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Question {
    /// Asks a person to fill in a form; `properties` and `required` are those of its schema.
    pub(crate) fn form(message: &str, properties: &Value, required: &[&str]) -> Self {
        let mut schema = json!({"type": "object", "properties": properties});
        if let (Some(members), false) = (schema.as_object_mut(), required.is_empty()) {
            members.insert("required".to_owned(), required.to_vec().into());
        }
        Self {
            method: "elicitation/create",
            params: json!({"message": message, "requestedSchema": schema}),
        }
    }

    /// Asks a model.
    pub(crate) fn prompt(text: &str, max_tokens: u32) -> Self {
        let message = json!({"role": "user", "content": {"type": "text", "text": text}});
        Self {
            method: "sampling/createMessage",
            params: json!({"messages": [message], "maxTokens": max_tokens}),
        }
    }

    /// Asks for the roots.
    pub(crate) fn roots() -> Self {
        Self {
            method: "roots/list",
            params: json!({}),
        }
    }

    /// The client capability without which it may not be asked.
    pub(crate) fn capability(&self) -> &'static str {
        match self.method {
            "elicitation/create" => "elicitation",
            "sampling/createMessage" => "sampling",
            _ => "roots",
        }
    }

    /// As an entry of `inputRequests`.
    pub(crate) fn input_request(&self) -> Value {
        json!({"method": self.method, "params": self.params})
    }

    /// Whether an answer has the shape that the method promises.
    pub(crate) fn fits(&self, answer: &Value) -> bool {
        match self.method {
            "elicitation/create" => match answer.get("action").and_then(Value::as_str) {
                Some("accept") => answer.get("content").is_some_and(Value::is_object),
                Some("decline" | "cancel") => true,
                _ => false,
            },
            "sampling/createMessage" => {
                answer.get("role").is_some_and(Value::is_string) && answer.get("content").is_some()
            }
            _ => answer.get("roots").is_some_and(Value::is_array),
        }
    }
}

/// Those of the needed capabilities that are not declared, in the form of `requiredCapabilities`.
pub(crate) fn undeclared<'a>(
    needed: impl IntoIterator<Item = &'a str>,
    declared: &Value,
) -> Map<String, Value> {
    let missing = needed.into_iter().filter(|name| {
        let capability = declared.get(name);
        !capability.is_some_and(Value::is_object)
    });
    missing.map(|name| (name.to_owned(), json!({}))).collect()
}
