//! What the supervisor tells the floor above it about a child's own messages.

use std::time::Duration;

use bytes::Bytes;

use crate::instruments::DropReason;
use crate::protocol::{Deviation, Envelope, Misframed};
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

    /// An answer that nobody waits for: the child does nothing more for the request with this id, if there was one.
    fn unexpected_answer(&self, incarnation: Incarnation, id: u64);

    /// Something was dropped; `bytes` is its length.
    fn dropped(&self, why: DropReason, bytes: usize);

    /// A message was taken although it is not written as the specification wants it; `first` in its life.
    fn tolerated(&self, deviation: Deviation, first: bool);

    /// Whether somebody who hears the child has yet to catch up with it, and may. The child is read on when
    /// nobody has; the answer stays `true` for a short time at most. `waited` is how long the child was not read because
    /// of the answer before this one.
    fn is_behind(&self, waited: Duration) -> bool;

    /// A life does not write messages as stdio wants them; told once in each life.
    fn misframed(&self, mistake: Misframed);

    /// A life has done its handshake. Called before any request reaches it.
    fn handshake_completed(&self, incarnation: Incarnation, handshake: &Handshake);

    /// A life takes requests, and its [`ServerHandle`](super::ServerHandle) says so: whoever is told of it by now finds
    /// it. Called after `handshake_completed`, by another task than the one that reads the child.
    fn ready(&self, incarnation: Incarnation);

    /// A life is over, whether or not it ever became ready: whatever waits for it can be forgotten. Called
    /// once for each life, after the last of its messages; only a `handshake_completed` and a `ready` of the same life may cross it.
    fn lost(&self, incarnation: Incarnation);
}
