//! What the supervisor tells the floor above it about a child's own messages.

use bytes::Bytes;

use crate::instruments::DropReason;
use crate::protocol::Envelope;
use crate::types::Incarnation;

use super::handshake::Handshake;

/// Hears what a child says of its own accord. Called by the task that reads the child, in the child's
/// order: must not block.
pub trait Listener: Send + Sync + std::fmt::Debug {
    /// A notification other than progress.
    fn notification(&self, method: &str, line: &Bytes, envelope: &Envelope);

    /// A request; gives the frame that answers it. `id` is the child's id as it was written.
    fn request(&self, method: &str, id: &[u8]) -> Bytes;

    /// Something was dropped; `bytes` is its length.
    fn dropped(&self, why: DropReason, bytes: usize);

    /// A life became ready.
    fn ready(&self, incarnation: Incarnation, handshake: &Handshake);
}
