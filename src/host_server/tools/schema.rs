//! Building blocks of JSON Schemas.

use serde_json::{Value, json};

/// An object with these properties and no others; names that end in `!` are required.
pub(super) fn object(properties: &[(&str, Value)]) -> Value {
    let mut fields = serde_json::Map::new();
    let mut required = Vec::new();
    for (name, schema) in properties {
        let bare = name.trim_end_matches('!');
        if bare != *name {
            required.push(bare);
        }
        fields.insert(bare.to_owned(), schema.clone());
    }
    json!({
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": false,
    })
}

/// A whole number within bounds, with a default.
pub(super) fn integer(range: std::ops::RangeInclusive<u64>, default: u64, what: &str) -> Value {
    json!({
        "type": "integer", "minimum": range.start(), "maximum": range.end(),
        "default": default, "description": what,
    })
}

/// A whole number that is not negative.
pub(super) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A number.
pub(super) fn number() -> Value {
    json!({"type": "number"})
}

/// A text.
pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// A value that the system may not tell.
pub(super) fn or_null(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

/// Yes or no.
pub(super) fn boolean() -> Value {
    json!({"type": "boolean"})
}

/// A list.
pub(super) fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}
