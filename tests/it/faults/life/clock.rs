//! Wall time that jumps: nothing that waits goes by it.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::*;

/// The library that tells the programs it is loaded into another wall time (libfaketime).
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let mut places = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    places.find(|library| library.is_file()).expect(
        "libfaketime below /usr/lib; the package is named faketime, and `tests/run` installs it",
    )
}

/// Sets what the gateway takes for the wall time, from its next look at it.
fn shift(file: &Path, by: &str) {
    // Renamed into place: a look may come at any moment.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{by}\n")).unwrap();
    std::fs::rename(&new, file).unwrap();
}

/// The day at which the gateway says that the last life of a server ended.
async fn day_of_end(client: &Client) -> String {
    let status = client.status("g1").await;
    let at = status["last_exit_at"].as_str().expect("a time");
    at.split_once('T').expect("RFC 3339").0.to_owned()
}

/// F61: an hour back and a day forward. Deadlines, delays and probes last as long as ever, and nothing
/// is restarted for it.
#[tokio::test]
async fn a_wall_clock_that_jumps_delays_nothing_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    shift(&offset, "+0");
    let probes = json!({"probe_interval_ms": 100, "probe_timeout_ms": 2000, "probe_misses": 1});
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::control())
        .server(Server::gremlin("g1").set("limits", probes))
        .env("LD_PRELOAD", faketime().to_str().unwrap())
        .env("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap())
        .env("FAKETIME_NO_CACHE", "1")
        // Setting the wall clock does not move the monotonic one.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    exits(&client, "g1", 1).await;
    ready_in(&client, "g1", 2).await;
    let mut days = vec![day_of_end(&client).await];
    for (life, by) in [(3, "-1h"), (4, "+1d"), (5, "+0")] {
        let asked = Instant::now();
        let (nothing, sleep) = (
            json!({"do": "nothing", "nonce": format!("nothing-{life}")}),
            json!({"do": "sleep", "ms": 1500, "say": "slept", "nonce": format!("sleep-{life}")}),
        );
        let jump = async {
            journal_has(&gateway, "g1", &format!("-{life}\""), 2).await;
            shift(&offset, by);
        };
        let (unanswered, slept, ()) =
            tokio::join!(client.deed("g1", &nothing), client.deed("g1", &sleep), jump);
        let took = asked.elapsed();
        assert_eq!(echoed(&slept), "slept", "{by}");
        let timeout = fault(504, "server_timeout", "unknown");
        assert_eq!(fault_of(&unanswered), timeout, "{by}");
        let (least, most) = (Duration::from_secs(2), Duration::from_secs(3));
        assert!(least <= took && took <= most, "{by}: took {took:?}");
        let asked = gateway.journal("g1").count_method("ping");
        wait_until("the next probes", SOON, || {
            gateway.journal("g1").count_method("ping") > asked + 3
        })
        .await;
        let status = client.status("g1").await;
        assert_eq!(
            status["incarnation"],
            life - 1,
            "no restart by {by}: {status}"
        );
        assert_eq!(status["status"], "ready", "{status}");
        exits(&client, "g1", 1).await;
        let delays = delays_until(&client, "g1", life).await;
        // The fourth delay of the profile is the longest here: 800 ms and a fifth.
        assert!(delays.iter().all(|ms| *ms <= 960), "{by}: {delays:?}");
        days.push(day_of_end(&client).await);
    }
    // The jumps were seen, or all of this would prove nothing.
    assert_ne!(days[2], days[1], "{days:?}");
    assert_eq!(client.status("control").await["incarnation"], 1);
    oracle.holds(&gateway, "g1").await;
}
