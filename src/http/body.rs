//! Reading a request's body: bounded in size and in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::fault::{Delivered, Fault, FaultKind};
use crate::memory_budget::{self, MemoryBudget, MemoryLease};
use crate::types::PrincipalId;

/// How much body is taken, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// In bytes.
    pub(super) max: usize,
    /// From the first wait for the body to its end, in total and not per read.
    pub(super) deadline: Duration,
}

/// Remembers whether a request's body was read to its end. Where it was not, the connection has to be
/// closed after the response, because what follows on it is the rest of that body.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyMark(Arc<AtomicBool>);

impl BodyMark {
    /// Whether the body was read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads a body to its end.
///
/// A `Content-Length` over the cap is refused before a byte is read, which also means that no
/// `100 Continue` is sent for it; a chunked body is refused at the frame that goes over. Trailers are
/// read past and not used. A large body is held by a lease of its principal from its announcement to the end of
/// the last piece of it.
pub(super) async fn read(
    mut body: Body,
    limits: BodyLimits,
    memory: &MemoryBudget,
    principal: PrincipalId,
    mark: &BodyMark,
) -> Result<Bytes, Fault> {
    let too_large = || {
        let message = format!("body over the cap of max_body_bytes ({})", limits.max);
        Fault::new(FaultKind::PayloadTooLarge, message)
    };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.max {
        return Err(too_large());
    }
    let mut lease = None;
    let mut hold = |bytes| hold(&mut lease, memory, principal, bytes);
    hold(announced)?;
    let mut deadline = None;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        // Most bodies are there with their heads: only who waits needs to know until when.
        let frame = if let Some(frame) = body.frame().now_or_never() {
            frame
        } else {
            let deadline = deadline.get_or_insert_with(|| Instant::now() + limits.deadline);
            let Ok(frame) = timeout_at(*deadline, body.frame()).await else {
                let text = format!(
                    "body did not arrive in time, body_ms ({})",
                    limits.deadline.as_millis()
                );
                return Err(Fault::new(FaultKind::BodyTimeout, text));
            };
            frame
        };
        let data = match frame {
            None => break,
            // Bad chunk sizes, a body shorter than announced, or a lost connection.
            Some(Err(error)) => {
                tracing::debug!(%error, "cannot read a request body: {error}");
                return Err(Fault::new(
                    FaultKind::InvalidRequest,
                    "body could not be read",
                ));
            }
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        if first.len() + rest.len() + data.len() > limits.max {
            return Err(too_large());
        }
        hold(first.len() + rest.len() + data.len())?;
        // Most bodies are one frame, and that is passed on without a copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                // All that was announced at once: memory that nothing is written to costs nothing, and a buffer that
                // grows is copied each time.
                rest.reserve(announced);
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    mark.0.store(true, Ordering::Relaxed);
    let text = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    Ok(match lease {
        Some(lease) => lease.hold(text),
        None => text,
    })
}

/// Makes a lease large enough for this much of a body, if that is large.
fn hold(
    lease: &mut Option<MemoryLease>,
    memory: &MemoryBudget,
    principal: PrincipalId,
    bytes: usize,
) -> Result<(), Fault> {
    if bytes < memory_budget::SMALL {
        return Ok(());
    }
    let lease = lease.get_or_insert_with(|| memory.account(principal).empty_lease());
    if bytes <= lease.bytes() {
        return Ok(());
    }
    let held = lease.resize(bytes);
    held.map_err(|exhausted| exhausted.fault(Delivered::No))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use std::convert::Infallible;

    const ONE: PrincipalId = PrincipalId(1);
    const LIMITS: BodyLimits = BodyLimits {
        max: 8,
        deadline: Duration::from_secs(30),
    };

    fn chunked(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(*piece))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn outcome(body: Body) -> (Result<Bytes, FaultKind>, bool) {
        let mark = BodyMark::default();
        let memory = MemoryBudget::new(usize::MAX);
        let read = read(body, LIMITS, &memory, ONE, &mark)
            .await
            .map_err(|fault| fault.kind);
        (read, mark.is_read())
    }

    #[tokio::test]
    async fn a_body_up_to_the_cap_is_read_whole() {
        for (body, expected) in [
            (Body::empty(), ""),
            (Body::from("12345678"), "12345678"),
            (chunked(&["12", "", "345", "678"]), "12345678"),
        ] {
            assert_eq!(outcome(body).await, (Ok(Bytes::from(expected)), true));
        }
    }

    #[tokio::test]
    async fn a_body_over_the_cap_is_refused() {
        let refused = (Err(FaultKind::PayloadTooLarge), false);
        assert_eq!(outcome(Body::from("123456789")).await, refused);
        assert_eq!(outcome(chunked(&["12345", "6789"])).await, refused);
    }

    #[tokio::test]
    async fn an_announced_length_over_the_cap_is_refused_unread() {
        let unread = stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, Infallible>>> {
            panic!("the body was read")
        });
        let body =
            http_body_util::StreamBody::new(unread.map(|item| item.map(http_body::Frame::data)));
        let announced = Announced(body, 9);
        assert_eq!(
            outcome(Body::new(announced)).await,
            (Err(FaultKind::PayloadTooLarge), false)
        );
    }

    /// A body that the budget has no room for is refused at its announcement, a chunked one at the frame that goes over;
    /// one that fits is held until the last piece of it is gone.
    #[tokio::test]
    async fn a_large_body_is_held_by_the_memory_budget() {
        const LARGE: usize = memory_budget::SMALL;
        let limits = BodyLimits {
            max: 10 * LARGE,
            deadline: LIMITS.deadline,
        };
        // A principal has half of it.
        let memory = MemoryBudget::new(4 * LARGE);
        let mark = BodyMark::default();
        let whole = || Body::from(vec![b' '; LARGE + 1]);
        let chunks = |count| {
            let chunk = || Ok::<_, Infallible>(Bytes::from(vec![b' '; LARGE]));
            Body::from_stream(stream::iter((0..count).map(move |_| chunk())))
        };
        let kept = read(whole(), limits, &memory, ONE, &mark).await.unwrap();
        assert_eq!((kept.len(), memory.held()), (LARGE + 1, LARGE + 1));
        for body in [whole(), chunks(1)] {
            let fault = read(body, limits, &memory, ONE, &mark).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::RateLimited);
            assert_eq!(fault.delivered, Some(Delivered::No));
            assert_eq!(memory.held(), LARGE + 1, "a refused body holds nothing");
        }
        let part = kept.slice(..1);
        drop(kept);
        assert_eq!(memory.held(), LARGE + 1);
        drop(part);
        let chunked = read(chunks(2), limits, &memory, ONE, &mark).await.unwrap();
        assert_eq!((chunked.len(), memory.held()), (2 * LARGE, 2 * LARGE));
        let small = read(Body::from("1"), limits, &memory, ONE, &mark).await;
        assert_eq!(small.unwrap(), "1", "small bodies need no room");
    }

    /// H003, of the deadline: in total, and not for each piece.
    #[tokio::test(start_paused = true)]
    async fn a_trickled_body_is_given_up_after_the_total_deadline() {
        let start = Instant::now();
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            Some((Ok::<_, Infallible>("x"), ()))
        });
        let read = outcome(Body::from_stream(trickle)).await;
        assert_eq!(read, (Err(FaultKind::BodyTimeout), false));
        assert_eq!(start.elapsed(), LIMITS.deadline);
    }

    #[tokio::test]
    async fn a_broken_body_is_an_invalid_request() {
        let broken = stream::iter([Ok("12"), Err(std::io::Error::other("reset"))]);
        let read = outcome(Body::from_stream(broken)).await;
        assert_eq!(read, (Err(FaultKind::InvalidRequest), false));
    }

    /// A body that announces a length.
    struct Announced<B>(B, u64);

    impl<B: http_body::Body + Unpin> http_body::Body for Announced<B> {
        type Data = B::Data;
        type Error = B::Error;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
            std::pin::Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.1)
        }
    }
}
