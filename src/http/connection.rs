//! One connection: HTTP/1.1 by hyper, its deadlines by [`super::phase`], its end by us.
//!
//! What hyper answers on its own, with a bare status and no body, before any request exists: 400 for
//! a head that does not parse (also conflicting lengths, bad transfer codings, the PROXY protocol),
//! 431 for more than 100 headers or a head over [`HEAD_BUFFER`], 414 for a target over 65534 bytes. It closes the
//! connection after each. To the HTTP/2 preface it closes without a word. The 100 are its default, which it does not
//! call stable: a test holds it, because hyper clears a table for every request where the number is set.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::config::LimitsConfig;
use super::held::Held;
use super::phase::{Clock, LastByte, Overdue, Watched};

/// The read buffer of a connection, and so the largest head. Large enough for a target that is
/// refused as such (414), small enough that 1024 connections cost at most 96 MiB before anybody is
/// let in; with TLS, rustls holds up to 64 KiB of a handshake each before that. Trailers and chunk extensions are held to 16 KiB each by hyper.
const HEAD_BUFFER: usize = 96 * 1024;

/// How the connections of a listener are ended.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// No further request; what is under way goes on.
    pub(super) drain: CancellationToken,
    /// Dropped at once.
    pub(super) cut: CancellationToken,
}

enum End {
    Done(hyper::Result<()>),
    Overdue(Overdue),
    Cut,
}

/// What ends a connection from outside.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Drain,
    Cut,
}

impl Ends {
    /// Gives each ending when it has come. A connection is polled several times a request, and this looks at a token only
    /// when the token has woken it: to ask two of them each time was a fiftieth of what a small call costs.
    fn endings(self) -> FuturesUnordered<impl Future<Output = Ending>> {
        let Self { drain, cut } = self;
        let tokens = [(drain, Ending::Drain), (cut, Ending::Cut)];
        let endings = tokens.map(|(token, ending)| async move {
            token.cancelled().await;
            ending
        });
        endings.into_iter().collect()
    }
}

/// What answers HTTP requests, and never fails. Shared, unlike a service of tower, of which every request has a clone
/// that is asked whether it is ready.
pub(super) trait Answers: Send + Sync + 'static {
    /// The answer to a request on a connection that comes from `peer`.
    fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

impl Answers for Router {
    async fn answer(&self, _peer: SocketAddr, request: Request<Body>) -> Response<Body> {
        let answered = self.clone().oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<Io, S>(
    socket: Io,
    peer: SocketAddr,
    service: Arc<S>,
    limits: LimitsConfig,
    ends: Ends,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let clock = Clock::new(&limits);
    let socket = TokioIo::new(Watched::new(socket, Arc::clone(&clock)));
    let answer = {
        let clock = Arc::clone(&clock);
        hyper::service::service_fn(move |request: Request<Incoming>| {
            clock.request_parsed();
            let (service, clock) = (Arc::clone(&service), Arc::clone(&clock));
            // On the heap, because hyper moves it.
            Box::pin(async move {
                let response = service.answer(peer, request.map(Body::new)).await;
                Ok::<_, Infallible>(response.map(|body| Held::new(body, LastByte::new(clock))))
            })
        })
    };
    // Half-closed connections stay off: a client's end of file in the middle of a request is how we
    // learn that it has gone, and then its request is dropped.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(socket, answer);

    let mut connection = pin!(connection);
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut endings = pin!(ends.endings());
    let end = poll_fn(|cx| {
        while let Poll::Ready(Some(ending)) = endings.as_mut().poll_next(cx) {
            match ending {
                // Closes an idle connection at once, others after the response under way.
                Ending::Drain => connection.as_mut().graceful_shutdown(),
                Ending::Cut => return Poll::Ready(End::Cut),
            }
        }
        if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
            return Poll::Ready(End::Done(outcome));
        }
        let Some((deadline, overdue)) = clock.deadline() else {
            return Poll::Pending;
        };
        // Most deadlines move on before they come, and a timer that rings too early costs less than one that is set anew
        // for each of them.
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(End::Overdue(overdue));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await;

    match end {
        End::Done(Ok(())) => {}
        End::Done(Err(error)) => tracing::debug!(%peer, %error, "connection ended: {error}"),
        End::Overdue(overdue) => {
            tracing::debug!(%peer, ?overdue, "connection closed for being slow");
        }
        End::Cut => tracing::debug!(%peer, "connection cut"),
    }
}
