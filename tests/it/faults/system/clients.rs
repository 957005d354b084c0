//! Clients that go in the middle of what they are sent.

use super::*;
use crate::alone::{echoes, fault_gateway};
use crate::support::oracle::Oracle;
use crate::support::socket::RawSocket;
use crate::support::{Gateway, Server};

/// Takes so many bytes of an answer and resets the connection.
async fn resets(gateway: &Gateway, request: &str, bytes: usize) {
    let mut socket = RawSocket::connect_narrow(gateway.address(), 4096).await;
    socket.send(request).await;
    socket.reset_after(bytes, SOON).await;
}

/// F53: at each byte of a short answer, and at many of one that does not fit into the buffers of a socket.
#[tokio::test]
async fn a_connection_that_is_reset_at_any_byte_of_its_answer_frees_its_place() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let short = echo_in_bytes(8);
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(&short).await;
    let (head, body) = socket.answer(SOON).await.expect("an answer");
    let length = head.text.len() + body.len();
    drop(socket);
    for bytes in 0..=length {
        resets(&gateway, &short, bytes).await;
    }
    let long = echo_in_bytes(250 * 1024);
    for bytes in (0..250 * 1024).step_by(25_013) {
        resets(&gateway, &long, bytes).await;
    }
    nothing_is_under_way(&client, "g1").await;
    wait_for("no connection but this one", SOON, async || {
        let open = metric(&client, "host_mcp_gateway_connections").await;
        (open < 1.5).then_some(())
    })
    .await;
    let log = gateway.logs().text();
    assert!(!log.contains("panic"), "{log}");
    echoes(&client, "g1", "after").await;
    oracle.holds(&gateway, "g1").await;
}
