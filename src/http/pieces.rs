//! A response body in pieces.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::memory_budget::SMALL;

/// Pieces of memory that are sent one after the other without a copy: a long message keeps its lease of the memory budget
/// until it was sent, however slowly its client reads.
#[derive(Debug)]
struct PiecesBody {
    pieces: VecDeque<Bytes>,
    left: usize,
}

/// A body of these pieces: one piece where they are short.
pub(super) fn body(pieces: impl IntoIterator<Item = Bytes>) -> Body {
    let pieces: VecDeque<_> = pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect();
    let left = pieces.iter().map(Bytes::len).sum();
    if left < SMALL {
        return Body::from(Vec::from(pieces).concat());
    }
    Body::new(PiecesBody { pieces, left })
}

impl http_body::Body for PiecesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.pop_front();
        self.left -= next.as_ref().map_or(0, Bytes::len);
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_their_order_with_their_length_and_long_ones_uncopied() {
        for len in [3, SMALL] {
            let long = Bytes::from(vec![b'x'; len]);
            let pieces = [
                Bytes::from_static(b"<"),
                long.clone(),
                Bytes::new(),
                ">".into(),
            ];
            let mut body = body(pieces);
            assert_eq!(body.size_hint().exact(), Some(len as u64 + 2));
            let (mut text, mut uncopied) = (Vec::new(), false);
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                uncopied |= piece.as_ptr() == long.as_ptr();
                text.extend_from_slice(&piece);
            }
            assert!(body.is_end_stream());
            assert_eq!(text, [b"<", &long[..], b">"].concat());
            assert_eq!(uncopied, len == SMALL);
        }
    }
}
