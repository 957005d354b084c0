//! How many connections there may be.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wait::wait_for;
use crate::support::wire::{bare_request, reply};
use crate::support::{Gateway, Server};

const CROWD: [u8; 4] = [127, 0, 0, 2];

fn health() -> String {
    let host = "Host: localhost";
    let token = format!("Authorization: Bearer {TOKEN}");
    bare_request("GET /health", &[host, &token], "")
}

/// Of these connections, those that keep their place: they stay open. One that has to give it away while its first
/// request is answered is closed after the answer, so the second request decides.
async fn served(sockets: Vec<RawSocket>) -> Vec<RawSocket> {
    let mut kept = Vec::new();
    for mut socket in sockets {
        if is_answered(&mut socket).await && is_answered(&mut socket).await {
            kept.push(socket);
        }
    }
    kept
}

async fn is_answered(socket: &mut RawSocket) -> bool {
    socket.send(health()).await;
    let Some(answer) = reply(socket).await else {
        return false;
    };
    assert_eq!(answer.head.status, 200, "{}", answer.body);
    true
}

async fn connected(gateway: &Gateway, source: [u8; 4], count: usize) -> Vec<RawSocket> {
    let mut sockets = Vec::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, gateway.address().port()));
    for _ in 0..count {
        sockets.push(RawSocket::connect_from(source, address).await);
    }
    sockets
}

/// H006, RD05: with the caps that nobody has to set, one address gets its share and no more, all of 127.0.0.0/8 is one,
/// and whoever comes from another one does not notice.
#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let gateway = Gateway::builder()
        .set("bind_host", "::")
        .set("allow_plaintext", true)
        .set("allowed_clients", json!(["localhost"]))
        .server(Server::gremlin("s1"))
        .start();
    let crowd = connected(&gateway, CROWD, 600).await;
    let crowd = served(crowd).await;
    assert_eq!(crowd.len(), 256);
    let same = connected(&gateway, [127, 0, 0, 3], 1).await;
    assert!(served(same).await.is_empty());
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        let other = SocketAddr::from((Ipv6Addr::LOCALHOST, gateway.address().port()));
        let other = vec![RawSocket::connect(other).await];
        assert_eq!(served(other).await.len(), 1);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    assert!(
        times[times.len() / 2] < Duration::from_millis(100),
        "{times:?}"
    );
    // Those that are in stay in, and a place that is left is free again.
    let mut crowd = served(crowd).await;
    assert_eq!(crowd.len(), 256);
    crowd.truncate(255);
    wait_for("a place", Duration::from_secs(5), async || {
        let one = connected(&gateway, CROWD, 1).await;
        (!served(one).await.is_empty()).then_some(())
    })
    .await;
}

/// H006: all addresses together have a cap too, which is the only one for proxies.
#[tokio::test]
async fn all_addresses_together_have_a_cap() {
    let gateway = Gateway::builder()
        .set("allowed_clients", json!(["localhost"]))
        .set("trusted_proxies", json!(["127.0.0.0/8"]))
        .limit("max_connections", 64)
        .limit("max_connections_per_ip", 16)
        .server(Server::gremlin("s1"))
        .start();
    let mut open = Vec::new();
    for last in 2..12 {
        let sockets = connected(&gateway, [127, 0, 0, last], 20).await;
        let kept = served(sockets).await;
        open.extend(kept);
    }
    assert_eq!(open.len(), 64);
    // They are served as before.
    assert_eq!(served(open).await.len(), 64);
}
