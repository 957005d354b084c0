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
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::config::LimitsConfig;
use super::held::Held;
use super::phase::{Clock, LastByte, Overdue, Watched};
use super::placement::Placement;
use super::slots::Slot;
use crate::shards::Shard;
use crate::types::Principal;

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
    Move(Shard),
}

/// What the requests of one connection have in common.
pub(super) struct ConnectionContext {
    pub(super) peer: SocketAddr,
    /// `None` where it is served at one shard for good.
    pub(super) placement: Option<Arc<Placement>>,
    /// Its place among the open ones; given back with it.
    pub(super) slot: Option<Slot>,
}

impl ConnectionContext {
    /// A connection that stays where it is and has no place of its own.
    pub(super) fn fixed(peer: SocketAddr) -> Self {
        Self {
            peer,
            placement: None,
            slot: None,
        }
    }

    /// Notes that a request had a valid token.
    pub(super) fn authenticate(&self) {
        if let Some(slot) = &self.slot {
            slot.authenticate();
        }
    }

    /// Has the connection go on where a request of this principal for this path is served. `is_heavy` where it would
    /// keep others waiting.
    pub(super) async fn settle(&self, principal: &Principal, path: &str, is_heavy: bool) {
        if let Some(placement) = &self.placement {
            placement.settle(principal, path, is_heavy).await;
        }
    }
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
    fn endings(self, slot: Option<&Slot>) -> FuturesUnordered<impl Future<Output = Ending>> {
        let Self { drain, cut } = self;
        let evicted = slot.map(|slot| (slot.evicted().clone(), Ending::Cut));
        let tokens = [(drain, Ending::Drain), (cut, Ending::Cut)];
        let endings = tokens
            .into_iter()
            .chain(evicted)
            .map(|(token, ending)| async move {
                token.cancelled().await;
                ending
            });
        endings.collect()
    }
}

/// What answers HTTP requests, and never fails. Shared, unlike a service of tower, of which every request has a clone
/// that is asked whether it is ready.
pub(super) trait Answers: Send + Sync + 'static {
    /// The answer to a request on this connection.
    fn answer(
        &self,
        connection: &ConnectionContext,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// The requests of one connection on their way to the service.
struct Requests<S>(Arc<RequestsInner<S>>);

struct RequestsInner<S> {
    service: Arc<S>,
    clock: Arc<Clock>,
    context: ConnectionContext,
}

type BodyWithClock = Held<Body, LastByte>;

impl<S: Answers> Service<Request<Incoming>> for Requests<S> {
    type Response = Response<BodyWithClock>;
    type Error = Infallible;
    // On the heap, because hyper moves it.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        inner.clock.request_parsed();
        Box::pin(async move {
            let RequestsInner {
                service,
                clock,
                context,
            } = &*inner;
            let response = service.answer(context, request.map(Body::new)).await;
            let last_byte = LastByte::new(Arc::clone(clock));
            Ok(response.map(|body| Held::new(body, last_byte)))
        })
    }
}

type HttpConnection<Io, S> = http1::Connection<TokioIo<Watched<Io>>, Requests<S>>;

/// A connection that is open, and can go on at another shard.
pub(super) struct OpenConnection<Io, S>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Answers,
{
    /// On the heap, because it moves between tasks.
    http: Pin<Box<HttpConnection<Io, S>>>,
    requests: Arc<RequestsInner<S>>,
    ends: Ends,
}

impl<Io, S> OpenConnection<Io, S>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    /// A connection of which nothing has been read yet.
    pub(super) fn new(
        socket: Io,
        context: ConnectionContext,
        service: Arc<S>,
        limits: &LimitsConfig,
        ends: Ends,
    ) -> Self {
        let clock = Clock::new(limits);
        let socket = TokioIo::new(Watched::new(socket, Arc::clone(&clock)));
        let requests = Arc::new(RequestsInner {
            service,
            clock,
            context,
        });
        // Half-closed connections stay off: a client's end of file in the middle of a request is how we
        // learn that it has gone, and then its request is dropped.
        let http = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(HEAD_BUFFER)
            .serve_connection(socket, Requests(Arc::clone(&requests)));
        Self {
            http: Box::pin(http),
            requests,
            ends,
        }
    }

    /// Serves the connection to its end, or until it has to go on at the shard that is returned.
    pub(super) async fn run(&mut self) -> Option<Shard> {
        let RequestsInner { clock, context, .. } = &*self.requests;
        let ConnectionContext {
            peer,
            placement,
            slot,
        } = context;
        if let Some(placement) = placement {
            placement.arrive();
        }
        let http = &mut self.http;
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut endings = pin!(self.ends.clone().endings(slot.as_ref()));
        let end = poll_fn(|cx| {
            while let Poll::Ready(Some(ending)) = endings.as_mut().poll_next(cx) {
                match ending {
                    // Closes an idle connection at once, others after the response under way.
                    Ending::Drain => http.as_mut().graceful_shutdown(),
                    Ending::Cut => return Poll::Ready(End::Cut),
                }
            }
            if let Poll::Ready(outcome) = http.as_mut().poll(cx) {
                return Poll::Ready(End::Done(outcome));
            }
            if let Some(shard) = placement.as_ref().and_then(|placement| placement.wanted()) {
                return Poll::Ready(End::Move(shard));
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
            End::Move(shard) => return Some(shard),
        }
        None
    }
}
