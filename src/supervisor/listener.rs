//! What the supervisor tells the floor above it about a child's own messages.

use bytes::Bytes;

use crate::instruments::DropReason;
use crate::protocol::Envelope;
use crate::types::Incarnation;

use super::handshake::Handshake;

/// Hears what a child says of its own accord. Called by the task that reads the child, in the child's
/// order: must not block.
///
/// Every message bears the life that sent it: what is kept of one life must never meet another.
pub trait Listener: Send + Sync + std::fmt::Debug {
    /// A notification other than progress.
    fn notification(
        &self,
        incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    );

    /// A request; `envelope.id` is where the child's id stands in `line`.
    ///
    /// `Some` is the frame that answers it at once, one line with its newline. `None` promises an answer
    /// by [`Mux::reply`](super::Mux::reply): a child that waits for one may not even end when its stdin
    /// does.
    fn request(
        &self,
        incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) -> Option<Bytes>;

    /// Something was dropped; `bytes` is its length.
    fn dropped(&self, why: DropReason, bytes: usize);

    /// Whether somebody who hears the child has yet to catch up with it, and may. The child is read on when
    /// nobody has; the answer stays `true` for a short time at most.
    fn is_behind(&self) -> bool;

    /// A life became ready.
    fn ready(&self, incarnation: Incarnation, handshake: &Handshake);

    /// A life is over, whether or not it ever became ready: whatever waits for it can be forgotten. Called
    /// once for each life, after the last of its messages; only a `ready` of the same life may cross it.
    fn lost(&self, incarnation: Incarnation);
}
