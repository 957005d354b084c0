//! Progress of a request, told to the session that it was made in.

use std::sync::Arc;

use bytes::Bytes;

use crate::instruments::{DropReason, ServerInstruments};
use crate::protocol::Span;
use crate::protocol::splice::{Edit, splice};
use crate::relay::queue::Queue;
use crate::supervisor::Observer;

/// Hears the progress of one request for the session that it was made in.
#[derive(Debug)]
pub(super) struct ProgressToSession {
    /// The client's own token as it was written.
    pub(super) token: Bytes,
    pub(super) queue: Arc<Queue>,
    pub(super) instruments: ServerInstruments,
}

impl Observer for ProgressToSession {
    fn progress(&self, line: &Bytes, token: Span) {
        let own = splice(
            line,
            &mut [Edit {
                span: token,
                with: &self.token,
            }],
        );
        if !self.queue.push(own.into()) {
            self.instruments.dropped(DropReason::SlowStream);
        }
    }
}
