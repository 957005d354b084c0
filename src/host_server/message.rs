//! One received line as one JSON-RPC message.

use serde_json::{Map, Value};

use super::rpc::{self, RpcError};

/// What a client may send.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// Wants exactly one response.
    Request {
        id: Value,
        method: String,
        params: Map<String, Value>,
    },
    /// Wants none.
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer, although this server asks nothing.
    Response,
}

/// Why a line is not a message; with the id, where one could be read.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed {
    pub(super) id: Option<Value>,
    pub(super) error: Box<RpcError>,
}

/// Reads one line.
pub(super) fn parse(line: &[u8]) -> Result<Message, Malformed> {
    let value: Value = serde_json::from_slice(line).map_err(|cause| Malformed {
        id: None,
        error: rpc::parse_error(&cause).into(),
    })?;
    let mut object = match value {
        Value::Object(object) => object,
        // Batches exist in 2025-03-26 only; a gateway or client in front splits them.
        Value::Array(_) => return Err(malformed(None, "batches are not supported")),
        _ => return Err(malformed(None, "expected a JSON object")),
    };
    let id = object.remove("id");
    let readable = id.clone().filter(is_legal_id);
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(malformed(readable, "\"jsonrpc\" must be \"2.0\""));
    }
    let method = match object.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return Err(malformed(readable, "\"method\" must be a string")),
        None if object.contains_key("result") || object.contains_key("error") => {
            return Ok(Message::Response);
        }
        None => return Err(malformed(readable, "\"method\" is missing")),
    };
    let params = match object.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            return Err(Malformed {
                id: readable,
                error: rpc::invalid_params("\"params\" must be an object").into(),
            });
        }
    };
    match id {
        None => Ok(Message::Notification { method, params }),
        Some(id) if is_legal_id(&id) => Ok(Message::Request { id, method, params }),
        Some(_) => Err(malformed(None, "\"id\" must be a string or an integer")),
    }
}

/// Ids are strings or integers; `null` and fractions are not (MCP, basic, Requests).
pub(super) fn is_legal_id(id: &Value) -> bool {
    id.is_string() || id.is_i64() || id.is_u64()
}

fn malformed(id: Option<Value>, message: &str) -> Malformed {
    Malformed {
        id,
        error: rpc::invalid_request(message).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_three_kinds_are_told_apart() {
        let request = parse(br#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}}"#);
        let Ok(Message::Request { id, method, params }) = request else {
            panic!("{request:?}");
        };
        assert_eq!((id, method), (json!("a"), "m".to_owned()));
        assert_eq!(Value::from(params), json!({"x": 1}));
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","method":"m"}"#),
            Ok(Message::Notification { .. })
        ));
        assert_eq!(
            parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Ok(Message::Response)
        );
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_id_where_that_is_legal() {
        let cases: [(&str, i32, Option<Value>); 9] = [
            ("{", -32700, None),
            ("[]", -32600, None),
            ("1", -32600, None),
            (r#"{"id":1,"method":"m"}"#, -32600, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, -32600, None),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, -32600, None),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":2}"#,
                -32600,
                Some(json!(1)),
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600, Some(json!(1))),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#,
                -32602,
                Some(json!(1)),
            ),
        ];
        for (line, code, id) in cases {
            let refused = parse(line.as_bytes()).expect_err(line);
            assert_eq!((refused.error.code, refused.id), (code, id), "{line}");
        }
    }
}
