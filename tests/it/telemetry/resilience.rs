//! A collector or a stderr that is gone costs telemetry, never time.

use std::process::{Command, Stdio};

use tokio::time::Instant;

use super::*;
use crate::support::socket::RefusingPort;

/// How long 500 calls may take while nobody takes their spans: a hundred times what they need.
const UNHINDERED: Duration = Duration::from_secs(2);

fn is_unhindered(variables: &[(&str, &str)]) {
    let fixture = Fixture::new(variables);
    let started = Instant::now();
    fixture.run(|| {
        for _ in 0..500 {
            call(Some(IN_HEADER), Some(IN_META), Outcome::Ok);
        }
    });
    let took = started.elapsed();
    assert!(took < UNHINDERED, "500 calls took {took:?}");
    let started = Instant::now();
    let log = fixture.finish();
    let took = started.elapsed();
    assert!(
        took < LIMIT + Duration::from_millis(500),
        "shutdown took {took:?}"
    );
    assert!(log.contains("was not exported"), "{log}");
}

#[test]
fn a_black_hole_delays_neither_calls_nor_the_exit() {
    let collector = Collector::start(Mode::BlackHole);
    let http = format!("http://{}", collector.authority());
    is_unhindered(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.authority())]);
    is_unhindered(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &http),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]);
}

#[test]
fn a_collector_that_refuses_or_fails_delays_neither_calls_nor_the_exit() {
    let refusing = RefusingPort::bind();
    is_unhindered(&[(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        &refusing.address().to_string(),
    )]);
    let failing = Collector::start(Mode::Failing);
    is_unhindered(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &failing.authority())]);
}

#[test]
fn spans_are_counted_by_what_became_of_them() {
    let collector = Collector::start(Mode::Normal);
    let fixture = Fixture::with_endpoint(&collector.authority());
    // More than one batch of 512, so that one leaves before its time.
    let calls = 200;
    fixture.run(|| {
        for _ in 0..calls {
            call(None, None, Outcome::Ok);
        }
    });
    collector.wait_for(LIMIT * 3, |received| received.spans.len() >= 512);
    let count = |outcome: &str| {
        let text = fixture.telemetry.prometheus_text();
        let start = format!("host_mcp_gateway_otlp_spans_total{{outcome=\"{outcome}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        value.map(|value| value.parse::<u32>().expect("number"))
    };
    assert_eq!(count("ended"), Some(3 * calls));
    // The collector has them a moment before the exporter knows.
    let deadline = Instant::now() + LIMIT;
    while count("exported") < Some(512) {
        assert!(
            Instant::now() < deadline,
            "exported {:?}",
            count("exported")
        );
        std::thread::yield_now();
    }
    assert_eq!(count("failed"), Some(0));
    fixture.finish();
}

#[test]
fn telemetry_works_on_a_runtime_with_one_worker() {
    let collector = Collector::start(Mode::Normal);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("runtime").block_on(async {
        let fixture = Fixture::with_endpoint(&collector.authority());
        fixture.run(|| call(None, None, Outcome::Ok));
        fixture.finish();
    });
    collector.wait_for(LIMIT, |received| received.spans.len() == 3);
}

/// Set in a process that this test started to be alone in it.
const ALONE: &str = "HOST_MCP_GATEWAY_TEST_ALONE";

/// Runs one test of this binary again, in a process of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "the process under test is this binary"
)]
pub(super) fn alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1");
    command
}

pub(super) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_endpoint_the_log_thread_is_the_only_one() {
    if !is_alone() {
        let name = "telemetry::resilience::without_an_endpoint_the_log_thread_is_the_only_one";
        let output = alone(name).output().expect("started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let names = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("own threads");
        let mut names: Vec<_> = tasks
            .map(|task| std::fs::read_to_string(task.expect("task").path().join("comm")))
            .map(|name| name.expect("name").trim().to_owned())
            .collect();
        names.sort();
        names
    };
    let before = names();
    let fixture = Fixture::new(&[]);
    fixture.run(|| call(None, None, Outcome::Ok));
    // A thread names itself once it runs: a line that was written shows that it does.
    while fixture.log.metadata().expect("file").len() == 0 {
        std::thread::yield_now();
    }
    let mut expected = before;
    expected.push("log".to_owned());
    expected.sort();
    assert_eq!(names(), expected);
    fixture.finish();
}

#[test]
fn a_failing_export_is_reported_without_the_secrets_in_its_url() {
    if !is_alone() {
        let name =
            "telemetry::resilience::a_failing_export_is_reported_without_the_secrets_in_its_url";
        let output = alone(name).output().expect("started");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        assert!(log.contains("\"target\":\"opentelemetry"), "{log}");
        assert!(log.contains("127.0.0.1"), "{log}");
        assert!(!log.contains("hunter2"), "{log}");
        return;
    }
    let refusing = RefusingPort::bind();
    let authority = refusing.address();
    let endpoint = format!("http://user:hunter2@{authority}/hunter2?key=hunter2");
    let lookup = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => Some(endpoint.clone()),
        "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("http/protobuf".to_owned()),
        _ => None,
    };
    let telemetry = host_mcp_gateway::telemetry::init(&Config::default(), &lookup).expect("first");
    call(None, None, Outcome::Ok);
    telemetry.shutdown(LIMIT * 3);
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_neither_logging_nor_a_panic_nor_the_exit() {
    if !is_alone() {
        let name = "telemetry::resilience::a_stderr_that_nobody_reads_holds_up_neither_logging_nor_a_panic_nor_the_exit";
        let child = alone(name)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("started");
        // Held open and never read.
        let stderr = child.stderr.take().expect("piped");
        let output = child.wait_with_output().expect("ended");
        drop(stderr);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let config = Config::default();
    let telemetry = host_mcp_gateway::telemetry::init(&config, &|_| None).expect("first");
    let started = Instant::now();
    let text = "x".repeat(4096);
    for _ in 0..5000 {
        tracing::info!(text, "one of many");
    }
    let panicked = std::thread::Builder::new().spawn(|| panic!("logged, not printed"));
    assert!(panicked.expect("thread").join().is_err());
    let took = started.elapsed();
    assert!(took < LIMIT * 3, "logging took {took:?}");
    assert!(telemetry.dropped_log_lines() > 0);
    let started = Instant::now();
    telemetry.shutdown(LIMIT);
    assert!(started.elapsed() < LIMIT + Duration::from_millis(500));
}
