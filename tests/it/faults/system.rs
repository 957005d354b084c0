//! What the machine denies: descriptors, processes, memory, time, and whoever reads the logs.

mod alone;
mod children;
mod clients;

use std::time::Duration;

use crate::alone::metric;
use crate::support::client::Client;
use crate::support::gateway::TOKEN;
use crate::support::wait::wait_for;

/// Ample for anything that has no deadline of its own.
const SOON: Duration = Duration::from_secs(10);

/// A call of `echo` on `/g1/rpc` in bytes, with a text of this length.
fn echo_in_bytes(length: usize) -> String {
    let text = "e".repeat(length);
    let params = format!(r#"{{"name":"echo","arguments":{{"text":"{text}"}}}}"#);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    format!(
        "POST /g1/rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// `GET` of a path in bytes, for an event stream.
fn listen_in_bytes(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Accept: text/event-stream\r\n\r\n"
    )
}

/// U8: nothing is under way any more, at the edge and at the server.
async fn nothing_is_under_way(client: &Client, server_id: &str) {
    let active = "http_server_active_requests{http_request_method=\"POST\"}";
    wait_for("no request under way", SOON, async || {
        let here = metric(client, active).await;
        let there = client.status(server_id).await["in_flight"].clone();
        (here < 0.5 && there == 0).then_some(())
    })
    .await;
}
