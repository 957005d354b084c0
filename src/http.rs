//! The edge: sockets, who may enter, and which endpoint a request is for.
//!
//! ```text
//! accept ── (tls) ── connection ── gate ── routes ── one file an endpoint
//! caps      hand-    hyper, its    address, Host,     negotiate, body,
//! back-off  shake    deadlines     Origin, token,     relay, error
//! drain              (phase)       share, headers
//! ```
//!
//! `gate` is the whole service that `accept` hands requests to, and the router is inside it: what is
//! not let in does not reach a route, and nothing of a body is read before that is decided.

mod accept;
mod address_counts;
mod admission;
mod allowlist;
mod ask;
mod body;
mod config;
mod connection;
mod cors;
mod direct;
mod error;
mod events;
#[cfg(test)]
mod fixture;
mod gate;
mod health;
mod held;
mod host;
mod listeners;
mod logs;
mod mcp;
mod negotiate;
mod operate;
mod phase;
mod pieces;
mod placement;
mod refusals;
mod routes;
mod rpc;
mod rules;
mod servers;
mod share;
mod slots;
mod sse;
mod strict;
mod tls;
mod token;
mod wrapper;

pub use admission::Check;
pub use config::{AdmissionConfig, Config, LimitsConfig, LocalAddress, TokenEntry, canonical};
pub use error::status;
pub use host::is_host_rule;
pub use listeners::{Listeners, bind};
pub use routes::{RouteInfo, routes};
pub use rules::{ConfigStatus, RefusedConfig, Rulebook};
pub use sse::event as sse_event;
pub use tls::{Certificates, Identity, PrivateKey, Tls, Validity};
pub use token::{Holder, Tokens, is_bearer_token};

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use body::BodyLimits;
use connection::{Answers, ConnectionContext, Ends, OpenConnection};
use gate::{Gate, Guard};
use placement::{HomeFinder, Homes};
use slots::Door;
use tls::TlsDoor;

use crate::instruments::Instruments;
use crate::relay::Relay;
use crate::shards::Shards;

/// Writes the metrics as Prometheus text.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// What the edge is built from, beside its listener.
pub struct Parts {
    /// With it every connection is TLS; without it none is.
    pub tls: Option<Tls>,
    /// Who may enter, and the limits.
    pub rulebook: Rulebook,
    /// Where messages go.
    pub relay: Arc<Relay>,
    /// Where connections begin, and where requests without a valid token are served.
    pub fronts: Shards,
    /// Where requests are served that would keep others waiting at a server's home.
    pub workers: Shards,
    /// What `/metrics` shows.
    pub metrics: MetricsText,
    /// What is measured.
    pub instruments: Instruments,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("tls", &self.tls)
            .field("rulebook", &self.rulebook)
            .finish_non_exhaustive()
    }
}

/// What endpoints work with.
struct Edge {
    relay: Arc<Relay>,
    metrics: MetricsText,
    guard: Arc<Guard>,
    started: Instant,
}

impl Edge {
    fn body_limits(&self) -> BodyLimits {
        let limits = self.guard.rules().limits;
        BodyLimits {
            max: limits.max_body_bytes,
            deadline: limits.body,
        }
    }
}

/// The whole service, gate first, and the door that its connections come in by.
fn open(parts: Parts, drain: &CancellationToken) -> (Arc<impl Answers>, Door) {
    let Parts {
        tls,
        rulebook,
        relay,
        fronts,
        workers,
        metrics,
        instruments,
    } = parts;
    let guard = Arc::new(Guard::new(
        rulebook.clone(),
        if tls.is_some() { "https" } else { "http" },
        drain.clone(),
        instruments.clone(),
    ));
    let homes = {
        let relay = Arc::clone(&relay);
        let find: HomeFinder = Arc::new(move |principal, server| relay.home(principal, server));
        Homes {
            fronts,
            workers,
            find,
        }
    };
    let edge = Arc::new(Edge {
        relay,
        metrics,
        guard: Arc::clone(&guard),
        started: Instant::now(),
    });
    let door = Door {
        limits: {
            let rulebook = rulebook.clone();
            Arc::new(move || rulebook.rules().limits)
        },
        standing: Arc::new(move |peer| rulebook.rules().admission.standing(peer)),
        instruments,
        homes,
        tls: tls.map(|tls| TlsDoor::new(tls, Arc::clone(&guard))),
    };
    let gate = Gate::new(guard, direct::Endpoints::new(edge));
    (Arc::new(gate), door)
}

/// Serves one connection to its end, without a listener: for whoever has one already, be it in memory.
///
/// It is the connection of `peer`. On `drain` it ends after the request under way, which is refused with
/// `shutting_down` if it still comes; to cut it short, drop the future.
pub async fn serve_connection<Io>(
    socket: Io,
    peer: SocketAddr,
    parts: Parts,
    drain: CancellationToken,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (service, door) = open(parts, &drain);
    let ends = Ends {
        drain,
        cut: CancellationToken::new(),
    };
    let limits = (door.limits)();
    let context = ConnectionContext::fixed(peer);
    let mut connection = OpenConnection::new(socket, context, service, &limits, ends);
    let _stays_here = connection.run().await;
}

/// Serves until `drain` or `kill`, and returns when the last connection is gone.
///
/// On `drain` nothing new is accepted, requests that still come are refused with `shutting_down`,
/// the relay is drained, which ends its event streams, and what is under way has `limits.drain` to
/// end. On `kill` everything is dropped at once. The error is that of a listener that cannot accept
/// any more; it is returned after a drain of the edge.
pub async fn serve(
    listener: Listeners,
    parts: Parts,
    drain: CancellationToken,
    kill: CancellationToken,
) -> io::Result<()> {
    let relay = Arc::clone(&parts.relay);
    // A listener that fails drains the edge alone, so the token is one of our own.
    let drain = drain.child_token();
    let (service, door) = open(parts, &drain);
    let end_streams = async {
        drain.cancelled().await;
        relay.drain();
    };
    let accepting = accept::run(listener, service, door, &drain, &kill);
    let mut accepting = std::pin::pin!(accepting);
    tokio::select! {
        outcome = &mut accepting => outcome,
        () = end_streams => accepting.await,
    }
}
