//! Messages out: where they go, and how answers, errors and notifications look.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

/// The request is not one that this server knows.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// The params do not fit.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// The state of the connection does not allow the request.
pub(crate) const INVALID_REQUEST: i64 = -32600;
/// The server itself failed.
pub(crate) const INTERNAL_ERROR: i64 = -32603;
/// A header of the HTTP request disagrees with its body (MCP 2026-07-28, error codes).
pub(crate) const HEADER_MISMATCH: i64 = -32020;
/// The request needs a capability that the client did not declare (MCP 2026-07-28, error codes).
pub(crate) const MISSING_CAPABILITY: i64 = -32021;
/// The request is of a revision that this server does not speak (MCP 2026-07-28, error codes).
pub(crate) const UNSUPPORTED_VERSION: i64 = -32022;
/// A resource that does not exist, in the legacy era.
pub(crate) const LEGACY_RESOURCE_NOT_FOUND: i64 = -32002;

/// An error to answer a request with.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl Refusal {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    pub(crate) fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The response that carries it.
    pub(crate) fn response(&self, id: &Value) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let (Some(members), Some(data)) = (error.as_object_mut(), &self.data) {
            members.insert("data".to_owned(), data.clone());
        }
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

/// A way to the other side. Cheap to clone; messages of one thread keep their order.
#[derive(Clone)]
pub(crate) struct Wire(Arc<dyn Fn(&Value) -> bool + Send + Sync>);

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire")
    }
}

impl Wire {
    /// A wire from a function that sends one message and says whether anyone is still there.
    pub(crate) fn new(send: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    /// Standard output, one message a line.
    pub(crate) fn stdout() -> Self {
        Self::new(|message| {
            let line = format!("{message}\n");
            let mut out = std::io::stdout().lock();
            let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            written.is_ok()
        })
    }

    /// Sends a message; `false` when nobody is there any more.
    pub(crate) fn send(&self, message: &Value) -> bool {
        (self.0)(message)
    }

    /// Whether both are the same wire.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn reply(&self, id: &Value, result: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    pub(crate) fn refuse(&self, id: &Value, refusal: &Refusal) {
        self.send(&refusal.response(id));
    }

    pub(crate) fn notify(&self, method: &str, params: &Value) -> bool {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }
}

/// Writes one line to stderr.
pub(crate) fn complain(line: &str) {
    let line = format!("conformance_server: {line}\n");
    // Whoever reads stderr may be gone; the end of stdin follows then.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
