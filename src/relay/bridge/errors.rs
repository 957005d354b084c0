//! Error responses, and the codes that mean something in one era only.

use crate::protocol::Span;
use crate::protocol::members::{self, Object};
use crate::protocol::message::string;
use crate::protocol::splice::Patch;

/// JSON-RPC 2.0: Invalid params.
pub(super) const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC 2.0: Internal error.
pub(super) const INTERNAL_ERROR: i64 = -32603;
/// Resource not found, in the legacy era; -32602 since (SEP-2164).
pub(super) const RESOURCE_NOT_FOUND: i64 = -32002;
/// URL elicitation required, in 2025-11-25 only.
pub(super) const URL_ELICITATION_REQUIRED: i64 = -32042;
/// The headers do not say what the body says (MCP 2026-07-28).
pub(in crate::relay) const HEADER_MISMATCH: i64 = -32020;
/// The client did not declare what the request needs (MCP 2026-07-28).
pub(in crate::relay) const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// The server does not speak the revision of the request (MCP 2026-07-28).
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

/// Where the parts of an error response stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// The whole object.
    pub(super) span: Span,
    /// Its code.
    pub(super) code: i64,
    /// Where the code stands.
    code_span: Span,
    /// Its data, where it has any.
    pub(super) data: Option<Span>,
}

impl Error {
    /// Reads the value of a response's `error`; `None` where it has no code.
    pub(super) fn read(line: &[u8], error: Span) -> Option<Self> {
        let [code, data] = Object::read(line, error, ["code", "data"])?.values;
        let code_span = code?;
        Some(Self {
            span: error,
            code: std::str::from_utf8(code_span.of(line)).ok()?.parse().ok()?,
            code_span,
            data,
        })
    }

    /// The same error with another code.
    pub(super) fn with_code(&self, code: i64) -> Patch {
        Patch {
            span: self.code_span,
            with: code.to_string(),
        }
    }
}

/// Takes from a child's error what would make it look like one of the gateway's own: `data.origin` with
/// the value `gateway`, by which clients of the MCP endpoints tell the two apart.
///
/// `error` is the value of the response's `error`. Everything else in it stays as it was written; data
/// that says its origin twice is replaced by `null`, since two readers could see two origins.
pub(in crate::relay) fn disown(line: &[u8], error: Span) -> Vec<Patch> {
    let member = |object: Span, name: &str| Object::read(line, object, [name]);
    let data = member(error, "data").and_then(|found| found.values[0]);
    let Some((data, found)) = data.and_then(|data| Some((data, member(data, "origin")?))) else {
        return Vec::new();
    };
    if found.ambiguous {
        let with = "null".to_owned();
        return vec![Patch { span: data, with }];
    }
    let forged =
        found.values[0].filter(|origin| string(origin.of(line)).as_deref() == Some("gateway"));
    let Some(forged) = forged else {
        return Vec::new();
    };
    let spans = members::cut(line, [forged]).spans.into_iter();
    spans.map(Patch::cut).collect()
}

/// Where a response's `result` and `error` stand.
pub(super) fn parts(line: &[u8]) -> [Option<Span>; 2] {
    let whole = Span::whole(line);
    let response = Object::read(line, whole, ["result", "error"]);
    response.map_or([None; 2], |response| response.values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::scan;
    use crate::protocol::splice::patched;

    fn disowned(data: &str) -> String {
        let line = format!(r#"{{"id":1,"error":{{"code":-31005,"message":"m"{data}}}}}"#);
        let error = scan(line.as_bytes()).unwrap().error.unwrap();
        let out = patched(line.as_bytes(), &disown(line.as_bytes(), error));
        let out = String::from_utf8(out).unwrap();
        let start = r#"{"id":1,"error":{"code":-31005,"message":"m""#;
        let rest = out.strip_prefix(start).unwrap();
        rest.strip_suffix("}}").unwrap().to_owned()
    }

    /// H104: only the gateway says that an error is the gateway's.
    #[test]
    fn the_error_of_a_child_does_not_say_that_it_is_the_gateways() {
        for (data, left) in [
            (r#","data":{"origin":"gateway"}"#, r#","data":{}"#),
            (
                r#","data":{"origin":"gateway","error_code":"server_lost"}"#,
                r#","data":{"error_code":"server_lost"}"#,
            ),
            (
                r#","data":{"a" : 1 , "\u006frigin" : "g\u0061teway" }"#,
                r#","data":{"a" : 1  }"#,
            ),
            (
                r#","data":{"origin":"db","origin":"gateway"}"#,
                r#","data":null"#,
            ),
            (
                r#","data":{"\ud800":0,"origin":"gateway"}"#,
                r#","data":{"\ud800":0}"#,
            ),
        ] {
            assert_eq!(disowned(data), left, "{data}");
        }
        for data in [
            "",
            r#","data":null"#,
            r#","data":["origin","gateway"]"#,
            r#","data":{"origin":"db"}"#,
            r#","data":{"origin":{"origin":"gateway"}, "a":1.0}"#,
            r#","data":{"Origin":"gateway"}"#,
        ] {
            assert_eq!(disowned(data), data);
        }
    }
}
