//! HTTP/2 is not spoken, so none of its floods is either; nor is anything else that one could upgrade to.

use tokio::time::Instant;

use crate::support::process;
use crate::support::socket::RawSocket;
use crate::support::wire::{SOON, exchange, only, reply, request};
use crate::support::{Gateway, Server};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA_END_HEADERS: u8 = 0x4;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;

/// One frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface, and so many times what `nth` makes.
fn flood(count: u32, nth: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend((0..count).flat_map(nth));
    bytes
}

fn gateway() -> Gateway {
    Gateway::builder().server(Server::gremlin("s1")).start()
}

/// H022: an offer is not taken up, and the request is answered as if it were not there.
#[tokio::test]
async fn an_offer_to_speak_something_else_is_ignored() {
    let gateway = gateway();
    let settings = "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let mut socket = RawSocket::connect(gateway.address()).await;
    for headers in [
        &[
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            settings,
        ][..],
        &[
            "Connection: Upgrade",
            "Upgrade: websocket",
            key,
            "Sec-WebSocket-Version: 13",
        ],
        &["Connection: Upgrade", "Upgrade: TLS/1.0"],
    ] {
        socket
            .send(request(&gateway, "GET /ready", headers, ""))
            .await;
        let answer = reply(&mut socket).await.expect("an answer");
        assert_eq!(answer.head.status, 200, "{headers:?}: {}", answer.body);
        assert_eq!(answer.head.header("upgrade"), None);
    }
    // And it is HTTP/1.1 that goes on.
    socket.send(request(&gateway, "GET /ready", &[], "")).await;
    assert_eq!(
        reply(&mut socket).await.expect("an answer").head.status,
        200
    );
}

/// H022: the preface is the last that is read.
#[tokio::test]
async fn the_preface_of_http_2_ends_the_connection() {
    let gateway = gateway();
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(PREFACE).await;
    assert_eq!(socket.rest(SOON).await, b"", "without a word");
    // Not as a request in the middle either.
    let first = request(&gateway, "GET /ready", &[], "");
    let bytes = [first.as_bytes(), PREFACE].concat();
    let replies = exchange(&gateway, bytes).await;
    assert_eq!(replies[0].head.status, 200);
    assert!(
        replies[1..].iter().all(|reply| reply.bare() == 400),
        "{replies:?}"
    );
    let pri = request(&gateway, "PRI /ready", &[], "");
    assert_eq!(
        exchange(&gateway, pri + "x\r\n\r\n").await[0].refusal().0,
        405
    );
}

/// H023: what floods a server of HTTP/2 is never looked at; the connection ends with the preface, nothing
/// grows, and others are served.
#[tokio::test]
async fn floods_of_http_2_end_with_the_preface() {
    let gateway = gateway();
    assert_eq!(gateway.client().get("/ready").await.status, 200);
    let before = process::footprint(gateway.pid());
    // `:method: GET`, `:scheme: http`, `:path: /`, by their places in the static table of HPACK.
    let get = [0x82, 0x86, 0x84];
    // A literal that is indexed, and a thousand references to it.
    let mut bomb = vec![0x40, 1, b'x', 0x7f, 0x80, 0x1f];
    bomb.extend([b'y'; 4096 - 1]);
    bomb.extend([0xbe; 1000]);
    let floods = [
        (
            "rapid reset",
            flood(10_000, |nth| {
                let open = frame(HEADERS, DATA_END_HEADERS | 1, 2 * nth + 1, &get);
                [open, frame(RST_STREAM, 0, 2 * nth + 1, &[0, 0, 0, 8])].concat()
            }),
        ),
        (
            "continuations",
            flood(10_000, |nth| {
                let kind = if nth == 0 { HEADERS } else { CONTINUATION };
                frame(kind, 0, 1, &[0x40, 1, b'x', 1, b'y'])
            }),
        ),
        (
            "streams",
            flood(1000, |nth| {
                frame(HEADERS, DATA_END_HEADERS | 1, 2 * nth + 1, &get)
            }),
        ),
        (
            "hpack bomb",
            flood(10, |nth| {
                frame(HEADERS, DATA_END_HEADERS | 1, 2 * nth + 1, &bomb)
            }),
        ),
        (
            "settings",
            flood(10_000, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ),
    ];
    for (name, bytes) in floods {
        let start = Instant::now();
        let mut socket = RawSocket::connect(gateway.address()).await;
        socket.send(&bytes).await;
        assert_eq!(socket.rest(SOON).await, b"", "{name}");
        assert!(start.elapsed() < SOON, "{name}: {:?}", start.elapsed());
        assert_eq!(gateway.client().get("/ready").await.status, 200, "{name}");
    }
    let replies = exchange(
        &gateway,
        request(&gateway, "GET /ready", &["Connection: close"], ""),
    )
    .await;
    assert_eq!(only(&replies).head.status, 200);
    if let (Some(before), Some(after)) = (before, process::footprint(gateway.pid())) {
        let grown = after.resident_kib.saturating_sub(before.resident_kib);
        assert!(grown < 32 * 1024, "{grown} KiB more");
    }
}
