//! A gateway that the system grants no more descriptors. Linux keeps a connection that cannot be accepted; macOS drops it.

#![cfg(target_os = "linux")]

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::*;
use crate::alone::echoes;
use crate::support::oracle::Oracle;
use crate::support::{Gateway, Server, process};

const CONNECTIONS: usize = 500;
/// How long the gateway is watched while it cannot accept.
const WATCHED: Duration = Duration::from_secs(3);

/// F38: it pauses, says so once, serves who is in, and takes connections again when there is room.
#[tokio::test]
async fn without_descriptors_it_accepts_nothing_and_does_not_spin() {
    let gateway = Gateway::builder()
        .fault_profile()
        .limit("max_connections_per_ip", 1024)
        .run_by(&["prlimit", "--nofile=64:64"])
        .server(Server::control())
        .start();
    let oracle = Oracle::before(&gateway, &["control"]).await;
    // Its connection is there before the crowd, and stays.
    let client = gateway.client();
    echoes(&client, "control", "before").await;

    // Most of them wait: for the gateway to accept them, or for the system to queue them for it.
    let mut crowd = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let connecting = TcpStream::connect(gateway.address());
        crowd.spawn(async {
            let _connection = connecting.await;
            std::future::pending::<()>().await;
        });
    }
    let refused = "cannot accept connections for now: Too many open files (os error 24)";
    gateway.logs().event(refused, SOON).await;
    let (began, busy) = (Instant::now(), process::cpu_time(gateway.pid()));
    while began.elapsed() < WATCHED {
        let asked = Instant::now();
        echoes(&client, "control", "meanwhile").await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(1), "answered after {took:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    if let (Some(before), Some(after)) = (busy, process::cpu_time(gateway.pid())) {
        let (busy, lasted) = (after.saturating_sub(before), began.elapsed());
        assert!(busy < lasted / 5, "busy for {busy:?} of {lasted:?}");
    }
    assert_eq!(
        gateway.logs().events(refused).len(),
        1,
        "one episode, one line"
    );

    crowd.shutdown().await;
    let again = "accepting connections again";
    gateway.logs().event(again, SOON).await;
    echoes(&gateway.client(), "control", "after").await;
    oracle.holds(&gateway, "control").await;
}
