//! The calls that a child works on, as the child's own messages find them.

use bytes::Bytes;

use crate::protocol::Envelope;
use crate::types::Incarnation;

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
        let _ = (incarnation, method, line, envelope);
        None
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
