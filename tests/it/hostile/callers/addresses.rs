//! From where one may talk, and what one may say about it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::json;

use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wire::{
    Reply, bare_request, nothing_reached_the_server, only, reply, until_closed,
};
use crate::support::{Gateway, Server};

/// `GET /ready` with everything right, and these header lines.
fn ready(headers: &[&str]) -> String {
    let token = format!("Authorization: Bearer {TOKEN}");
    let headers = [&["Host: localhost", &token, "Connection: close"], headers].concat();
    bare_request("GET /ready", &headers, "")
}

async fn ask_over(mut socket: RawSocket, bytes: impl AsRef<[u8]>) -> Reply {
    socket.send(bytes).await;
    reply(&mut socket).await.expect("an answer")
}

fn is_denied(reply: &Reply) -> bool {
    reply.refusal() == (403, "auth_denied".to_owned())
}

/// H028 and H029: to a socket for both families an IPv4 peer is `::ffff:127.0.0.x`, and to the list it is
/// 127.0.0.x.
#[tokio::test]
async fn on_a_socket_for_both_families_an_ipv4_peer_is_ipv4() {
    let gateway = Gateway::builder()
        .set("bind_host", "::")
        .set("allow_plaintext", true)
        .set("allowed_clients", json!(["127.0.0.2/32", "::1"]))
        .server(Server::gremlin("s1"))
        .start();
    let port = gateway.address().port();
    assert!(gateway.address().is_ipv6(), "{}", gateway.address());
    let ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    for (socket, allowed) in [
        (RawSocket::connect_from([127, 0, 0, 2], ipv4).await, true),
        (RawSocket::connect_from([127, 0, 0, 3], ipv4).await, false),
        (RawSocket::connect(ipv6).await, true),
    ] {
        let reply = ask_over(socket, ready(&[])).await;
        if allowed {
            assert_eq!(reply.head.status, 200, "{}", reply.body);
        } else {
            assert!(is_denied(&reply), "{reply:?}");
        }
    }
}

/// H032: only a configured proxy is believed, in the one header that it has, and as far as its own word
/// goes.
#[tokio::test]
async fn a_forwarding_header_is_the_word_of_a_proxy_or_nothing() {
    const PROXY: [u8; 4] = [127, 0, 0, 9];
    const OTHER: [u8; 4] = [127, 0, 0, 8];
    let gateway = Gateway::builder()
        .set("allowed_clients", json!(["192.0.2.0/24"]))
        .set("trusted_proxies", json!(["127.0.0.9"]))
        .server(Server::gremlin("s1"))
        .start();
    for (peer, headers, allowed) in [
        (PROXY, &["X-Forwarded-For: 192.0.2.7"][..], true),
        (PROXY, &["X-Forwarded-For: 203.0.113.9, 192.0.2.7"], true),
        (PROXY, &["X-Forwarded-For: 192.0.2.7, 127.0.0.9"], true),
        (PROXY, &["X-Forwarded-For: 192.0.2.7, 203.0.113.9"], false),
        (
            PROXY,
            &["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 203.0.113.9"],
            false,
        ),
        (PROXY, &["X-Forwarded-For: 192.0.2.7, canary"], false),
        (PROXY, &["X-Forwarded-For:"], false),
        (PROXY, &["Forwarded: for=192.0.2.7"], false),
        (PROXY, &["X-Real-IP: 192.0.2.7"], false),
        (PROXY, &[], false),
        (OTHER, &["X-Forwarded-For: 192.0.2.7"], false),
        (OTHER, &["X-Forwarded-For: 192.0.2.7, 127.0.0.9"], false),
        (
            OTHER,
            &["Forwarded: for=192.0.2.7", "X-Real-IP: 192.0.2.7"],
            false,
        ),
    ] {
        let socket = RawSocket::connect_from(peer, gateway.address()).await;
        let reply = ask_over(socket, ready(headers)).await;
        if allowed {
            assert_eq!(
                reply.head.status, 200,
                "{peer:?} {headers:?}: {}",
                reply.body
            );
        } else {
            assert!(is_denied(&reply), "{peer:?} {headers:?}: {reply:?}");
        }
    }
}

/// H032: the PROXY protocol is nobody's to speak, a proxy's neither.
#[tokio::test]
async fn the_proxy_protocol_is_400() {
    let gateway = Gateway::builder()
        .set("allowed_clients", json!(["localhost"]))
        .set("trusted_proxies", json!(["127.0.0.9"]))
        .server(Server::gremlin("s1"))
        .start();
    let first = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 80\r\n".to_vec();
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([127, 0, 0, 1, 127, 0, 0, 1, 18, 103, 0, 80]);
    for preface in [first, unknown, second] {
        for peer in [[127, 0, 0, 1], [127, 0, 0, 9]] {
            let mut socket = RawSocket::connect_from(peer, gateway.address()).await;
            socket
                .send([preface.as_slice(), ready(&[]).as_bytes()].concat())
                .await;
            let replies = until_closed(&mut socket).await;
            assert_eq!(only(&replies).bare(), 400, "{preface:?}");
        }
    }
    nothing_reached_the_server(&gateway).await;
}
