//! Handshakes that come to nothing (row H007): the peer is closed, told where TLS has a word for it, and
//! nobody else notices.

mod alone;

use super::*;

const FIRST_BYTE: Duration = Duration::from_millis(1200);

/// `SSL 3.0` and `TLS 1.0` to `1.2` as a record or a message names them.
const SSL3: [u8; 2] = [3, 0];
const TLS1_0: [u8; 2] = [3, 1];
const TLS1_1: [u8; 2] = [3, 2];
const TLS1_2: [u8; 2] = [3, 3];

fn short_deadline(certificates: &Certificates) -> Gateway {
    let first_byte_ms = u64::try_from(FIRST_BYTE.as_millis()).unwrap();
    Gateway::builder()
        .set("tls", certificates.config())
        .limit("first_byte_ms", first_byte_ms)
        .limit("max_connections_per_ip", 16)
        .start()
}

/// What follows after its length in so many bytes.
fn sized(length_bytes: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    [&length[length.len() - length_bytes..], content].concat()
}

/// A `ClientHello` (RFC 5246, 7.4.1.2) in a record, with everything that the gateway's key needs, and with the
/// content of the SNI extension as it is given.
fn client_hello(version: [u8; 2], sni: Option<&[u8]>) -> Vec<u8> {
    hello_of(version, &[4, 3, 8, 4], sni)
}

/// The same with these signature algorithms; with none, as before there was a way to name them.
fn hello_of(version: [u8; 2], algorithms: &[u8], sni: Option<&[u8]>) -> Vec<u8> {
    let extension =
        |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &sized(2, content)].concat();
    let mut extensions = vec![
        extension(10, &sized(2, &[0, 23, 0, 29])),
        extension(11, &sized(1, &[0])),
    ];
    if !algorithms.is_empty() {
        extensions.push(extension(13, &sized(2, algorithms)));
    }
    extensions.extend(sni.map(|content| extension(0, content)));
    let body = [
        &version[..],
        &[7; 32],
        &sized(1, &[]),
        // ECDHE_ECDSA with AES-128: GCM, and CBC as older versions know it.
        &sized(2, &[0xc0, 0x2b, 0xc0, 0x09]),
        &sized(1, &[0]),
        &sized(2, &extensions.concat()),
    ]
    .concat();
    let message = [&[1_u8][..], &sized(3, &body)].concat();
    [&[22, 3, 1][..], &sized(2, &message)].concat()
}

/// What the gateway says to some bytes, until it closes.
async fn said(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(bytes).await;
    socket.rest(SOON).await
}

/// The description of the one fatal alert in a record (RFC 5246, 7.2); `None` where that is not all.
fn alert(record: &[u8]) -> Option<u8> {
    match record {
        [21, 3, _, 0, 2, 2, description] => Some(*description),
        _ => None,
    }
}

async fn is_well(gateway: &Gateway, certificates: &Certificates) {
    let answer = client(gateway, certificates).get("/health").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let logs = gateway.logs().text();
    assert!(!logs.contains("panicked"), "{logs}");
}

async fn counted(gateway: &Gateway, certificates: &Certificates, reason: &str, least: u64) {
    let metrics = client(gateway, certificates).get("/metrics").await.text();
    let name = format!("host_mcp_gateway_handshakes_failed_total{{reason=\"{reason}\"}} ");
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name)?.parse().ok());
    assert!(count >= Some(least), "{count:?} of {reason} in {metrics}");
}

/// H007: plain HTTP on the port of TLS is closed without an answer in plain HTTP, and the log says what came.
#[tokio::test]
async fn a_plain_request_is_closed_unanswered() {
    let certificates = Certificates::new();
    let gateway = short_deadline(&certificates);
    let request =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let answer = said(&gateway, request.as_bytes()).await;
    assert!(answer.is_empty() || alert(&answer).is_some(), "{answer:?}");
    logged(&gateway, "TLS handshake with 127.0.0.1 failed").await;
    logged(&gateway, "http:// instead of https://").await;
    assert!(!gateway.logs().text().contains(TOKEN));
    counted(&gateway, &certificates, "not_tls", 1).await;
    is_well(&gateway, &certificates).await;
}

/// H007: TLS 1.0 and its like are told so by an alert: `protocol_version` (70), or `handshake_failure` (40)
/// where the hello lacks what TLS 1.2 brought.
#[tokio::test]
async fn an_old_version_is_told_so_by_an_alert() {
    let certificates = Certificates::new();
    let gateway = short_deadline(&certificates);
    for version in [SSL3, TLS1_0, TLS1_1] {
        let answer = said(&gateway, &client_hello(version, None)).await;
        assert_eq!(alert(&answer), Some(70), "{version:?}: {answer:?}");
        let answer = said(&gateway, &hello_of(version, &[], None)).await;
        assert_eq!(alert(&answer), Some(40), "{version:?}: {answer:?}");
    }
    counted(&gateway, &certificates, "incompatible", 6).await;
    is_well(&gateway, &certificates).await;
}

/// H007: whatever stands in SNI, a connection is served or closed.
#[tokio::test]
async fn junk_in_sni_is_served_or_closed() {
    let certificates = Certificates::new();
    let gateway = short_deadline(&certificates);
    let named = |kind: u8, name: &[u8]| sized(2, &[&[kind][..], &sized(2, name)].concat());
    let long = [b"a.".repeat(2000), b"example".to_vec()].concat();
    let two = [
        &[0_u8][..],
        &sized(2, b"a.example"),
        &[0],
        &sized(2, b"b.example"),
    ]
    .concat();
    let junk: Vec<(&str, Vec<u8>)> = vec![
        ("unknown", named(0, b"other.example")),
        ("nothing", vec![]),
        ("an empty list", sized(2, &[])),
        ("an empty name", named(0, b"")),
        ("an address", named(0, b"127.0.0.1")),
        ("an IPv6 address", named(0, b"::1")),
        ("a NUL", named(0, b"local\0host")),
        ("a line break", named(0, b"a\r\nHost: b")),
        ("no UTF-8", named(0, b"\xff\xfe\x80")),
        ("a path", named(0, b"../../etc/passwd")),
        ("another kind", named(255, b"localhost")),
        ("very long", named(0, &long)),
        ("twice", sized(2, &two)),
        ("a length that lies", vec![0xff, 0xff, 0, 0xff, 0xff, b'a']),
        ("a short length", vec![0, 1, 0]),
    ];
    for (what, sni) in junk {
        let mut socket = RawSocket::connect(gateway.address()).await;
        socket.send(client_hello(TLS1_2, Some(&sni))).await;
        // Served is a ServerHello here; the deadline closes it, since nobody goes on.
        socket.finish().await;
        let answer = socket.rest(SOON).await;
        let served = answer.first() == Some(&22);
        assert!(served || alert(&answer).is_some(), "{what}: {answer:?}");
        assert!(served || what != "unknown", "{what}: {answer:?}");
    }
    is_well(&gateway, &certificates).await;

    let elsewhere = certificates
        .shake(gateway.address(), "localhost", &TLS13, "http/1.1")
        .await;
    assert!(elsewhere.is_ok());
}

/// H007: bytes that are nothing at all, and records that promise more than they hold.
#[tokio::test]
async fn what_is_no_handshake_is_closed() {
    let certificates = Certificates::new();
    let gateway = short_deadline(&certificates);
    let hello = client_hello(TLS1_2, None);
    let longest = [&[22, 3, 1, 0xff, 0xff][..], &vec![0; 0xffff]].concat();
    let message = [&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff][..], &[0; 64]].concat();
    let mut twice = hello.clone();
    twice.extend(&hello);
    for bytes in [
        vec![0; 4096],
        vec![0xff; 4096],
        b"\x80\x2e\x01\x00\x02".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        vec![23, 3, 3, 0, 1, 0],
        vec![21, 3, 3, 0, 2, 2, 40],
        longest,
        message,
        twice,
    ] {
        let shown = bytes[..bytes.len().min(16)].to_vec();
        let answer = said(&gateway, &bytes).await;
        assert!(!answer.starts_with(b"HTTP"), "{shown:?}: {answer:?}");
    }
    for end in (1..hello.len()).step_by(7) {
        let mut socket = RawSocket::connect(gateway.address()).await;
        socket.send(&hello[..end]).await;
        socket.finish().await;
        assert_eq!(socket.rest(SOON).await, b"", "ended after {end} bytes");
    }
    counted(&gateway, &certificates, "disconnected", 1).await;
    is_well(&gateway, &certificates).await;
}

/// H007, RD05: a connection has its place while it shakes hands, so that stalled handshakes cannot be piled up, and gives
/// it to a newer one.
#[tokio::test]
async fn a_handshake_takes_a_place_among_the_connections() {
    let certificates = Certificates::new();
    let gateway = Gateway::builder()
        .set("tls", certificates.config())
        .limit("max_connections_per_ip", 2)
        .start();
    let mut first = RawSocket::connect(gateway.address()).await;
    let second = RawSocket::connect(gateway.address()).await;
    let third = RawSocket::connect(gateway.address()).await;
    assert_eq!(first.rest(SOON).await, b"", "over the cap");
    logged(
        &gateway,
        "too many connections, closing those that have not authenticated because of 127.0.0.1",
    )
    .await;
    wait_for_a_place(&gateway, &certificates).await;
    drop((second, third));
}

async fn wait_for_a_place(gateway: &Gateway, certificates: &Certificates) {
    crate::support::wait::wait_for("a place", SOON, async || {
        let client = client(gateway, certificates);
        client.request(Method::GET, "/health").send().await.ok()
    })
    .await;
}
