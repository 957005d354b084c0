//! Faults with real processes: what is counted or timed here wants the machine for itself.
//!
//! Numbers such as F15 are those of the fault matrix.

mod big_lines;
mod child_lost;
mod crash_loop;
mod drain;
mod gateway_killed;
mod guards;
mod inheritance;
mod instances;
mod launching;
mod loose_servers;
mod noise;
#[cfg(target_os = "linux")]
mod pid_1;
mod pipes;
mod stops;
mod stray_answers;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

/// Ample for anything that has no deadline of its own.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A gateway with short deadlines, the healthy neighbour and this server.
pub(crate) fn fault_gateway(server: Server) -> Gateway {
    Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(server)
        .start()
}

/// Status, `error_code` and `delivered` of a refused or failed request.
pub(crate) fn fault_of(answer: &Answer) -> (u16, String, String) {
    let error = &answer.json()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("error_code"), text("delivered"))
}

/// What [`fault_of`] gives for a request that was written to a child that ended.
pub(crate) fn server_lost() -> (u16, String, String) {
    fault(502, "server_lost", "unknown")
}

pub(crate) fn fault(status: u16, code: &str, delivered: &str) -> (u16, String, String) {
    (status, code.to_owned(), delivered.to_owned())
}

/// Waits for an entry of `/servers` that fits.
pub(crate) async fn status_where(
    client: &Client,
    server_id: &str,
    what: &str,
    deadline: Duration,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let what = format!("{server_id} {what}");
    wait_for(&what, deadline, async || {
        Some(client.status(server_id).await).filter(&fits)
    })
    .await
}

/// Waits until a server is ready in this incarnation.
pub(crate) async fn ready_in(client: &Client, server_id: &str, incarnation: u64) -> Value {
    let what = format!("ready in incarnation {incarnation}");
    status_where(client, server_id, &what, SOON, |status| {
        status["status"] == "ready" && status["incarnation"] == incarnation
    })
    .await
}

/// The pid of a server that runs.
pub(crate) async fn pid_of(client: &Client, server_id: &str) -> u32 {
    let pid = client.status(server_id).await["pid"].as_u64();
    u32::try_from(pid.expect("a pid")).unwrap()
}

/// The pid that a deed answered with.
pub(crate) fn pid_in(answer: &Answer) -> u32 {
    echoed(answer).parse().expect("a pid")
}

/// The text of a tool's result.
pub(crate) fn echoed(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    crate::support::stdio::text_of(&answer.json())
}

/// Calls `echo` and wants its text back.
pub(crate) async fn echoes(client: &Client, server_id: &str, text: &str) {
    let answer = client.call(server_id, "echo", &json!({"text": text})).await;
    assert_eq!(echoed(&answer), text);
}

/// Asks for the same deed several times at once, each time with another `nonce`: `name-0`, `name-1`, …
///
/// The connections for it are closed afterwards: what a client keeps open, a gateway holds open.
pub(crate) async fn deeds_at_once(
    gateway: &Gateway,
    server_id: &str,
    deed: &Value,
    name: &str,
    count: usize,
) -> Vec<Answer> {
    let client = gateway.client();
    let asked = (0..count).map(|number| {
        let client = &client;
        let mut deed = deed.clone();
        deed["nonce"] = format!("{name}-{number}").into();
        async move { client.deed(server_id, &deed).await }
    });
    join_all(asked).await
}

/// Waits until a gremlin has read this many frames with this text.
pub(crate) async fn journal_has(gateway: &Gateway, server_id: &str, text: &str, count: usize) {
    let journal = gateway.journal(server_id);
    let what = format!("{count} frames with {text:?} at {server_id}");
    wait_for(&what, SOON, async || {
        (journal.count(text) == count).then_some(())
    })
    .await;
}

/// A line of `/metrics` as a number; 0 as long as there is none.
pub(crate) async fn metric(client: &Client, series: &str) -> f64 {
    let text = client.get("/metrics").await.text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// How many messages of a server were dropped for this reason.
pub(crate) async fn dropped(client: &Client, server_id: &str, reason: &str) -> f64 {
    let labels = format!("host_mcp_gateway_server_id=\"{server_id}\",reason=\"{reason}\"");
    let series = format!("host_mcp_gateway_server_dropped_total{{{labels}}}");
    metric(client, &series).await
}
