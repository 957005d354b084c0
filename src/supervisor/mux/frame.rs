//! One frame for a server: whose it is, and where it waits.

use bytes::Bytes;

use crate::types::{PrincipalId, QuotaPermit};

/// Cost of a frame beside its bytes, so that many small frames count too.
const FRAME_COST: u64 = 256;

/// The one whose share of a server a frame takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The server itself: what keeps it running, such as the handshake. Goes first.
    Server,
    /// The principal that sent the frame, or on whose behalf the gateway sends it.
    Principal(PrincipalId),
}

/// The part of a lane that a frame waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum FrameClass {
    /// Cancellations and answers to the server, which other frames may wait for: written whatever the gate, and
    /// before the other frames of their owner.
    Control,
    /// Requests and notifications, in the order in which they came.
    Ordered,
    /// Requests of which only one may be at the server at a time; they wait apart, so that nothing waits behind
    /// them that need not.
    Exclusive,
}

/// One line for the server, with its newline.
#[derive(Debug)]
pub(in crate::supervisor) struct Frame {
    /// The share that it takes.
    pub(in crate::supervisor) owner: Owner,
    /// Where it waits.
    pub(in crate::supervisor) class: FrameClass,
    /// Not a client's: it is meant for the present life of the child and goes with it.
    pub(in crate::supervisor) own: bool,
    /// The request whose frame it is; `None` for what expects no answer.
    pub(in crate::supervisor) id: Option<u64>,
    /// Counts among the requests in flight when it is written.
    pub(in crate::supervisor) counted: bool,
    /// The part of its token's quota that a notification keeps until it is written; a request's is in its entry.
    pub(in crate::supervisor) _quota: Option<QuotaPermit>,
    pub(in crate::supervisor) bytes: Bytes,
}

impl Frame {
    /// A frame of the gateway's own that expects no answer.
    pub(super) fn control(owner: Owner, bytes: Bytes) -> Self {
        Self {
            owner,
            class: FrameClass::Control,
            own: true,
            id: None,
            counted: false,
            _quota: None,
            bytes,
        }
    }

    /// A client's notification.
    pub(super) fn notification(owner: Owner, bytes: Bytes, quota: Option<QuotaPermit>) -> Self {
        Self {
            class: FrameClass::Ordered,
            own: false,
            _quota: quota,
            ..Self::control(owner, bytes)
        }
    }

    pub(super) fn cost(&self) -> u64 {
        FRAME_COST.saturating_add(self.bytes.len() as u64)
    }
}
