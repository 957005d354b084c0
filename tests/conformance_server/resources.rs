//! The resources, which never change; the watched one can be said to.

use serde_json::{Value, json};

use crate::media;
use crate::wire::{INVALID_PARAMS, LEGACY_RESOURCE_NOT_FOUND, Refusal};

/// The one that `test_trigger_resource_change` is about.
pub(crate) const WATCHED: &str = "test://watched-resource";

/// The entries of `resources/list`.
pub(crate) fn list() -> Value {
    let entry = |uri: &str, name: &str, kind: &str| {
        let description = format!("The {name} of the tests");
        json!({"uri": uri, "name": name, "description": description, "mimeType": kind})
    };
    json!([
        entry("test://static-text", "static text", "text/plain"),
        entry("test://static-binary", "static picture", "image/png"),
        entry(WATCHED, "watched text", "text/plain"),
    ])
}

/// The entries of `resources/templates/list`.
pub(crate) fn templates() -> Value {
    json!([{
        "uriTemplate": "test://template/{id}/data",
        "name": "data by id",
        "description": "Data that names its id",
        "mimeType": "application/json",
    }])
}

/// The answer to `resources/read`.
pub(crate) fn read(params: &Value, modern: bool) -> Result<Value, Refusal> {
    let uri = params.get("uri").and_then(Value::as_str);
    let uri = uri.ok_or_else(|| Refusal::new(INVALID_PARAMS, "uri is not text"))?;
    let content = match uri {
        "test://static-text" => {
            let text = "This is the content of the static text resource.";
            json!({"uri": uri, "mimeType": "text/plain", "text": text})
        }
        "test://static-binary" => {
            json!({"uri": uri, "mimeType": "image/png", "blob": media::PNG})
        }
        WATCHED => json!({"uri": uri, "mimeType": "text/plain", "text": "Watch me."}),
        _ => {
            let id = uri
                .strip_prefix("test://template/")
                .and_then(|rest| rest.strip_suffix("/data"));
            let Some(id) = id else {
                let code = if modern {
                    INVALID_PARAMS
                } else {
                    LEGACY_RESOURCE_NOT_FOUND
                };
                let refusal = Refusal::new(code, "resource not found");
                return Err(refusal.with(json!({"uri": uri})));
            };
            let data = format!("Data for ID: {id}");
            let text = json!({"id": id, "templateTest": true, "data": data}).to_string();
            json!({"uri": uri, "mimeType": "application/json", "text": text})
        }
    };
    Ok(json!({"contents": [content]}))
}
