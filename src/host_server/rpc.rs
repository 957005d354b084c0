//! JSON-RPC 2.0 responses and the errors that this server answers with.

use serde_json::{Value, json};

/// A JSON-RPC error object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }
}

/// The bytes are not JSON.
pub(super) fn parse_error(cause: &serde_json::Error) -> RpcError {
    RpcError::new(-32700, format!("not JSON: {cause}"))
}

/// A line over the bound; it was dropped unread.
pub(super) fn too_long(max: usize) -> RpcError {
    RpcError::new(-32700, format!("message is longer than {max} bytes"))
}

/// JSON, but not one JSON-RPC 2.0 message that may be sent now.
pub(super) fn invalid_request(message: impl Into<String>) -> RpcError {
    RpcError::new(-32600, message)
}

/// No such method, in the revision that the client speaks.
pub(super) fn method_not_found(method: &str) -> RpcError {
    RpcError::new(-32601, format!("unknown method {method:?}"))
}

/// The params do not fit the method.
pub(super) fn invalid_params(message: impl Into<String>) -> RpcError {
    RpcError::new(-32602, message)
}

/// A fault of this server.
pub(super) fn internal(message: impl Into<String>) -> RpcError {
    RpcError::new(-32603, message)
}

/// A revision that this server does not speak statelessly (MCP 2026-07-28, basic/index, Error Codes).
pub(super) fn unsupported_version(requested: &str) -> RpcError {
    RpcError {
        data: Some(json!({"supported": [super::era::MODERN], "requested": requested})),
        ..RpcError::new(
            -32022,
            format!("unsupported protocol version {requested:?}"),
        )
    }
}

/// No resource of this URI. Legacy revisions have a code of their own for it, 2026-07-28 forbids it.
pub(super) fn resource_not_found(uri: &str, modern: bool) -> RpcError {
    RpcError {
        data: Some(json!({ "uri": uri })),
        ..RpcError::new(
            if modern { -32602 } else { -32002 },
            format!("no resource {uri:?}"),
        )
    }
}

/// All slots for calls are taken. The code lies outside the range that the specification reserves.
pub(super) fn busy(max: usize) -> RpcError {
    RpcError::new(
        -31004,
        format!("{max} calls are under way, try again later"),
    )
}

/// The input ended while the call was waiting.
pub(super) fn stopping() -> RpcError {
    RpcError::new(-31009, "the server is stopping")
}

/// A response with a result.
pub(super) fn result(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// A response with an error; `None` where the id could not be read.
pub(super) fn error(id: Option<&Value>, error: &RpcError) -> Value {
    let mut object = json!({"code": error.code, "message": error.message});
    if let (Some(data), Some(object)) = (&error.data, object.as_object_mut()) {
        object.insert("data".to_owned(), data.clone());
    }
    json!({"jsonrpc": "2.0", "id": id, "error": object})
}

/// A notification.
pub(super) fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}
