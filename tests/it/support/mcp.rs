//! What MCP clients of Streamable HTTP send.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::Client;

/// The revision of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";

/// A JSON-RPC request.
pub(crate) fn request(id: impl Into<Value>, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// `initialize` with this wish.
pub(crate) fn initialize(revision: &str) -> Value {
    let info = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": info});
    request("initialize", "initialize", &params)
}

/// `POST` of a message, in both forms that an MCP client takes.
pub(crate) fn post(client: &Client, path: &str, message: &Value) -> RequestBuilder {
    client
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(message.to_string())
}
