//! `subscriptions/listen`: a stream of what a modern client wants to hear of.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::request::Request;
use crate::fault::Fault;
use crate::instruments::Held;
use crate::relay::api::{Event, Events};
use crate::relay::hub::{Filter, Sink};
use crate::relay::queue::Queue;

impl Request {
    /// Opens the stream. It begins with what is granted, and ends with a response only where the
    /// gateway ends it (MCP 2026-07-28, basic/utilities/subscriptions).
    pub(super) async fn listen(&self) -> Result<Events, Fault> {
        let filter = Filter::of_params(self.message.params())?;
        let config = self.shared.config();
        let queue = Arc::new(Queue::new(
            config.stream_queue_events,
            config.stream_queue_bytes,
            self.shared.memory.account(self.caller.principal.id),
        ));
        let sink: Arc<dyn Sink> = Arc::clone(&queue) as _;
        let id = self.message.text(self.id);
        let principal = self.caller.principal.id;
        let listening = self
            .upstream
            .hub
            .listen(principal, id, filter, sink)
            .await?;
        // The process is in use as long as somebody listens to it.
        let leased = Arc::clone(&self.upstream);
        let finish = move || {
            let last = listening.finish();
            drop(leased);
            last
        };
        let held = self.upstream.instruments.stream();
        Ok(heard(&self.upstream.ended, queue, finish, Some(held)))
    }
}

/// The stream of a subscription, until `ended`. `finish` leaves and gives the response where the gateway ends it; who
/// drops the stream drops it, and leaves by that.
pub(in crate::relay) fn heard(
    ended: &CancellationToken,
    queue: Arc<Queue>,
    finish: impl FnOnce() -> Bytes + Send + 'static,
    held: Option<Held>,
) -> Events {
    Events::new(Heard {
        queue,
        finish: Some(Box::new(finish)),
        ended: Box::pin(ended.clone().cancelled_owned()),
        _held: held,
    })
}

/// What one subscription brings. Dropping it ends the subscription.
struct Heard {
    queue: Arc<Queue>,
    finish: Option<Box<dyn FnOnce() -> Bytes + Send>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _held: Option<Held>,
}

impl Stream for Heard {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = |message: Bytes| Event {
            id: None,
            retry: None,
            message,
        };
        match self.queue.poll(context) {
            Poll::Ready(message) => return Poll::Ready(message.map(event)),
            Poll::Pending => {}
        }
        if self.ended.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let last = self.finish.take().map(|finish| event(finish()));
        Poll::Ready(last)
    }
}
