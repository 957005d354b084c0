//! Lines over the cap: who asked is told, nothing is kept, and the next call works.

use serde_json::json;

use super::*;
use crate::support::oracle::Oracle;
use crate::support::process;
use crate::support::wait::wait_until;

/// Far over the cap of 1 MiB of the fault profile.
const BYTES: usize = 100_000_000;
/// What it may hold more afterwards.
const GROWTH_KIB: usize = 2 * 1024;
/// When what nobody uses has been given back: it takes ten seconds.
const GIVEN_BACK: Duration = Duration::from_secs(20);
/// What the gateway may hold more at its peak: less than the line, whatever was read of it.
const PEAK_GROWTH_KIB: usize = 12 * 1024;

/// F42: with the id before the bulk, behind it, and not at all.
#[tokio::test]
async fn an_answer_over_the_cap_is_an_error_for_who_asked_and_is_not_kept() {
    // Time for the bytes to be made and skipped. The one without an id is waited for in vain.
    let patient = |id: &str, ms: u64| Server::gremlin(id).set("request_timeout_ms", ms);
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(patient("g1", 20_000))
        .server(patient("g2", 6000))
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1", "g2"]).await;
    let big = |id: &str| json!({"do": "bigline", "bytes": BYTES, "id": id});
    // The first line over the cap finds the buffers small.
    let first = json!({"do": "bigline", "bytes": 2 * 1024 * 1024, "id": "first"});
    client.deed("g1", &first).await;
    let before = process::peak_kib(gateway.pid());
    let held = gateway.footprint();
    for id in ["first", "last"] {
        let answer = client.deed("g1", &big(id)).await;
        let expected = fault(502, "reply_too_large", "unknown");
        assert_eq!(fault_of(&answer), expected, "id {id}");
        echoes(&client, "g1", "next").await;
    }
    let answer = client.deed("g2", &big("none")).await;
    assert_eq!(fault_of(&answer), fault(504, "server_timeout", "unknown"));
    echoes(&client, "g2", "next").await;
    assert!(dropped(&client, "g2", "oversize_line").await > 0.5);
    if let (Some(before), Some(after)) = (before, process::peak_kib(gateway.pid())) {
        assert!(
            after <= before + PEAK_GROWTH_KIB,
            "{before} KiB grew to {after} KiB"
        );
    }
    if let Some(before) = held {
        let most = before.resident_kib + GROWTH_KIB;
        let what = format!("{} KiB is what it holds again", before.resident_kib);
        wait_until(&what, GIVEN_BACK, || {
            gateway
                .footprint()
                .is_some_and(|now| now.resident_kib < most)
        })
        .await;
    }
    for server in ["g1", "g2"] {
        let status = client.status(server).await;
        assert_eq!(status["incarnation"], 1, "{status}");
    }
    oracle.holds(&gateway, "g1").await;
}
