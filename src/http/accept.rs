//! The accept loop: back-off when the machine is out of descriptors, and the drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::LimitsConfig;
use super::connection::{self, Answers, Ends};
use super::homes::Homes;
use super::slots::{Door, Slot, Slots};
use super::tls::TlsDoor;

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
    listener: TcpListener,
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
    let (tls, homes) = (door.tls.clone(), door.homes.clone());
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
                if tls.as_ref().is_some_and(|door| !door.lets_in(peer.ip())) {
                    continue;
                }
                if let Some(slot) = slots.take(peer.ip()) {
                    // Failing means that the peer is gone already, and serving finds that out.
                    let _gone = socket.set_nodelay(true);
                    let (homes, limits) = (homes.clone(), slots.limits());
                    let arrived = Arrived {
                        peer,
                        slot,
                        limits,
                        ends: ends.clone(),
                    };
                    let (service, tls) = (Arc::clone(&service), tls.clone());
                    let gone = arrived.go_home(socket, homes, service, tls, tracker.clone());
                    tracker.spawn(async move {
                        gone.await.unwrap_or_else(|error| lost(peer, &error));
                    });
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

/// A connection that has a place, beside its socket.
struct Arrived {
    peer: SocketAddr,
    slot: Slot,
    limits: LimitsConfig,
    ends: Ends,
}

impl Arrived {
    /// Finds the shard of the connection and has it served there.
    async fn go_home<S: Answers>(
        self,
        socket: TcpStream,
        homes: Homes,
        service: Arc<S>,
        tls: Option<TlsDoor>,
        tracker: TaskTracker,
    ) -> io::Result<()> {
        let Self {
            peer, limits, ends, ..
        } = &self;
        let shard = match tls {
            None => homes.find(&socket, *peer, limits, ends).await,
            // What is encrypted shows nothing before its handshake, which any shard can make.
            Some(_) => Some(homes.any()),
        };
        if let Some(shard) = shard {
            // Out of the event loop of this thread, and into that of the shard.
            let socket = socket.into_std()?;
            let served = async move {
                let entered = TcpStream::from_std(socket);
                match entered {
                    Ok(socket) => self.serve(socket, service, tls).await,
                    Err(error) => lost(self.peer, &error),
                }
            };
            shard.spawn(served, &tracker);
        }
        Ok(())
    }

    async fn serve<S: Answers>(self, socket: TcpStream, service: Arc<S>, tls: Option<TlsDoor>) {
        let Self {
            peer,
            slot,
            limits,
            ends,
        } = self;
        let socket = match tls {
            None => Some(Either::Left(socket)),
            Some(door) => door
                .open(socket, peer, &limits, &ends)
                .await
                .map(|stream| Either::Right(Box::new(stream))),
        };
        if let Some(socket) = socket {
            connection::serve(socket, peer, service, limits, ends).await;
        }
        drop(slot);
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
