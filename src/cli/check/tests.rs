//! The report in both forms, and the order and the deadline of probing.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::cli::assembly::Refused;
use crate::supervisor::{
    BackoffConfig, Config, EraFacts, Launch, ProbeConfig, RequestConfig, RestartLimit,
    RestartPolicy, StopConfig,
};

fn server(id: &str) -> Config {
    let second = Duration::from_secs(1);
    Config {
        id: id.parse().unwrap(),
        instance: None,
        launch: Launch {
            command: "npx".to_owned(),
            program: PathBuf::from("/usr/bin/npx"),
            args: vec!["canary".to_owned()],
            working_dir: None,
            env: Vec::new(),
            withheld: Vec::new(),
        },
        autostart: id == "notes",
        disabled: id == "old",
        refused: None,
        restart_policy: RestartPolicy::OnFailure,
        backoff: BackoffConfig {
            first: second,
            max: second,
        },
        restart_limit: RestartLimit {
            count: 1,
            window: second,
        },
        failed_retry: 300 * second,
        startup_timeout: 60 * second,
        era: supervisor::EraChoice::Auto,
        era_probe: second,
        client_capabilities: "{}".into(),
        stop: StopConfig {
            grace: second,
            term_grace: second,
        },
        probe: ProbeConfig {
            interval: second,
            timeout: second,
            misses: 1,
        },
        requests: RequestConfig {
            timeout: 30 * second,
            max: 60 * second,
            hold: second,
            max_in_flight: 1,
            max_queue: 1,
            max_queue_bytes: 1024,
            input_wait: Duration::from_secs(1),
            divided: false,
        },
        max_line_bytes: 1,
        stdin_stall: second,
        drain: second,
    }
}

fn loaded(ids: &[&str]) -> Loaded {
    Loaded {
        servers: ids.iter().map(|id| server(id)).collect(),
        shared: ids.iter().map(|id| id.parse().unwrap()).collect(),
        warnings: vec!["notes: a folder in PATH is writable by others".to_owned()],
        base_url: "http://127.0.0.1:7411".to_owned(),
        state_dir: None,
        base_url_doubts: Vec::new(),
    }
}

/// `notes` is fine, `slow` never ends, all others fail. Remembers what was stopped.
#[derive(Default)]
struct Scripted {
    stopped: Mutex<BTreeSet<ServerId>>,
}

impl Prober for Scripted {
    async fn probe(&self, server: &Config) -> Outcome {
        match server.id.as_str() {
            "notes" => {
                tokio::time::sleep(Duration::from_millis(1200)).await;
                Outcome::Ok {
                    tools: Some(3),
                    protocol: Some("2025-11-25".to_owned()),
                }
            }
            "slow" => std::future::pending().await,
            _ => Outcome::Failed {
                reason: "exited with code 1 before the handshake".to_owned(),
                stderr_tail: vec!["\u{1b}[31mno such module\u{1b}[0m".to_owned()],
            },
        }
    }

    async fn eras(&self, _server: &Config) -> KnownEras {
        tokio::time::sleep(Duration::from_millis(300)).await;
        KnownEras::Found(EraFacts {
            legacy: Some(true),
            modern: Some(true),
            ..EraFacts::default()
        })
    }

    fn last_error(&self, _server: &ServerId) -> Option<String> {
        None
    }

    fn stderr_tail(&self, server: &ServerId) -> Vec<String> {
        vec![format!("{server} is downloading")]
    }

    async fn stop(&self, server: &ServerId) {
        lock(&self.stopped).insert(server.clone());
    }
}

async fn probed(ids: &[&str], limit: Option<Duration>) -> Report {
    let prober = Scripted::default();
    let report = start_all(Path::new("/c.json"), loaded(ids), limit, &prober).await;
    let stopped = lock(&prober.stopped);
    for server in &report.servers {
        let started = server.outcome != Outcome::Disabled;
        assert_eq!(stopped.contains(server.id.as_str()), started, "{server:?}");
    }
    report
}

fn plain(report: &Report) -> String {
    anstream::adapter::strip_str(&render::text(report)).to_string()
}

#[tokio::test(start_paused = true)]
async fn every_server_is_reported_in_the_order_of_the_file() {
    let report = probed(&["notes", "old", "broken"], None).await;
    insta::assert_snapshot!(plain(&report), @r#"
    SERVER  COMMAND  AUTOSTART  RESTART     RESULT
    notes   npx      yes        on-failure  ok, 3 tools, 1200 ms, MCP 2025-11-25, both eras
    old     npx      no         on-failure  disabled
    broken  npx      no         on-failure  failed: exited with code 1 before the handshake
        stderr: \u{1b}[31mno such module\u{1b}[0m
    warning: notes: a folder in PATH is writable by others
    hint: with clients of both eras, a server that knows both runs twice (notes); one that holds something exclusive (a device, a port, a browser profile) wants a pin: "era": "legacy" or "modern"
    1 of 3 servers failed
    "#);
    assert_eq!(report.exit(), Exit::Failed);
    assert_eq!(
        report.json(),
        json!({
            "ok": false,
            "config": "/c.json",
            "faults": [],
            "warnings": ["notes: a folder in PATH is writable by others"],
            "hint": "with clients of both eras, a server that knows both runs twice (notes); one that holds something exclusive (a device, a port, a browser profile) wants a pin: \"era\": \"legacy\" or \"modern\"",
            "servers": [
                {"server_id": "notes", "command": "npx", "autostart": true,
                 "restart_policy": "on-failure", "result": "ok", "tools": 3,
                 "protocol": "2025-11-25", "took_ms": 1200,
                 "eras": {"pinned": null, "legacy": true, "modern": true, "probe": null}},
                {"server_id": "old", "command": "npx", "autostart": false,
                 "restart_policy": "on-failure", "result": "disabled"},
                {"server_id": "broken", "command": "npx", "autostart": false,
                 "restart_policy": "on-failure", "result": "failed",
                 "reason": "exited with code 1 before the handshake",
                 "stderr_tail": ["\u{1b}[31mno such module\u{1b}[0m"], "took_ms": 0},
            ],
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_fails_at_the_deadline_and_holds_up_no_other() {
    let report = probed(&["slow", "notes"], Some(Duration::from_secs(5))).await;
    let outcomes: Vec<_> = report
        .servers
        .iter()
        .map(|server| &server.outcome)
        .collect();
    assert!(
        matches!(outcomes[..], [Outcome::Failed { reason, stderr_tail }, Outcome::Ok { .. }]
            if reason == "not done after 5000 ms" && stderr_tail[..] == ["slow is downloading"]),
        "{outcomes:?}"
    );
    assert_eq!(report.servers[1].took, Duration::from_millis(1200));
    let report = probed(&["slow"], None).await;
    assert_eq!(report.servers[0].took, Duration::from_secs(150));
}

#[test]
fn a_config_in_order_is_a_table_and_exit_0() {
    let report = Report::read(Path::new("/c.json"), loaded(&["notes", "old"]));
    insta::assert_snapshot!(plain(&report), @r#"
    SERVER  COMMAND  AUTOSTART  RESTART     RESULT
    notes   npx      yes        on-failure  not started
    old     npx      no         on-failure  disabled
    warning: notes: a folder in PATH is writable by others
    /c.json is in order: 2 servers
    "#);
    assert_eq!(report.exit(), Exit::Fine);
    assert_eq!(report.json()["servers"][0]["result"], "not_started");
}

#[test]
fn a_refused_config_shows_every_fault_and_exits_78() {
    let refused = |missing| Refused {
        faults: vec![
            "/c.json: bind_port (line 3): expected a number".to_owned(),
            "/c.json: servers[0].args (line 9): expected a list".to_owned(),
        ],
        warnings: vec!["servers[1].env.KEY (line 20): is not set".to_owned()],
        missing,
        unset_here: false,
    };
    let report = Report::refused(Path::new("/c.json"), refused(false));
    insta::assert_snapshot!(plain(&report), @r#"
    /c.json: bind_port (line 3): expected a number
    /c.json: servers[0].args (line 9): expected a list
    warning: servers[1].env.KEY (line 20): is not set
    /c.json is refused for 2 faults
    "#);
    assert_eq!(report.exit(), Exit::ConfigRefused);
    assert_eq!(report.json()["ok"], false);
    assert_eq!(report.json()["faults"].as_array().unwrap().len(), 2);
    let missing = plain(&Report::refused(Path::new("/c.json"), refused(true)));
    assert!(
        missing.contains("host-mcp-gateway init --import"),
        "{missing}"
    );
}

#[test]
fn on_macos_a_start_in_a_terminal_is_said_to_prove_little() {
    let note = note_on_rights("macos").unwrap();
    assert!(note.contains("rights of this terminal"), "{note}");
    assert_eq!(note_on_rights("linux"), None);
}

#[test]
fn servers_that_fail_beside_a_running_gateway_are_said_to_be_held_by_it() {
    let one = |outcome| {
        let loaded = loaded(&["notes"]);
        let server = ServerReport::of(&loaded.servers[0], outcome, Duration::from_millis(1));
        Report::started(Path::new("/c.json"), vec![server], Vec::new())
    };
    let failed = Outcome::Failed {
        reason: "exited with code 1".to_owned(),
        stderr_tail: Vec::new(),
    };
    let told = plain(&one(failed.clone()).beside(Some(7)));
    assert!(told.contains("is running (pid 7)"), "{told}");
    let fine = Outcome::Ok {
        tools: None,
        protocol: None,
    };
    for report in [one(failed).beside(None), one(fine).beside(Some(7))] {
        assert_eq!(plain(&report).matches("is running").count(), 0);
    }
}
