//! The calls that a child works on, as the child's own messages find them.

use bytes::Bytes;

use crate::protocol::Envelope;
use crate::protocol::splice::into_frame;
use crate::types::Incarnation;

/// JSON-RPC: the method does not exist here.
const METHOD_NOT_FOUND: i32 = -32601;

/// The calls of clients that are under way at one child.
#[derive(Debug, Default)]
pub(super) struct Calls;

impl Calls {
    /// Puts a request of the child's to the one client that has caused it. `Some` is the answer where
    /// there is no such client, or where the client cannot be asked; `None` means that the client was
    /// asked and the answer follows.
    #[expect(clippy::unused_self, reason = "calls are noted next")]
    pub(super) fn ask(
        &self,
        incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) -> Option<Bytes> {
        let id = envelope.id?.of(line);
        // A request that cannot be put to one caller is refused, never guessed, never left open: a child
        // that waits for an answer may not even end when its stdin does.
        let shown: String = method
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect();
        let message =
            format!("the gateway puts no {shown} request to the clients of a shared server");
        let error = serde_json::json!({"code": METHOD_NOT_FOUND, "message": message});
        let error = format!(r#","error":{error}}}"#);
        let answer = [br#"{"jsonrpc":"2.0","id":"#, id, error.as_bytes()].concat();
        tracing::debug!(
            incarnation = incarnation.0,
            method = shown,
            "refused a request of a server"
        );
        Some(into_frame(answer).into())
    }

    /// Tells a log message of the child's to the one call that it can be attributed to, if that call
    /// wants it. `false` where it cannot be attributed to one call.
    #[expect(clippy::unused_self, reason = "calls are noted next")]
    pub(super) fn log(&self, line: &Bytes, envelope: &Envelope) -> bool {
        let _ = (line, envelope);
        false
    }

    /// A life of the child has ended: what it asked, nobody needs to answer any more.
    #[expect(clippy::unused_self, reason = "calls are noted next")]
    pub(super) fn lost(&self, incarnation: Incarnation) {
        let _ = incarnation;
    }
}
