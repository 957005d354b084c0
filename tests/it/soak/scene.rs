//! The gateway of the soak with its twenty servers, and what must hold when all have gone.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::Instant;

use super::Plan;
use super::book::{Book, Finding};
use super::deeds::mark_of;
use super::footprints::{self, Rest, Sample};
use crate::support::client::Client;
use crate::support::wait::wait_until;
use crate::support::{Gateway, Server};

/// How long the gateway lets a request run.
const REQUEST: Duration = Duration::from_secs(2);
/// The latest that an answer may come (U2 of the matrix: the deadline and a second). The deadline is that of
/// a start, which a request may have to wait for, then of a restart, then its own.
pub(super) const LATEST: Duration = Duration::from_millis(2000 + 500 + 2000 + 1000);
/// When a caller gives up, which is a finding.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// The servers that faults may meet; with `control` they are twenty.
pub(super) const FAULTY: usize = 19;
/// Callers share tokens, four each.
pub(super) const TOKENS: usize = 8;
/// From where callers come that guess tokens: what they earn is not meant for the others.
pub(super) const ELSEWHERE: [u8; 4] = [127, 0, 0, 9];
/// How long the last requests and processes may take to go.
const SETTLE: Duration = Duration::from_secs(30);

/// Everything that callers share.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) gateway: Gateway,
    pub(super) book: Book,
    pub(super) plan: Plan,
    /// What the gateway held before the first caller.
    before: Option<Rest>,
    ends: Instant,
    marks: AtomicU64,
}

impl Scene {
    /// Starts the gateway and waits until each server has answered.
    pub(super) async fn open(plan: Plan) -> Self {
        let tokens: Vec<_> = (0..TOKENS)
            .map(|number| json!({"name": format!("caller{number}"), "env": format!("TOKEN_{number}")}))
            .collect();
        let mut builder = Gateway::builder()
            .fault_profile()
            .set(
                "request_timeout_ms",
                u64::try_from(REQUEST.as_millis()).unwrap(),
            )
            .set("restart_backoff_ms", 20)
            .set("restart_backoff_max_ms", 300)
            .set(
                "restart_limit",
                json!({"count": 1_000_000, "window_ms": 400_000_000}),
            )
            .set("allowed_clients", json!(["127.0.0.0/8"]))
            .set("tokens", tokens)
            .set(
                "log",
                json!({"level": "error,host_mcp_gateway::lifecycle=info", "format": "json"}),
            )
            .limit("session_idle_ms", 20_000)
            .limit("instance_idle_ms", 5_000)
            .server(gremlin("control", "dual").autostart());
        for number in 0..TOKENS {
            builder = builder.env(&format!("TOKEN_{number}"), &token(number));
        }
        for number in 0..FAULTY {
            let era = ["legacy", "modern", "dual"][number % 3];
            let instance = ["shared", "shared", "shared", "session", "client"][number % 5];
            let server = gremlin(&server_id(number), era).set("instance", instance);
            builder = builder.server(server.set("restart_policy", "always"));
        }
        let gateway = builder.start();
        let up = json!({"text": "up"});
        let control = gateway.client().call("control", "echo", &up).await;
        assert_eq!(control.status, 200, "control: {}", control.text());
        let before = Rest::of(&gateway);
        for number in 0..FAULTY {
            let client = gateway.client();
            let answer = client.call(&server_id(number), "echo", &up).await;
            assert_eq!(answer.status, 200, "server {number}: {}", answer.text());
        }
        Self {
            gateway,
            book: Book::default(),
            plan,
            before,
            ends: Instant::now() + plan.lasts,
            marks: AtomicU64::new(0),
        }
    }

    /// Whether callers go on.
    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.ends
    }

    /// When they stop.
    pub(super) fn ends(&self) -> Instant {
        self.ends
    }

    /// Draws for one participant, the same for the same seed.
    pub(super) fn rng(&self, participant: usize) -> Rng {
        let participant = u64::try_from(participant).unwrap();
        Rng::with_seed(
            self.plan
                .seed
                .wrapping_mul(1_000_003)
                .wrapping_add(participant),
        )
    }

    /// A mark of this caller that was never used before.
    pub(super) fn mark(&self, caller: usize) -> String {
        let number = self.marks.fetch_add(1, Ordering::Relaxed);
        format!("{}{number}", mark_of(caller))
    }

    /// The client with the token of a caller.
    pub(super) fn client(&self, caller: usize) -> Client {
        self.gateway.client_with(Some(&token(caller % TOKENS)))
    }

    /// Waits for the last ends, holds what is there against what should be, and prints the balance.
    pub(super) async fn close(self, samples: &[Sample]) {
        let Self {
            mut gateway,
            book,
            plan,
            before,
            ..
        } = self;
        settle(&gateway, &book).await;
        rests(&gateway, &book, before).await;
        written_at_most_once(&gateway, &book);
        gateway.signal(rustix::process::Signal::TERM);
        let status = gateway.ended(Duration::from_secs(20)).await;
        if !status.success() {
            book.find(
                Finding::Leftover,
                format!("the gateway ended with {status}"),
            );
        }
        let left = gateway.family();
        if !left.is_empty() {
            book.find(Finding::Leftover, format!("processes: {left:?}"));
        }
        let growth = footprints::report(samples, plan.lasts, &book);
        let (balance, even) = book.close();
        println!("seed {}, {:?}\n{balance}\n{growth}", plan.seed, plan.lasts);
        assert!(even, "the balance is not even:\n{balance}\n{growth}");
    }
}

/// Waits until nothing is under way and nothing waits, as the gateway counts it, and looks for zombies.
async fn settle(gateway: &Gateway, book: &Book) {
    let client = gateway.client();
    let until = Instant::now() + SETTLE;
    loop {
        let metrics = client.get("/metrics").await.text();
        let open = open_gauges(&metrics);
        if open.is_empty() {
            break;
        }
        if Instant::now() > until {
            book.find(Finding::Leftover, format!("after {SETTLE:?}: {open:?}"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let servers = client.get("/servers").await.json();
    let lives = servers["servers"].as_array().into_iter().flatten();
    let restarts: u64 = lives
        .filter_map(|server| server["restart_count"].as_u64())
        .sum();
    println!("restarts of the servers and of their last instances: {restarts}");
    let below = || crate::support::process::descendants(gateway.pid());
    wait_until("no zombie below the gateway", SETTLE, || {
        below().iter().all(|process| process.state != 'Z')
    })
    .await;
}

/// Waits until the gateway holds no more than before the first caller.
async fn rests(gateway: &Gateway, book: &Book, before: Option<Rest>) {
    let Some(before) = before else { return };
    let until = Instant::now() + SETTLE;
    loop {
        let now = Rest::of(gateway).expect("the gateway runs");
        if now.is_as(&before) {
            println!("at rest: {before:?} before the first caller, {now:?} after the last");
            return;
        }
        if Instant::now() > until {
            let held = format!("at rest: {before:?} before, after {SETTLE:?} {now:?}");
            return book.find(Finding::Leftover, held);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The gauges of what is under way that are not at zero; the request that reads them is a GET.
fn open_gauges(metrics: &str) -> Vec<String> {
    let gauges = [
        "host_mcp_gateway_server_in_flight",
        "host_mcp_gateway_server_queued",
        "host_mcp_gateway_streams",
        "http_server_active_requests{http_request_method=\"POST\"",
    ];
    let lines = metrics.lines();
    lines
        .filter(|line| gauges.iter().any(|gauge| line.starts_with(gauge)))
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

/// U9 for every server: no mark was written twice.
fn written_at_most_once(gateway: &Gateway, book: &Book) {
    let ids = (0..FAULTY).map(server_id).chain(["control".to_owned()]);
    let mut seen = HashSet::new();
    for id in ids {
        let path = gateway.folder().join(format!("journal-{id}"));
        let Ok(file) = std::fs::File::open(path) else {
            continue;
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.expect("a readable journal");
            let text = String::from_utf8_lossy(&line);
            let Some((_, nonce)) = text.split_once(r#""nonce":""#) else {
                continue;
            };
            let nonce: String = nonce.chars().take_while(|letter| *letter != '"').collect();
            if !seen.insert(nonce.clone()) {
                book.find(
                    Finding::Crossed,
                    format!("{nonce} was written twice, now to {id}"),
                );
            }
        }
    }
    println!("the servers read {} marks, each once", seen.len());
}

/// The id of a server that faults may meet.
pub(super) fn server_id(number: usize) -> String {
    format!("s{number:02}")
}

/// A token by its number.
pub(super) fn token(number: usize) -> String {
    format!("caller-{number}-4be1f09a7d2c83e64be1f09a7d2c83e6")
}

fn gremlin(id: &str, era: &str) -> Server {
    // Longer than any soak: what ends a server here is a fault that was drawn.
    Server::gremlin(id).orders(&json!({"era": era, "lifetime_s": 100_000}))
}
