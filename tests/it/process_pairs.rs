//! A server that knows both eras and is used by clients of both: its two processes as an operator sees them, and what
//! orders and reloads do to them.

mod checks;
mod lists;
mod replaced;
mod shown;

use std::time::Duration;

use serde_json::{Value, json};

use crate::alone::echoed;
use crate::support::client::Client;
use crate::support::mcp::{Session, modern_call, modern_post};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(20);
const NEWEST: &str = "2025-11-25";

fn dual(server_id: &str) -> Server {
    Server::gremlin(server_id).orders(&json!({"era": "dual"}))
}

/// A gateway with a server that knows both eras, whose calls have this long when their process is to go.
fn gateway(drain_ms: u64) -> Gateway {
    gateway_with(drain_ms, dual("g1"))
}

fn gateway_with(drain_ms: u64, server: Server) -> Gateway {
    Gateway::builder()
        .for_each_server("stop_grace_ms", 200)
        .set("restart_backoff_ms", 200)
        .limit("drain_ms", drain_ms)
        .limit("hold_ms", 20_000)
        .set("request_timeout_ms", 20_000)
        .server(server)
        .start()
}

async fn open(client: &Client) -> Session {
    Session::open(client, "/g1/mcp", NEWEST).await
}

async fn modern_echo(client: &Client, text: &str) {
    let call = modern_call("echo", &json!({"text": text}), &json!({}));
    let answer = client.send(modern_post(client, "/g1/mcp", &call)).await;
    assert_eq!(echoed(&answer), text);
}

/// Has clients of both eras use a server; gives the legacy one's session, and the processes.
async fn both(client: &Client) -> (Session, [u32; 2]) {
    let session = open(client).await;
    let said = session.call("echo", &json!({"text": "legacy"})).await;
    assert_eq!(said, "legacy");
    modern_echo(client, "modern").await;
    (session, pids(client).await)
}

/// The processes of `g1`, in the order of `/servers`: the legacy one, the modern one.
async fn pids(client: &Client) -> [u32; 2] {
    let status = client.status("g1").await;
    let pid = |at: usize| status["instances"][at]["pid"].as_u64();
    let pids = [0, 1].map(|at| pid(at).unwrap_or_else(|| panic!("two processes: {status}")));
    pids.map(|pid| u32::try_from(pid).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
