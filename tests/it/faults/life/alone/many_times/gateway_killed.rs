//! The gateway is killed while it starts servers, at moments drawn at random.

use std::collections::BTreeMap;

use rustix::process::Signal;
use tokio::time::Instant;

use super::*;
use crate::support::places;

const USUALLY: u64 = 40;

/// The seed of this run: `HMG_SEED`, or another one each time.
fn seed() -> u64 {
    let given = std::env::var("HMG_SEED").ok();
    given.map_or_else(
        || fastrand::u64(..),
        |text| text.parse().expect("HMG_SEED: a number"),
    )
}

/// A plain server, one below shells, and one that ends by nothing but SIGKILL; none of them runs yet.
fn gateway() -> Gateway {
    let gremlin = places::gremlin();
    let script = format!("sh -c '{}; true'; true", gremlin.to_str().unwrap());
    let stubborn = json!({"ignore_term": true, "ignore_eof": true});
    Gateway::builder()
        .fault_profile()
        .limit("term_grace_ms", 100)
        .server(Server::gremlin("plain"))
        .server(
            Server::gremlin("wrapped")
                .set("command", "sh")
                .set("args", json!(["-c", script])),
        )
        .server(
            Server::gremlin("stubborn")
                .orders(&stubborn)
                .set("stop_grace_ms", 50),
        )
        .start()
}

/// Orders the start of all three at the same time.
async fn start_all(client: &Client, suffix: &str) {
    let start = |server_id: &str| {
        let path = format!("/servers/{server_id}/start{suffix}");
        let client = client.clone();
        async move { client.request(reqwest::Method::POST, &path).send().await }
    };
    // The gateway may be killed before it answers.
    let _ = tokio::join!(start("plain"), start("wrapped"), start("stubborn"));
}

/// F33: wherever a start has got to, it is undone when its gateway dies. That nothing is left 3 s later is
/// what the end of every [`Gateway`] of the tests looks for; here it is looked for once more at the end.
#[tokio::test]
async fn a_gateway_killed_while_it_starts_servers_leaves_nothing() {
    let seed = seed();
    println!("HMG_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let whole = {
        let gateway = gateway();
        let asked = Instant::now();
        start_all(&gateway.client(), "?wait").await;
        asked.elapsed()
    };
    println!("all three are started within {whole:?}");
    // How many processes there were when the gateway was dead: how far the starts had got.
    let mut survivors: BTreeMap<usize, u64> = BTreeMap::new();
    for _ in 0..cycles(USUALLY) {
        let mut gateway = gateway();
        let client = gateway.client();
        // The connection is made beforehand: it is not what is to be met.
        client.get("/health").await;
        let offset = whole.mul_f64(rng.f64() * 1.2);
        let kill = async {
            let due = Instant::now() + offset;
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            gateway.signal(Signal::KILL);
        };
        tokio::join!(start_all(&client, ""), kill);
        gateway.ended(SOON).await;
        *survivors.entry(gateway.family().len()).or_default() += 1;
    }
    println!("processes left at the gateway's death, and how often: {survivors:?}");
    assert!(
        survivors.keys().any(|count| *count > 0),
        "no start was ever met"
    );
    let of_this_test = places::marker_of_this_process();
    let orphans = process::marked(&of_this_test);
    assert_eq!(orphans, [], "HMG_SEED={seed}");
}
