//! The listener and the accept loop: back-off when the machine is out of descriptors, and the drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::LimitsConfig;
use super::connection::{Answers, ConnectionContext, Ends, OpenConnection};
use super::listeners::Listeners;
use super::placement::{Homes, PlacedSocket, Placement};
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
    let context = Arc::new(AcceptContext {
        homes: door.homes.clone(),
        tls: door.tls.clone(),
        service,
        tracker: tracker.clone(),
    });
    let slots = Slots::new(door);
    let mut backoff = Backoff::default();
    let outcome = loop {
        let accepted = tokio::select! {
            biased;
            () = ends.cut.cancelled() => break Ok(()),
            () = ends.drain.cancelled() => break Ok(()),
            accepted = async {
                slots.settled().await;
                listener.accept().await
            } => accepted,
        };
        let pause = match accepted {
            Ok((socket, peer)) => {
                backoff.recovered();
                if context
                    .tls
                    .as_ref()
                    .is_some_and(|tls| !tls.lets_in(peer.ip()))
                {
                    continue;
                }
                if let Some(slot) = slots.take(peer.ip()) {
                    // Failing means that the peer is gone already, and serving finds that out.
                    let _gone = socket.set_nodelay(true);
                    let accepted = AcceptedConnection {
                        peer,
                        slot,
                        limits: slots.limits(),
                        ends: ends.clone(),
                    };
                    let served = accepted.serve(socket, &context);
                    served.unwrap_or_else(|error| lost(peer, &error));
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

/// What the connections of a listener have in common.
struct AcceptContext<S> {
    homes: Homes,
    tls: Option<TlsDoor>,
    service: Arc<S>,
    tracker: TaskTracker,
}

impl<S: Answers> AcceptContext<S> {
    /// Serves a connection at this shard, and from there at every other one that it moves to. The drain waits for it.
    fn serve_at(self: &Arc<Self>, shard: &Shard, mut connection: OpenConnection<PlacedSocket, S>) {
        let context = Arc::clone(self);
        let served = async move {
            if let Some(next) = connection.run().await {
                context.serve_at(&next, connection);
            }
        };
        shard.spawn(served, &self.tracker);
    }
}

/// A connection that has a place, beside its socket.
struct AcceptedConnection {
    peer: SocketAddr,
    slot: Slot,
    limits: LimitsConfig,
    ends: Ends,
}

impl AcceptedConnection {
    /// Has it served at a shard of the front. The error is that of a system without room for the socket.
    fn serve<S: Answers>(
        self,
        socket: TcpStream,
        context: &Arc<AcceptContext<S>>,
    ) -> io::Result<()> {
        let front = context.homes.fronts.next();
        let socket = socket.into_std()?;
        let socket = front.within(|| TcpStream::from_std(socket))?;
        let Some(tls) = context.tls.clone() else {
            self.open(Either::Left(socket), &front, context);
            return Ok(());
        };
        let (shard, context) = (front.clone(), Arc::clone(context));
        let tracker = context.tracker.clone();
        // A task of its own, so that a connection does not keep the room that its handshake took.
        let handshake = async move {
            let evicted = self.slot.evicted().clone();
            let stream = tls.open(socket, self.peer, &self.limits, &self.ends);
            let stream = evicted.run_until_cancelled(stream).await;
            if let Some(stream) = stream.flatten() {
                self.open(Either::Right(Box::new(stream)), &front, &context);
            }
        };
        shard.spawn(handshake, &tracker);
        Ok(())
    }

    fn open<S: Answers>(
        self,
        socket: Either<TcpStream, Box<TlsStream<TcpStream>>>,
        front: &Shard,
        context: &Arc<AcceptContext<S>>,
    ) {
        let Self {
            peer,
            slot,
            limits,
            ends,
        } = self;
        let placement = Placement::new(&context.homes, front.clone());
        let socket = PlacedSocket::new(socket, Arc::clone(&placement));
        let connection = ConnectionContext {
            peer,
            placement: Some(placement),
            slot: Some(slot),
        };
        let service = Arc::clone(&context.service);
        let open = OpenConnection::new(socket, connection, service, &limits, ends);
        context.serve_at(front, open);
    }
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
        // macOS accepts an IPv6 connection that the peer has reset already, with an address of length zero, which mio
        // refuses. No system call fails so, hence there is no error number.
        None if error.kind() == io::ErrorKind::InvalidInput => AcceptError::Connection,
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
