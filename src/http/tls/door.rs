//! The way of a connection through TLS: who is given a handshake, until when, and what a failed one leaves.
//!
//! The address comes first: a peer that the allowlist refuses is closed without a byte, where without TLS
//! it is told 403. A handshake is made in the connection's own task and place, so that one that stalls
//! keeps nobody waiting, and it ends within `limits.first_byte`, in total and not per read.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::rustls::{AlertDescription, Error};
use tokio_rustls::server::TlsStream;

use super::Tls;
use crate::http::admission::{Check, Refused};
use crate::http::allowlist::Standing;
use crate::http::config::{LimitsConfig, canonical};
use crate::http::connection::Ends;
use crate::http::gate::Guard;
use crate::http::phase::{Clock, LINGER, Watched};

/// What stands before the connections of an edge with TLS.
#[derive(Clone)]
pub(in crate::http) struct TlsDoor {
    tls: Tls,
    guard: Arc<Guard>,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(in crate::http) enum HandshakeFault {
    /// It was not done at its deadline.
    Overdue,
    /// The peer has gone, or what it sent is not what TLS wants.
    Failed(io::Error),
}

impl TlsDoor {
    /// `guard` knows who may come in.
    pub(in crate::http) fn new(tls: Tls, guard: Arc<Guard>) -> Self {
        Self { tls, guard }
    }

    #[cfg(test)]
    pub(in crate::http) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Whether a peer is given a handshake. One that is not is counted and logged like a refused request.
    pub(in crate::http) fn lets_in(&self, peer: IpAddr) -> bool {
        let client = canonical(peer);
        if self.guard.rules().admission.standing(client) != Standing::Stranger {
            return true;
        }
        self.guard.turn_away(Refused {
            check: Check::Address,
            client,
        });
        false
    }

    /// The handshake. `None` where there is no connection to be served; the peer has been told why by
    /// then, as far as it speaks TLS. A drain ends a handshake at once: there is no request in it.
    pub(in crate::http) async fn open<Io>(
        &self,
        socket: Io,
        peer: SocketAddr,
        limits: &LimitsConfig,
        ends: &Ends,
    ) -> Option<TlsStream<Io>>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = tokio::select! {
            biased;
            () = ends.cut.cancelled() => return None,
            () = ends.drain.cancelled() => return None,
            shaken = self.shake(socket, limits) => shaken,
        };
        shaken
            .map_err(|fault| self.guard.handshake_failed(canonical(peer.ip()), &fault))
            .ok()
    }

    async fn shake<Io>(
        &self,
        socket: Io,
        limits: &LimitsConfig,
    ) -> Result<TlsStream<Io>, HandshakeFault>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = self.tls.acceptor().accept(socket).into_fallible();
        match timeout(limits.first_byte, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Err(_elapsed) => Err(HandshakeFault::Overdue),
            Ok(Err((error, socket))) => {
                // Read on for a moment, or a reset takes the alert out of the peer's hands.
                let mut socket = Watched::new(socket, Clock::new(limits));
                let _gone_or_slow = timeout(LINGER, socket.shutdown()).await;
                Err(HandshakeFault::Failed(error))
            }
        }
    }
}

impl HandshakeFault {
    /// The fault in one word, for metrics.
    pub(in crate::http) fn as_str(&self) -> &'static str {
        match self {
            Self::Overdue => "overdue",
            Self::Failed(error) => match tls_error(error) {
                None => "disconnected",
                Some(Error::InvalidMessage(_)) => "not_tls",
                Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => "incompatible",
                Some(Error::AlertReceived(_)) => "refused_by_peer",
                Some(_) => "failed",
            },
        }
    }

    /// Whether the peer has gone, which is all that is known.
    pub(in crate::http) fn is_disconnect(&self) -> bool {
        matches!(self, Self::Failed(error) if tls_error(error).is_none())
    }

    /// What happened, and what it is often due to; for the log.
    pub(in crate::http) fn text(&self) -> String {
        let error = match self {
            Self::Overdue => return "it was not done in time".to_owned(),
            Self::Failed(error) => error,
        };
        match tls_error(error) {
            Some(Error::InvalidMessage(_)) => {
                format!(
                    "{error}; what came is not TLS, such as a request for http:// instead of https://"
                )
            }
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
                format!("{error}; expected TLS 1.2 or 1.3, and http/1.1 where ALPN is used")
            }
            Some(Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired,
            )) => format!("{error}; the client does not trust the certificate of tls.cert_file"),
            Some(_) | None => error.to_string(),
        }
    }
}

/// What rustls says; `None` for an error of the socket.
fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}
