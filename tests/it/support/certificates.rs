//! Certificates of a test's own making: a root, one below it, and the gateway's own below that.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A chain in files, and the root that clients trust.
#[derive(Debug)]
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
    root: rcgen::Certificate,
}

impl Certificates {
    /// A chain for `localhost` and 127.0.0.1 that is current.
    pub(crate) fn new() -> Self {
        Self::until(2090)
    }

    /// The same, until the first day of a year.
    pub(crate) fn until(year: i32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = |name: &str| {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            // No two chains of a test have an issuer of the same name.
            let name = format!("{name} of {}", folder.path().display());
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(ca("root"), key()).unwrap();
        let middle = CertifiedIssuer::signed_by(ca("middle"), key(), &root).unwrap();
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut own = CertificateParams::new(names).unwrap();
        own.not_before = date_time_ymd(2020, 1, 1);
        own.not_after = date_time_ymd(year, 1, 1);
        let key = key();
        let own = own.signed_by(&key, &middle).unwrap();
        let made = Self {
            folder,
            root: AsRef::<rcgen::Certificate>::as_ref(&root).clone(),
        };
        let middle = AsRef::<rcgen::Certificate>::as_ref(&middle);
        made.write("cert.pem", &format!("{}{}", own.pem(), middle.pem()));
        made.write("key.pem", &key.serialize_pem());
        made
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// `cert.pem` or `key.pem`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The key `tls` of a config.
    pub(crate) fn config(&self) -> Value {
        json!({"cert_file": self.file("cert.pem"), "key_file": self.file("key.pem")})
    }

    /// The root, for HTTP clients.
    pub(crate) fn root(&self) -> reqwest::Certificate {
        reqwest::Certificate::from_der(self.root.der()).unwrap()
    }

    /// A handshake with a gateway, by the name it is called, in one version and with one offer of ALPN.
    pub(crate) async fn shake(
        &self,
        address: SocketAddr,
        name: &'static str,
        version: &'static SupportedProtocolVersion,
        protocol: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let socket = TcpStream::connect(address).await.expect("a connection");
        let name = ServerName::try_from(name).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
    }
}
