//! Collectors and log sinks that take nothing: calls are served as ever, and what was dropped is counted.

use std::process::Stdio;

use serde_json::json;
use tokio::time::Instant;

use super::super::*;
use crate::alone::{echoed, echoes};
use crate::collector::{Collector, Mode};
use crate::support::oracle::Oracle;
use crate::support::socket::{RefusingPort, free_port};
use crate::support::{Gateway, Server, process};

/// From SIGTERM to the end, whatever does not take the last of the telemetry.
const SHUTDOWN: Duration = Duration::from_secs(2);
const CALLS: usize = 300;
/// How much slower the median call may be. Making the spans costs a build without optimisation something;
/// an export that is waited for costs seconds.
const RATIO: f64 = 1.5;
const UNOPTIMISED: Duration = Duration::from_millis(2);
/// What becomes of spans shows within: one batch, and the patience with its export.
const EXPORT: [(&str, &str); 2] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
];

fn gateway(collector: Option<&str>) -> Gateway {
    let builder = Gateway::builder()
        .fault_profile()
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::control());
    let Some(collector) = collector else {
        return builder.start();
    };
    let endpoint = format!("http://{collector}");
    let builder = builder.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let builder = EXPORT
        .into_iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value));
    builder.start()
}

async fn collector(mode: Mode) -> Collector {
    tokio::task::spawn_blocking(move || Collector::start(mode))
        .await
        .unwrap()
}

async fn call(client: &Client) -> Duration {
    let asked = Instant::now();
    echoes(client, "control", "hi").await;
    asked.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// F59: a collector that refuses, says nothing, fails, or answers half a minute later.
#[tokio::test]
async fn a_collector_that_takes_nothing_delays_neither_calls_nor_the_end() {
    let (hole, failing, slow) = (
        collector(Mode::BlackHole).await,
        collector(Mode::Failing).await,
        collector(Mode::Slow).await,
    );
    let refusing = RefusingPort::bind();
    let authorities = [
        refusing.address().to_string(),
        hole.authority(),
        failing.authority(),
        slow.authority(),
    ];
    let without = gateway(None);
    let with = authorities.map(|authority| gateway(Some(&authority)));
    let gateways = [&without, &with[0], &with[1], &with[2], &with[3]];
    let clients = gateways.map(Gateway::client);
    let mut times = clients.each_ref().map(|_| Vec::new());
    // In turns, call by call, so that what else the machine does is the same for all.
    for _ in 0..CALLS {
        for (client, times) in clients.iter().zip(&mut times) {
            times.push(call(client).await);
        }
    }
    let medians = times.map(median);
    println!("without, refused, black hole, failing, slow: {medians:?}");
    let allowed = medians[0].mul_f64(RATIO) + UNOPTIMISED;
    assert!(
        medians.iter().all(|median| *median <= allowed),
        "{medians:?}"
    );

    for client in &clients[1..] {
        let failed = "host_mcp_gateway_otlp_spans_total{outcome=\"failed\"}";
        wait_for("spans that were not exported", SOON, async || {
            (metric(client, failed).await > 0.5).then_some(())
        })
        .await;
    }
    for gateway in [without].into_iter().chain(with) {
        let asked = Instant::now();
        assert_eq!(gateway.stop().await.code(), Some(0));
        let took = asked.elapsed();
        assert!(took <= SHUTDOWN, "stopped after {took:?}");
    }
}

/// Serves while its log goes nowhere, and ends in time. What is dropped is counted, and not tried for ever.
async fn serves_with_log(stderr: impl Into<Stdio>) {
    let gateway = Gateway::builder()
        .fault_profile()
        .set("bind_port", free_port().await)
        .set("request_timeout_ms", 20_000)
        .stderr(stderr)
        .server(Server::control())
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    // At the level of these gateways each of them is a line of log, more than what may wait to be written.
    let garbage = json!({"do": "garbage", "lines": 40_000});
    assert_eq!(
        echoed(&client.deed("g1", &garbage).await),
        "that was garbage"
    );
    for number in 0..50 {
        echoes(&client, "g1", &number.to_string()).await;
    }
    assert!(metric(&client, "host_mcp_gateway_log_dropped_total").await > 0.5);
    let (before, watched) = (process::cpu_time(gateway.pid()), Duration::from_secs(1));
    tokio::time::sleep(watched).await;
    if let (Some(before), Some(after)) = (before, process::cpu_time(gateway.pid())) {
        let busy = after.saturating_sub(before);
        assert!(busy < watched / 5, "busy for {busy:?} of an idle second");
    }
    drop(client);
    oracle.holds(&gateway, "g1").await;
    let asked = Instant::now();
    assert_eq!(gateway.stop().await.code(), Some(0));
    let took = asked.elapsed();
    assert!(took <= SHUTDOWN, "stopped after {took:?}");
}

/// F60: a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_on_a_full_disk_costs_lines_and_nothing_else() {
    serves_with_log(
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    )
    .await;
}

/// F60: a reader that is gone.
#[tokio::test]
async fn a_log_whose_reader_is_gone_costs_lines_and_nothing_else() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    serves_with_log(writer).await;
}

/// F60: a reader that does not read.
#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_nothing_else() {
    let (reader, writer) = std::io::pipe().unwrap();
    serves_with_log(writer).await;
    drop(reader);
}
