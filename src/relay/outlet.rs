//! Where a call puts what comes before its response.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::config::Config;
use super::hub::{Hub, Sink};
use super::queue::{Prioritized, Queue};
use crate::memory_budget::MemoryAccount;
use crate::types::PrincipalId;

/// The messages of one call for its client, in the child's order.
///
/// Bounded, and nothing in it ends the call: where a reader is too slow, progress and logs are dropped and counted.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: Queue,
    /// The server, which is read no faster than the client reads, for a moment.
    hub: Arc<Hub>,
    principal: PrincipalId,
}

impl Outlet {
    pub(super) fn new(
        config: &Config,
        memory: MemoryAccount,
        hub: Arc<Hub>,
        principal: PrincipalId,
    ) -> Arc<Self> {
        let (events, bytes) = (config.stream_queue_events, config.stream_queue_bytes);
        Arc::new(Self {
            queue: Queue::new(events, bytes, memory),
            hub,
            principal,
        })
    }

    /// Adds progress or a log message, which is dropped where there is no room.
    pub(super) fn offer(self: &Arc<Self>, message: Bytes) {
        let taken = self.queue.offer(message);
        let sink: Arc<dyn Sink> = Arc::clone(self) as _;
        self.hub.offered(&sink, self.principal, taken);
    }

    /// Adds a question, or the withdrawal of one; `false` where too many wait already.
    pub(super) fn require(&self, message: Bytes) -> bool {
        self.queue.require(message)
    }

    /// Waits until there is something to read. Cancel safe.
    pub(super) async fn ready(&self) {
        poll_fn(|context| self.queue.poll_ready(context)).await;
    }

    /// Whether something waits to be read.
    pub(super) fn has_messages(&self) -> bool {
        self.queue.has_events()
    }

    /// The next message. Never at an end.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<Prioritized>> {
        self.queue.poll_prioritized(context)
    }
}

impl Sink for Outlet {
    fn push(&self, message: Bytes) -> bool {
        self.queue.offer(message)
    }

    fn fullness(&self) -> usize {
        self.queue.fullness()
    }
}
