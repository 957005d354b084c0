//! TLS: the handshake of each connection, and the certificate that can be renewed while it serves.
//!
//! TLS 1.2 and 1.3 by rustls on aws-lc-rs. `http/1.1` is the one protocol of ALPN (RFC 7301): a client
//! that offers others only is told `no_application_protocol`. A name in SNI chooses nothing: there is one
//! certificate, and a client that wanted another finds out by itself.

mod door;
mod identity;
#[cfg(test)]
mod tests;

pub(super) use door::{HandshakeFault, TlsDoor};
pub use identity::{Certificates, Identity, PrivateKey, Validity};

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, ServerConfig};

/// The gateway's side of TLS. A clone is a handle on the same one: what [`reload`](Self::reload) does,
/// all handles do.
#[derive(Clone)]
pub struct Tls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.identity()).finish()
    }
}

impl Tls {
    /// Shows this identity. The error is that of a cryptography without the two versions of TLS, which
    /// the one of this program is not.
    pub fn new(identity: Identity) -> Result<Self, Error> {
        let current = Arc::new(Current(RwLock::new(identity)));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&current);
        let mut config = ServerConfig::builder_with_provider(Arc::new(identity::provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            current,
            config: Arc::new(config),
        })
    }

    /// The identity that new connections are shown.
    pub fn identity(&self) -> Identity {
        self.current.get()
    }

    /// Shows another identity to every connection whose handshake begins from now on. Those that are
    /// open go on as they are, and so does what has begun to shake hands. A client that resumes a session
    /// of before is not shown a certificate at all (RFC 8446, 2.2).
    pub fn reload(&self, renewed: Identity) {
        *self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = renewed;
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// The identity of the moment; the lock is held for a look only.
#[derive(Debug)]
struct Current(RwLock<Identity>);

impl Current {
    fn get(&self) -> Identity {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().certified_key())
    }
}
