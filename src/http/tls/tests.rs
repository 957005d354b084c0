//! What TLS promises of its handshakes, over a pipe in memory, where time can be paused.

use std::io;
use std::net::SocketAddr;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{client, server};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::connection::Ends;
use crate::http::fixture::{self, Running};
use crate::http::gate::{Gate, Guard};
use crate::http::rules::Rulebook;
use crate::http::slots::Door;
use crate::instruments::Instruments;
use crate::shards::Threads;

const PEER: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

fn identity() -> (Identity, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let certificates = Certificates::from_pem(&certificate.pem()).unwrap();
    let key = PrivateKey::from_pem(&key.serialize_pem()).unwrap();
    let identity = Identity::new(certificates, key).unwrap();
    (identity, certificate.der().clone())
}

fn door(tls: &Tls) -> TlsDoor {
    let guard = Guard::new(
        Rulebook::new(&fixture::config()),
        "https",
        CancellationToken::new(),
        Instruments::noop(),
    );
    TlsDoor::new(tls.clone(), Arc::new(guard))
}

fn ends() -> Ends {
    Ends {
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
    }
}

async fn open(
    tls: &Tls,
    socket: DuplexStream,
    ends: &Ends,
) -> Option<server::TlsStream<DuplexStream>> {
    let limits = fixture::config().limits;
    let peer = SocketAddr::from(PEER);
    door(tls).open(socket, peer, &limits, ends).await
}

/// A client that trusts one certificate only.
async fn connect<Io>(
    socket: Io,
    trusted: &CertificateDer<'static>,
) -> io::Result<client::TlsStream<Io>>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(identity::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client))
        .connect(name, socket)
        .await
}

/// Both ends of a connection with such a client; `None` where the handshake fails.
async fn connected(
    tls: &Tls,
    trusted: &CertificateDer<'static>,
) -> Option<(
    server::TlsStream<DuplexStream>,
    client::TlsStream<DuplexStream>,
)> {
    let (ours, theirs) = duplex(4096);
    let ends = ends();
    let (ours, theirs) = tokio::join!(open(tls, ours, &ends), connect(theirs, trusted));
    ours.zip(theirs.ok())
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections_and_leaves_open_ones_alone() {
    let ((first, known), (second, renewed)) = (identity(), identity());
    let tls = Tls::new(first).unwrap();
    let (mut ours, mut theirs) = connected(&tls, &known).await.unwrap();
    assert!(connected(&tls, &renewed).await.is_none());

    tls.clone().reload(second);
    assert!(connected(&tls, &renewed).await.is_some());
    assert!(connected(&tls, &known).await.is_none());

    let mut text = [0; 5];
    theirs.write_all(b"hello").await.unwrap();
    ours.read_exact(&mut text).await.unwrap();
    ours.write_all(&text).await.unwrap();
    ours.flush().await.unwrap();
    theirs.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hello");
}

/// H007: the deadline, to the second.
#[tokio::test(start_paused = true)]
async fn a_stalled_handshake_is_closed_at_the_first_byte_deadline() {
    let tls = Tls::new(identity().0).unwrap();
    let begun = Instant::now();
    let (ours, mut theirs) = duplex(4096);
    theirs.write_all(b"\x16\x03\x01\x02").await.unwrap();
    assert!(open(&tls, ours, &ends()).await.is_none());
    assert_eq!(begun.elapsed(), fixture::config().limits.first_byte);
    assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0, "closed");
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_handshake_at_once() {
    let tls = Tls::new(identity().0).unwrap();
    let (ours, _theirs) = duplex(4096);
    let ends = ends();
    ends.drain.cancel();
    let begun = Instant::now();
    assert!(open(&tls, ours, &ends).await.is_none());
    assert_eq!(begun.elapsed(), std::time::Duration::ZERO);
}

/// A peer that is told something and does not close has a moment to read it, and no more.
#[tokio::test(start_paused = true)]
async fn an_alert_can_be_read_by_a_peer_that_is_still_sending() {
    let tls = Tls::new(identity().0).unwrap();
    let begun = Instant::now();
    let (ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(&vec![0x47; 32 * 1024]).await.unwrap();
    assert!(open(&tls, ours, &ends()).await.is_none());
    assert_eq!(begun.elapsed(), crate::http::phase::LINGER);
    let mut told = Vec::new();
    theirs.read_to_end(&mut told).await.unwrap();
    assert_eq!(told.first(), Some(&21), "an alert: {told:?}");
}

/// RD02: under TLS, too, a connection moves once its token is known.
#[tokio::test]
async fn a_connection_moves_to_the_home_of_what_it_asks_for_under_its_encryption() {
    let (identity, trusted) = identity();
    let fronts = Threads::start("front", 2).unwrap();
    let homes = Threads::start("home", 1).unwrap();
    let workers = Threads::start("worker", 1).unwrap();
    let tls = door(&Tls::new(identity).unwrap());
    let gate = Gate::new(Arc::clone(tls.guard()), fixture::thread_names());
    let edge = Door {
        tls: Some(tls),
        ..fixture::door_with_homes(&fronts, &homes, &workers)
    };
    let running = Running::behind(edge, gate).await;
    for (token, answer) in [("T1", "home-0"), ("T2", "home-0"), ("T3", "401")] {
        let socket = TcpStream::connect(running.address).await.unwrap();
        let mut client = connect(socket, &trusted).await.unwrap();
        let request = format!(
            "GET /s1/rpc HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.contains(answer), "{response}");
    }
    running.drain.cancel();
    running.ended().await;
}
