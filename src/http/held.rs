//! A response body that keeps something until its last byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// A body and something that is dropped with it, such as a permit.
#[derive(Debug)]
pub(super) struct Held<B, T> {
    body: B,
    _kept: T,
}

impl<B, T> Held<B, T> {
    /// Ties `kept` to the life of the body.
    pub(super) fn new(body: B, kept: T) -> Self {
        Self { body, _kept: kept }
    }
}

impl<B: Body + Unpin, T: Unpin> Body for Held<B, T> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
