//! One `tools/call`, and the results that fit the era it was made in.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::wire;

/// A tool call; JSON text where bytes matter.
#[derive(Debug)]
pub(crate) struct Call {
    /// The request's id, as JSON text.
    pub(crate) id: String,
    /// Whether the request came in the modern form.
    pub(crate) modern: bool,
    /// `_meta.progressToken`, as JSON text.
    pub(crate) progress_token: Option<String>,
    /// `arguments`, as JSON text.
    pub(crate) raw_arguments: String,
    /// `arguments`, parsed.
    pub(crate) arguments: Map<String, Value>,
    /// `inputResponses` and `requestState` of a modern retry.
    pub(crate) retry: Option<Value>,
}

impl Call {
    /// A call from the params of `tools/call`.
    pub(crate) fn new(
        id: &str,
        modern: bool,
        params: &Value,
        raw_arguments: Option<&RawValue>,
    ) -> Self {
        let token = params.pointer("/_meta/progressToken");
        let retry = params.get("inputResponses").map(|responses| {
            json!({"inputResponses": responses, "requestState": params.get("requestState")})
        });
        let raw_arguments = raw_arguments.map_or("{}", RawValue::get);
        Self {
            id: id.to_owned(),
            modern,
            progress_token: token.map(Value::to_string),
            raw_arguments: raw_arguments.to_owned(),
            arguments: serde_json::from_str(raw_arguments).unwrap_or_default(),
            retry,
        }
    }

    /// A text argument; absent is empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.arguments
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A whole number of zero or more.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.arguments.get(name).and_then(Value::as_u64)
    }

    /// A size or a count; absent is zero.
    pub(crate) fn size(&self, name: &str) -> usize {
        self.number(name)
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or_default()
    }

    /// A switch; absent is off.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.arguments
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// A tool result that holds one text.
    pub(crate) fn text_result(&self, text: &str) -> String {
        let content = json!([{"type": "text", "text": text}]);
        self.result(&format!(r#""content":{content},"isError":false"#))
    }

    /// An object with these members, given as JSON text, and what the era wants beside them.
    pub(crate) fn result(&self, members: &str) -> String {
        if self.modern {
            let meta = modern_meta();
            format!(r#"{{"resultType":"complete",{members},"_meta":{meta}}}"#)
        } else {
            format!("{{{members}}}")
        }
    }

    /// Answers with one text.
    pub(crate) fn say(&self, text: &str) {
        wire::reply(&self.id, &self.text_result(text));
    }

    /// Answers with a JSON value as text.
    pub(crate) fn show(&self, value: &Value) {
        self.say(&value.to_string());
    }
}

/// The `_meta` that results of the modern era carry.
pub(crate) fn modern_meta() -> Value {
    json!({"io.modelcontextprotocol/serverInfo": server_info()})
}

/// Who the gremlin says it is.
pub(crate) fn server_info() -> Value {
    json!({"name": "gremlin", "version": "1.0.0"})
}
