//! The memory of the process has an end: refusals instead of growth, and servers are killed before the gateway.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::alone::{echoed, fault, fault_of};
use crate::support::client::Client;
use crate::support::mcp::{Session, tool_call};
use crate::support::socket::RawSocket;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, process, wire};

const SOON: Duration = Duration::from_secs(30);
const MIB: usize = 1024 * 1024;
/// One token has half of it.
const BUDGET: usize = 2 * MIB;
/// A request of this size is held twice, as it came and as it is written, and its answer once.
const TEXT: usize = 200 * 1024;
const CLIENTS: usize = 16;

/// Large requests that the budget has no room for are refused, with nothing delivered; small ones are served meanwhile,
/// and large ones again afterwards.
#[tokio::test]
async fn large_requests_over_the_memory_budget_are_refused_and_small_ones_are_served() {
    let gateway = Gateway::builder()
        .limit("memory_bytes", BUDGET)
        .server(Server::control())
        .server(Server::gremlin("g1").set("limits", json!({"stdin_stall_ms": 15_000})))
        .start();
    let client = gateway.client();
    let stop = json!({"do": "stop_reading", "ms": 2000});
    assert_eq!(
        echoed(&client.deed("g1", &stop).await),
        "not reading any more"
    );
    let text = "x".repeat(TEXT);
    let large = (0..CLIENTS).map(|_| async {
        let answer = client.call("g1", "echo", &json!({"text": text})).await;
        if answer.status == 200 {
            assert!(echoed(&answer) == text, "another text came back");
            return true;
        }
        assert_eq!(fault_of(&answer), fault(429, "rate_limited", "no"));
        assert!(!answer.header("retry-after").is_empty());
        let told = answer.text();
        assert!(told.contains("limits.memory_bytes"), "{told}");
        false
    });
    let small = async {
        let answer = client
            .call("control", "echo", &json!({"text": "small"}))
            .await;
        assert_eq!(echoed(&answer), "small");
    };
    let (served, ()) = tokio::join!(join_all(large), small);
    let served = served.iter().filter(|served| **served).count();
    assert!(
        (1..=BUDGET / 2 / TEXT).contains(&served),
        "{served} of {CLIENTS} served"
    );
    let again = client.call("g1", "echo", &json!({"text": text})).await;
    assert!(echoed(&again) == text, "{}", again.status);
}

/// What a flooded gateway may hold, and what it may grow by beside that.
const FLOODED: usize = 64 * MIB;
/// Of an answer that nobody reads the system takes some 3 MiB.
const ANSWER: usize = 4 * MIB;
const BESIDE_KIB: usize = 48 * 1024;
const REVISION: &str = "2025-11-25";

async fn memory(client: &Client) -> Value {
    client.get("/health").await.json()["memory"].clone()
}

fn held(memory: &Value) -> usize {
    usize::try_from(memory["held_bytes"].as_u64().expect("bytes")).expect("few")
}

/// A session of which much is kept for replay; gives the id of the first event.
async fn with_replay(client: &Client) -> (Session, String) {
    let session = Session::open(client, "/g1/mcp", REVISION).await;
    let text = "t".repeat(8 * 1024);
    let arguments = json!({"do": "burst", "of": "progress", "count": 100, "text": text});
    let mut call = tool_call("call", "gremlin", &arguments);
    call["params"]["_meta"] = json!({"progressToken": "own"});
    let mut stream = session.stream(&call).await;
    let first = stream.event(SOON).await.id.expect("an id");
    stream.messages(SOON).await;
    (session, first)
}

/// Asks for a large answer and does not read it; gives the status once there is one.
async fn unread_answer(gateway: &Gateway) -> (RawSocket, u16) {
    let answer = json!({"do": "bigline", "bytes": ANSWER, "id": "first"});
    let call = tool_call(1, "gremlin", &answer).to_string();
    let mut socket = RawSocket::connect_narrow(gateway.address(), 4096).await;
    let request = wire::post_whole(gateway, "/g1/rpc", &call);
    socket.send(request).await;
    let head = socket.head(SOON).await.expect("an answer");
    (socket, head.status)
}

/// RD03: one token fills all that it can, with replay, answers that it does not read, and bodies: the other one is served,
/// large requests too, nothing grows beyond the budget, and all of it comes back.
#[tokio::test]
async fn a_token_that_fills_its_memory_takes_none_of_anothers_and_all_comes_back() {
    const OTHER: &str = "other-3c1f0a9be85d7624";
    let gateway = Gateway::builder()
        .limit("memory_bytes", FLOODED)
        // Who reads too slowly is not cut off while this looks.
        .limit("body_ms", 300_000)
        .set("tokens", json!([{"name": "other", "env": "OTHER"}]))
        .env("OTHER", OTHER)
        .server(Server::gremlin("g1").set("request_timeout_ms", 60_000))
        .start();
    let (client, other) = (gateway.client(), gateway.client_with(Some(OTHER)));
    let resident = || process::footprint(gateway.pid()).map_or(0, |held| held.resident_kib);
    echoed(&other.call("g1", "echo", &json!({"text": "up"})).await);
    let before = resident();

    let sessions = join_all((0..4).map(|_| with_replay(&client))).await;
    assert!(held(&memory(&client).await) > MIB, "replay is counted");
    let mut unread = Vec::new();
    let refused = loop {
        assert!(unread.len() <= FLOODED / 2 / ANSWER, "never refused");
        match unread_answer(&gateway).await {
            (socket, 200) => unread.push(socket),
            (_, refused) => break refused,
        }
    };
    assert_eq!(refused, 429);
    assert!(unread.len() >= 5, "{} answers", unread.len());
    let body = json!({"text": "x".repeat(3 * MIB)});
    let body = client.call("g1", "echo", &body).await;
    assert_eq!(fault_of(&body), fault(429, "rate_limited", "no"));
    echoed(&client.call("g1", "echo", &json!({"text": "small"})).await);
    for (session, first) in &sessions {
        let kept = session.resume(first).await.messages(SOON).await;
        assert_eq!(kept.len(), 1, "replay goes first, responses last");
        assert_eq!(kept[0]["id"], "call");
    }

    let large = json!({"text": "x".repeat(MIB)});
    for _ in 0..3 {
        echoed(&other.call("g1", "echo", &json!({"text": "small"})).await);
        let answer = other.call("g1", "echo", &large).await;
        assert_eq!(echoed(&answer).len(), MIB);
    }
    let full = memory(&other).await;
    assert!((5 * ANSWER..=FLOODED).contains(&held(&full)), "{full}");
    assert_eq!(full["limit_bytes"], FLOODED);
    assert!(full["refusals"].as_u64() >= Some(2), "{full}");
    if before > 0 {
        let grown = resident().saturating_sub(before);
        assert!(grown < FLOODED / 1024 + BESIDE_KIB, "by {grown} KiB");
    }

    drop(unread);
    for (session, _) in &sessions {
        assert_eq!(session.end().await.status, 204);
    }
    wait_for("the memory to come back", SOON, async || {
        (held(&memory(&client).await) == 0).then_some(())
    })
    .await;
    assert_eq!(
        echoed(&client.call("g1", "echo", &large).await).len(),
        MIB,
        "and there is room again"
    );
    let metrics = client.get("/metrics").await.text();
    for name in ["held_bytes", "limit_bytes", "refusals_total"] {
        let name = format!("host_mcp_gateway_memory_{name} ");
        assert!(metrics.contains(&name), "{name} in {metrics}");
    }
}

/// When memory runs out Linux kills a server before its guard and the gateway.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_is_killed_for_want_of_memory_before_the_gateway() {
    let score = |pid: u32| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("a score");
        text.trim().parse().expect("a number")
    };
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let child = client.deed("g1", &json!({"do": "fork_grandchild"})).await;
    let child: u32 = echoed(&child).parse().expect("a pid");
    let status = client.status("g1").await;
    let server = u32::try_from(status["pid"].as_u64().expect("a pid")).expect("a pid");
    let guard = process::find(server).expect("the server").parent;
    let own = score(gateway.pid());
    assert_eq!(score(guard), own);
    let handicapped = (own + 500).min(1000);
    assert_eq!((score(server), score(child)), (handicapped, handicapped));
}
