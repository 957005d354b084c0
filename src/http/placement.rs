//! The shard that serves a connection.
//!
//! A connection begins at a shard of the front, where everything that is not authenticated is served. Each request that
//! was let in moves it: to the home of the server that the request asks for, if its token may reach that server, and
//! to the worker of its token if not. So a message crosses the gateway on one thread, no work for another server ever
//! runs on a server's thread, and none delays new connections.
//!
//! An event loop runs its tasks in the order in which they became ready, whoever's they are: where one token has fifty
//! requests ready at a server's home, each call of another waits for all fifty. The system is fairer to threads than
//! an event loop is to tasks. So a heavy request, one that would keep others waiting, is served by the worker of its
//! token instead, and only what it has for the server crosses over.
//!
//! A request waits in the gate while its connection moves. Nothing of its body has been read by then.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::shards::{Shard, Shards};
use crate::types::Principal;

/// Finds the home of the server with an id, if there is one that the principal may reach.
pub(super) type HomeFinder = Arc<dyn Fn(&Principal, &str) -> Option<Shard> + Send + Sync>;

/// The shards that connections are served at.
#[derive(Clone)]
pub(super) struct Homes {
    pub(super) fronts: Shards,
    pub(super) workers: Shards,
    pub(super) find: HomeFinder,
}

/// The place of one connection among the shards.
pub(super) struct Placement {
    find: HomeFinder,
    workers: Shards,
    state: Mutex<PlacementState>,
    /// A request waits for the connection to move: what the state says too, without a lock.
    is_moving: AtomicBool,
    /// How often the connection has moved.
    moves: AtomicUsize,
}

struct PlacementState {
    current: Shard,
    /// A request waits for the connection to move there.
    wanted: Option<Shard>,
}

impl Placement {
    /// The place of a connection that begins at this shard of the front.
    pub(super) fn new(homes: &Homes, front: Shard) -> Arc<Self> {
        Arc::new(Self {
            find: Arc::clone(&homes.find),
            workers: homes.workers.clone(),
            state: Mutex::new(PlacementState {
                current: front,
                wanted: None,
            }),
            is_moving: AtomicBool::new(false),
            moves: AtomicUsize::new(0),
        })
    }

    /// Has the connection move to where a request of this principal for this path is served, and waits until it has.
    /// A heavy request keeps others waiting where it is served.
    pub(super) async fn settle(&self, principal: &Principal, path: &str, is_heavy: bool) {
        let server = split_server(path).filter(|_| !is_heavy);
        let home = server.and_then(|(server, _)| (self.find)(principal, server));
        let home = home.unwrap_or_else(|| self.workers.at(principal.id.0 as usize));
        {
            let mut state = self.state();
            if state.current == home {
                return;
            }
            state.wanted = Some(home);
        }
        self.is_moving.store(true, Ordering::Release);
        // Nothing has to wake this: whoever polls it looks for the wish right afterwards, and polls it again elsewhere.
        poll_fn(|_| {
            if self.is_moving.load(Ordering::Acquire) {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// The shard to which the connection has to move before it goes on. To be looked at after each poll.
    pub(super) fn wanted(&self) -> Option<Shard> {
        if !self.is_moving.load(Ordering::Acquire) {
            return None;
        }
        self.state().wanted.clone()
    }

    /// Notes that the connection is polled by the shard that was wanted.
    pub(super) fn arrive(&self) {
        let mut state = self.state();
        if let Some(shard) = state.wanted.take() {
            state.current = shard;
            self.moves.fetch_add(1, Ordering::Relaxed);
            self.is_moving.store(false, Ordering::Release);
        }
    }

    fn state(&self) -> MutexGuard<'_, PlacementState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first segment of a path and what follows it: `/{server_id}/…`. Every request is looked at twice in this way, and
/// these few bytes are found faster one by one than by a search that is made for long texts.
pub(super) fn split_server(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let end = path.bytes().position(|byte| byte == b'/')?;
    let (server, rest) = path.split_at_checked(end)?;
    Some((server, rest.strip_prefix('/')?))
}

/// A socket that follows its connection from one event loop to the next.
pub(super) struct PlacedSocket {
    socket: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    placement: Arc<Placement>,
    /// The moves that it has followed.
    moves: usize,
}

impl PlacedSocket {
    /// A socket that the event loop of its connection knows.
    pub(super) fn new(
        socket: Either<TcpStream, Box<TlsStream<TcpStream>>>,
        placement: Arc<Placement>,
    ) -> Self {
        Self {
            socket,
            placement,
            moves: 0,
        }
    }

    fn here(&mut self) -> Pin<&mut Either<TcpStream, Box<TlsStream<TcpStream>>>> {
        let moves = self.placement.moves.load(Ordering::Relaxed);
        if moves != self.moves {
            self.moves = moves;
            let socket = match &mut self.socket {
                Either::Left(socket) => socket,
                Either::Right(stream) => stream.get_mut().0,
            };
            if let Err(error) = register_here(socket) {
                // The event loop that knows it wakes the connection wherever that is.
                tracing::debug!(%error, "a socket stays in another event loop: {error}");
            }
        }
        Pin::new(&mut self.socket)
    }
}

/// Takes a socket out of the event loop that it is in, and into that of the caller.
fn register_here(socket: &mut TcpStream) -> io::Result<()> {
    let same = socket.as_fd().try_clone_to_owned()?;
    *socket = TcpStream::from_std(same.into())?;
    Ok(())
}

impl AsyncRead for PlacedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.here().poll_read(cx, buf)
    }
}

impl AsyncWrite for PlacedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.here().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.here().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
