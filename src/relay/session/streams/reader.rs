//! One reader of one stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;

use super::{Streams, id};
use crate::memory_budget::MemoryLease;
use crate::relay::api::Event;

/// Reads one stream; the newest reader of a stream gets what comes, and when it goes the one before it.
#[derive(Debug)]
pub(in crate::relay) struct Reader {
    pub(super) streams: Arc<Streams>,
    pub(super) stream: u64,
    pub(super) key: u64,
    /// The event that tells the id before anything has happened.
    pub(super) primer: Option<Event>,
    /// What came before it attached, with numbers.
    pub(super) missed: VecDeque<(u64, Bytes)>,
    /// The memory of that: what is kept may be given up meanwhile.
    pub(super) lease: Option<MemoryLease>,
}

impl Stream for Reader {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(primer) = self.primer.take() {
            return Poll::Ready(Some(primer));
        }
        let event = |stream, number, message| Event {
            id: Some(id(stream, number + 1)),
            retry: None,
            message,
        };
        let stream = self.stream;
        if let Some((number, message)) = self.missed.pop_front() {
            self.streams.state().seen(stream, number);
            return Poll::Ready(Some(event(stream, number, message)));
        }
        self.lease = None;
        let (reader, bounds) = (self.key, self.streams.bounds);
        let mut state = self.streams.state();
        let Some(log) = state.logs.get_mut(&stream) else {
            return Poll::Ready(None);
        };
        let newest = log.readers.last().map(|one| one.reader);
        let Some(own) = log.readers.iter_mut().find(|one| one.reader == reader) else {
            // It was too slow.
            return Poll::Ready(None);
        };
        own.waker = Some(context.waker().clone());
        let ended = log.ended;
        if newest != Some(reader) {
            return if ended {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        match state.take_waiting(stream) {
            Some((number, message)) => {
                let text = message.0.clone();
                state.keep(stream, number, message, bounds);
                state.seen(stream, number);
                let writer = state.writer_with_room(stream);
                drop(state);
                if let Some(writer) = writer {
                    writer.wake();
                }
                self.streams.budget.enforce();
                Poll::Ready(Some(event(stream, number, text)))
            }
            None if ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (stream, reader, bounds) = (self.stream, self.key, self.streams.bounds);
        let mut state = self.streams.state();
        state.used_at = Instant::now();
        let Some(log) = state.logs.get_mut(&stream) else {
            return;
        };
        log.readers.retain(|one| one.reader != reader);
        let mut wakers = log.newest_waker();
        if log.readers.is_empty() {
            wakers.extend(log.writer.take());
            state.keep_waiting(stream, bounds);
            state.forget_if_over(stream);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.streams.budget.enforce();
    }
}
