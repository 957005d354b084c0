//! One token does everything at once that could take a server from others, and another one goes on working with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::support::mcp::{Session, initialize, modern, modern_call, modern_post, post, tool_call};
use crate::support::process;
use crate::support::sse::Sse;

const REVISION: &str = "2025-11-25";
/// Calls of the other token that are measured, alone and beside the attack.
const CALLS: usize = 100;
/// What the tail of the other token's calls may grow by beside the factor of two, because both tokens, the servers and
/// this test share the processors of one machine.
const SLACK: Duration = Duration::from_millis(150);
/// Memory that the attack may take while it goes on, and may leave behind.
const GROWTH_KIB: usize = 192 * 1024;
const LEFT_KIB: usize = 96 * 1024;

/// Does one thing again and again until the test is over.
fn again<F>(
    attacks: &mut JoinSet<()>,
    over: &Arc<AtomicBool>,
    deed: impl Fn(usize) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let over = Arc::clone(over);
    attacks.spawn(async move {
        for number in 0.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            // Whatever it is answered, and whether it is.
            let _ = timeout(Duration::from_secs(2), deed(number)).await;
            sleep(Duration::from_millis(20)).await;
        }
    });
}

fn listen(of: &str, count: usize) -> Value {
    let uris: Vec<String> = (0..count).map(|number| format!("{of}:{number}")).collect();
    let wishes = json!({"notifications": {"resourceSubscriptions": uris}});
    modern("listen", "subscriptions/listen", &wishes)
}

/// Every attack of one token at the servers that the other one uses too.
fn attack(bad: &Client, session: &Session, attacks: &mut JoinSet<()>, over: &Arc<AtomicBool>) {
    let client = bad.clone();
    again(attacks, over, move |number| {
        // Long lists of subscriptions at both eras, some of them refused.
        let client = client.clone();
        async move {
            let count = [1024, 200_000, 1000, 2][number % 4];
            let of = ["a", "b", "refused", "c"][number / 4 % 4];
            let path = ["/g1/mcp", "/g2/mcp"][number % 2];
            let message = listen(&format!("{of}-{number}"), count);
            let stream = modern_post(&client, path, &message).send().await;
            drop(stream);
        }
    });
    let client = bad.clone();
    again(attacks, over, move |_| {
        // Calls whose client hangs up.
        let client = client.clone();
        async move {
            let deed = json!({"do": "sleep", "ms": 1000});
            let calls = join_all((0..50).map(|_| client.deed("g1", &deed)));
            let _ = timeout(Duration::from_millis(300), calls).await;
        }
    });
    let client = bad.clone();
    again(attacks, over, move |number| {
        // Notifications, large and small, without end.
        let client = client.clone();
        async move {
            let text = "x".repeat([10, 100_000][number % 2]);
            let message =
                json!({"jsonrpc": "2.0", "method": "notifications/own", "params": {"text": text}});
            join_all((0..10).map(|_| client.rpc("g1", &message))).await;
        }
    });
    let session = session.clone();
    again(attacks, over, move |number| {
        // Cancellations with a long reason.
        let session = session.clone();
        async move {
            let id = number.to_string();
            let deed = json!({"do": "sleep", "ms": 5000});
            let call = tool_call(id.as_str(), "gremlin", &deed);
            let params = json!({"requestId": id, "reason": "r".repeat(200_000)});
            let told =
                json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
            let cancel = async {
                sleep(Duration::from_millis(20)).await;
                session.tell(&told).await;
            };
            tokio::join!(session.tell(&call), cancel);
        }
    });
    let client = bad.clone();
    again(attacks, over, move |_| {
        // Bursts of messages before an answer.
        let client = client.clone();
        async move {
            let deed = json!({"do": "logs", "count": 200});
            client.deed("g1", &deed).await;
        }
    });
    let client = bad.clone();
    again(attacks, over, move |_| {
        // Processes, and sessions that nobody ends.
        let client = client.clone();
        async move {
            client
                .send(post(&client, "/g3/mcp", &initialize(REVISION)))
                .await;
        }
    });
    let client = bad.clone();
    again(attacks, over, move |_| {
        // The turn of a server, and no answer to what it asks.
        let client = client.clone();
        async move {
            let schema = json!({"type": "object", "properties": {}});
            let params = json!({"message": "well?", "requestedSchema": schema});
            let deed = json!({"do": "ask", "method": "elicitation/create", "params": params, "wait_ms": 60_000});
            let call = modern_call("gremlin", &deed, &json!({"elicitation": {}}));
            client.send(modern_post(&client, "/g4/mcp", &call)).await;
        }
    });
}

/// The times that calls of a token take, in their order; each is answered.
async fn measured(client: &Client) -> Vec<Duration> {
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let began = Instant::now();
        let answer = client.call("g1", "echo", &json!({"text": "here"})).await;
        times.push(began.elapsed());
        assert_eq!(answer.status, 200, "call {number}: {}", answer.text());
    }
    times.sort_unstable();
    times
}

fn in_order(times: &[Duration]) -> (Duration, Duration) {
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// RD01, RD03, RD04, RD06, RD07, RA06: whatever one token does, the calls of another take no more than twice as long at
/// their slowest, none is refused, and the memory of the gateway is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement: it wants a machine on which nothing else is at work"]
async fn one_token_takes_no_server_from_another() {
    let server = |id, era| Server::gremlin(id).orders(&json!({"era": era}));
    let gateway = Gateway::builder()
        .people()
        .limit("input_wait_ms", 500)
        .limit("max_instances", 4)
        .server(server("g1", "legacy"))
        .server(server("g2", "modern"))
        .server(server("g3", "legacy").set("instance", "session"))
        .server(server("g4", "legacy").set("client_features", "serialize"))
        .start();
    let (good, bad) = (gateway.alice(), gateway.bob());
    for id in ["g1", "g2", "g4"] {
        assert_eq!(
            good.call(id, "echo", &json!({"text": "up"})).await.status,
            200
        );
    }
    let resident = || process::footprint(gateway.pid()).map_or(0, |held| held.resident_kib);
    let began = Instant::now();
    let (quiet, before) = (in_order(&measured(&good).await), resident());

    let (mut attacks, over) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
    let session = Session::open(&bad, "/g1/mcp", REVISION).await;
    attack(&bad, &session, &mut attacks, &over);
    // It has to have taken hold.
    wait_for("the attack", SOON, async || {
        (good.status("g1").await["in_flight"].as_u64() > Some(5)).then_some(())
    })
    .await;
    println!("the attack has taken hold after {:?}", began.elapsed());
    let beside = in_order(&measured(&good).await);
    let call = json!({"do": "count"});
    assert_eq!(good.deed("g4", &call).await.status, 200, "its turn comes");
    let _own = Session::open(&good, "/g3/mcp", REVISION).await;
    let heard = listen("good", 2);
    let listening = modern_post(&good, "/g2/mcp", &heard).send().await;
    let mut listening = Sse::new(listening.expect("an answer"));
    let first = listening.message(SOON).await;
    assert_eq!(
        first["method"], "notifications/subscriptions/acknowledged",
        "{first}"
    );
    let during = resident();
    drop(listening);

    over.store(true, Ordering::Relaxed);
    while attacks.join_next().await.is_some() {}
    drop(bad);
    load(&good, 0).await;
    let after = resident();
    println!("p50 and p99 alone {quiet:?}, beside the attack {beside:?}");
    println!("resident KiB before {before}, during {during}, after {after}");
    assert!(
        beside.1 <= quiet.1 * 2 + SLACK,
        "p99 {:?} alone, {:?} beside the attack",
        quiet.1,
        beside.1
    );
    if before > 0 {
        assert!(
            during <= before + GROWTH_KIB,
            "grew from {before} to {during} KiB"
        );
        assert!(
            after <= before + LEFT_KIB,
            "{after} KiB are left, {before} before"
        );
    }
}
