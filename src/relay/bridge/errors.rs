//! Error responses, and the codes that mean something in one era only.

use crate::protocol::Span;
use crate::protocol::members::Object;
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

/// Where a response's `result` and `error` stand.
pub(super) fn parts(line: &[u8]) -> [Option<Span>; 2] {
    let whole = Span::whole(line);
    let response = Object::read(line, whole, ["result", "error"]);
    response.map_or([None; 2], |response| response.values)
}
