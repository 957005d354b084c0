//! Lines over the cap: who asked is told, nothing is kept, and the next call works (F42).

use serde_json::json;

use super::*;
use crate::support::oracle::Oracle;

/// Far over the cap of 1 MiB of the fault profile.
const BYTES: usize = 32 * 1024 * 1024;
/// What the gateway may hold more at its peak: less than the line, whatever was read of it.
const PEAK_GROWTH_KIB: usize = 12 * 1024;

/// The most memory that a process ever had resident (proc(5)); `None` where the system does not tell.
fn peak_kib(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[tokio::test]
async fn an_answer_over_the_cap_is_an_error_for_who_asked_and_is_not_kept() {
    // Time for the bytes to be made and skipped; the one without an id is waited for in vain.
    let server = Server::gremlin("g1").set("request_timeout_ms", 8000);
    let gateway = fault_gateway(server);
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let before = peak_kib(gateway.pid());
    let big = |id: &str| json!({"do": "bigline", "bytes": BYTES, "id": id});
    for id in ["first", "last"] {
        let answer = client.deed("g1", &big(id)).await;
        let expected = fault(502, "reply_too_large", "unknown");
        assert_eq!(fault_of(&answer), expected, "id {id}");
        echoes(&client, "g1", "next").await;
    }
    let answer = client.deed("g1", &big("none")).await;
    assert_eq!(fault_of(&answer), fault(504, "server_timeout", "unknown"));
    assert!(dropped(&client, "g1", "oversize_line").await > 0.5);
    echoes(&client, "g1", "next").await;
    if let (Some(before), Some(after)) = (before, peak_kib(gateway.pid())) {
        assert!(
            after <= before + PEAK_GROWTH_KIB,
            "{before} KiB grew to {after} KiB"
        );
    }
    let status = client.status("g1").await;
    assert_eq!(status["incarnation"], 1, "{status}");
    oracle.holds(&gateway, "g1").await;
}
