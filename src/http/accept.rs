//! The listener and the accept loop: back-off when the machine is out of descriptors, and the drain.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::LimitsConfig;
use super::connection::{self, Answers, Ends};
use super::homes::Homes;
use super::listeners::Listeners;
use super::slots::{Door, Slot, Slots};
use super::tls::TlsDoor;
use crate::shards::Shard;

#[cfg(test)]
mod tests;

/// Delays after failed accepts: 5 ms, doubled each time, at most 1 s.
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Accepts and serves until `drain` or `kill`, and returns when the last connection is gone.
///
/// On `drain` the listener is closed and idle connections end; what is under way has `limits.drain`
/// to end before it is dropped. On `kill` everything is dropped at once. Dropping the future drops
/// all connections too. The error is that of a listener that cannot accept any more; `drain` is
/// cancelled then, and the error is returned after the drain.
pub(super) async fn run<S>(
    listener: Listeners,
    service: Arc<S>,
    door: Door,
    drain: &CancellationToken,
    kill: &CancellationToken,
) -> io::Result<()>
where
    S: Answers,
{
    let tracker = TaskTracker::new();
    let ends = Ends {
        drain: drain.clone(),
        cut: kill.child_token(),
    };
    let _cut_when_dropped = ends.cut.clone().drop_guard();
    let way = Arc::new(Way {
        homes: door.homes.clone(),
        tls: door.tls.clone(),
        service,
        tracker: tracker.clone(),
    });
    let here = Shard::here();
    let slots = Slots::new(door);
    let mut backoff = Backoff::default();
    let outcome = loop {
        let accepted = tokio::select! {
            biased;
            () = ends.cut.cancelled() => break Ok(()),
            () = ends.drain.cancelled() => break Ok(()),
            accepted = listener.accept() => accepted,
        };
        let pause = match accepted {
            Ok((socket, peer)) => {
                backoff.recovered();
                if way.tls.as_ref().is_some_and(|tls| !tls.lets_in(peer.ip())) {
                    continue;
                }
                if let Some(slot) = slots.take(peer.ip()) {
                    // Failing means that the peer is gone already, and serving finds that out.
                    let _gone = socket.set_nodelay(true);
                    let arrived = Arrived {
                        peer,
                        slot,
                        limits: slots.limits(),
                        ends: ends.clone(),
                    };
                    way.spawn(&here, peer, arrived.come_in(socket, Arc::clone(&way)));
                }
                continue;
            }
            Err(error) => match kind_of(&error) {
                AcceptError::Connection => continue,
                AcceptError::Machine => backoff.failed(&error),
                AcceptError::Listener => {
                    tracing::error!(%error, "cannot accept connections any more: {error}");
                    break Err(error);
                }
            },
        };
        tokio::select! {
            () = ends.drain.cancelled() => {}
            () = ends.cut.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    };
    drop(listener);
    ends.drain.cancel();
    tracker.close();
    tokio::select! {
        () = tracker.wait() => {}
        () = ends.cut.cancelled() => {}
        () = tokio::time::sleep(slots.limits().drain) => {
            tracing::warn!(connections = tracker.len(), "drain deadline passed, dropping what is still under way");
        }
    }
    ends.cut.cancel();
    tracker.wait().await;
    outcome
}

/// What the connections of a listener have on their way in.
struct Way<S> {
    homes: Homes,
    tls: Option<TlsDoor>,
    service: Arc<S>,
    tracker: TaskTracker,
}

impl<S> Way<S> {
    /// Starts a task of the connection from `peer`, which the drain waits for.
    fn spawn<F>(&self, shard: &Shard, peer: SocketAddr, task: F)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let task = async move {
            task.await.unwrap_or_else(|error| lost(peer, &error));
        };
        shard.spawn(task, &self.tracker);
    }
}

/// A connection that has a place, beside its socket.
struct Arrived {
    peer: SocketAddr,
    slot: Slot,
    limits: LimitsConfig,
    ends: Ends,
}

impl Arrived {
    /// Finds the shard of the connection and has it served there. The error, here and below, is that of a system
    /// without room for the socket.
    async fn come_in<S: Answers>(self, socket: TcpStream, way: Arc<Way<S>>) -> io::Result<()> {
        let peer = self.peer;
        if let Some(tls) = way.tls.clone() {
            // What is encrypted shows nothing before its handshake, which any shard can make.
            let shard = way.homes.any();
            let (socket, entered) = (socket.into_std()?, Arc::clone(&way));
            way.spawn(&shard, peer, async move {
                let socket = TcpStream::from_std(socket)?;
                self.shake_hands(socket, &tls, &entered).await;
                Ok(())
            });
            return Ok(());
        }
        let look = way.homes.look(&socket);
        let home = way.homes.find(look, peer, &self.limits, &self.ends).await;
        if let Some(shard) = home {
            let socket = socket.into_std()?;
            self.go_home(&shard, &way, || {
                Ok(Either::Left(TcpStream::from_std(socket)?))
            });
        }
        Ok(())
    }

    /// Makes the handshake of TLS where it is, and then does as without TLS.
    async fn shake_hands<S: Answers>(self, socket: TcpStream, tls: &TlsDoor, way: &Arc<Way<S>>) {
        let (limits, ends) = (&self.limits, &self.ends);
        let Some(stream) = tls.open(socket, self.peer, limits, ends).await else {
            return;
        };
        let mut stream = Box::new(stream);
        let look = way.homes.look_within(&mut stream);
        let home = way.homes.find(look, self.peer, limits, ends).await;
        if let Some(shard) = home {
            self.go_home(&shard, way, || {
                move_in(stream.get_mut().0)?;
                Ok(Either::Right(stream))
            });
        }
    }

    /// Has it served there, where `enter` puts its socket into the event loop. A task of its own, so that a connection
    /// does not keep the room that its way in took.
    fn go_home<S: Answers>(
        self,
        shard: &Shard,
        way: &Arc<Way<S>>,
        enter: impl FnOnce() -> io::Result<Socket> + Send + 'static,
    ) {
        let service = Arc::clone(&way.service);
        way.spawn(shard, self.peer, async move {
            let Self {
                peer,
                slot,
                limits,
                ends,
            } = self;
            connection::serve(enter()?, peer, service, limits, ends).await;
            drop(slot);
            Ok(())
        });
    }
}

/// With TLS or without.
type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Takes a socket out of the event loop that it is in, and into that of the caller.
fn move_in(socket: &mut TcpStream) -> io::Result<()> {
    let same = socket.as_fd().try_clone_to_owned()?;
    *socket = TcpStream::from_std(same.into())?;
    Ok(())
}

/// The system has no room for the socket where it was to go.
fn lost(peer: SocketAddr, error: &io::Error) {
    tracing::warn!(%peer, %error, "cannot serve a connection, closing it: {error}");
}

/// What a failed accept is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcceptError {
    /// The connection that would have been accepted; the next may be fine (accept(2), "Error handling").
    Connection,
    /// The process or machine: out of descriptors or memory. Passes, but not by trying at once.
    Machine,
    /// The listener itself.
    Listener,
}

fn kind_of(error: &io::Error) -> AcceptError {
    match Errno::from_io_error(error) {
        Some(
            Errno::CONNABORTED
            | Errno::CONNRESET
            | Errno::INTR
            | Errno::AGAIN
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::TIMEDOUT,
        ) => AcceptError::Connection,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
            AcceptError::Listener
        }
        Some(_) | None => AcceptError::Machine,
    }
}

/// How long to wait before the next accept; one episode of failures is logged once.
#[derive(Debug, Default)]
struct Backoff {
    delay: Option<Duration>,
}

impl Backoff {
    fn failed(&mut self, error: &io::Error) -> Duration {
        let delay = if let Some(last) = self.delay {
            (last * 2).min(BACKOFF_MAX)
        } else {
            tracing::warn!(%error, "cannot accept connections for now: {error}");
            BACKOFF_FIRST
        };
        self.delay = Some(delay);
        delay
    }

    fn recovered(&mut self) {
        if self.delay.take().is_some() {
            tracing::info!("accepting connections again");
        }
    }
}
