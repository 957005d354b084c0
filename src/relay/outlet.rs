//! Where a call puts what comes before its response.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::queue::Queue;
use crate::instruments::{DropReason, ServerInstruments};

/// The messages of one call for its client, in the child's order. Bounded: a reader that is too slow
/// ends its own stream and nothing else.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: Queue,
    instruments: ServerInstruments,
}

impl Outlet {
    pub(super) fn new(
        max_events: usize,
        max_bytes: usize,
        instruments: ServerInstruments,
    ) -> Arc<Self> {
        Arc::new(Self {
            queue: Queue::new(max_events, max_bytes),
            instruments,
        })
    }

    /// Adds a message; `false` where it was dropped because the stream is over.
    pub(super) fn push(&self, message: Bytes) -> bool {
        let taken = self.queue.push(message);
        if !taken {
            self.instruments.dropped(DropReason::SlowStream);
        }
        taken
    }

    /// Waits until there is something to read. Cancel safe.
    pub(super) async fn ready(&self) {
        poll_fn(|context| self.queue.poll_ready(context)).await;
    }

    /// Whether something waits to be read.
    pub(super) fn has_messages(&self) -> bool {
        self.queue.has_events()
    }

    /// The next message; `None` when a reader was too slow.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        self.queue.poll(context)
    }
}
