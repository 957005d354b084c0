//! What a hostile server writes, and tries (H093 to H107).

mod alone;
mod lines;
mod reach;
mod replies;
mod unasked;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::mcp::{self, Session, modern_call, modern_post, tool_call};
use crate::support::stdio::text_of;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";

/// A gateway with one gremlin that has this long to answer.
fn gateway(timeout_ms: u64) -> Gateway {
    Gateway::builder()
        .set("request_timeout_ms", timeout_ms)
        .server(Server::gremlin("s1"))
        .start()
}

/// Status and `error_code` of a failed request.
fn fault_of(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.error_code())
}

/// The server still answers, and has not been started again.
async fn is_well(client: &Client) {
    let answer = client.call("s1", "echo", &json!({"text": "well"})).await;
    assert_eq!(text_of(&answer.json()), "well");
    assert_eq!(client.status("s1").await["incarnation"], 1);
}

/// How many messages of the server were dropped for a reason so far.
async fn dropped(client: &Client, reason: &str) -> u64 {
    let labels = format!("{{host_mcp_gateway_server_id=\"s1\",reason=\"{reason}\"}} ");
    let metrics = client.get("/metrics").await.text();
    let lines = metrics.lines();
    let mut values = lines.filter_map(|line| {
        let value = line.strip_prefix("host_mcp_gateway_server_dropped_total")?;
        value.strip_prefix(&labels)?.parse().ok()
    });
    values.next().unwrap_or(0)
}

/// Waits until so many more messages were dropped for a reason than `before`.
async fn dropped_since(client: &Client, reason: &str, before: u64, count: u64) {
    wait_for(&format!("{count} dropped as {reason}"), SOON, async || {
        (dropped(client, reason).await == before + count).then_some(())
    })
    .await;
}
