//! What `check` finds, what it exits with, and that `run` refuses the same file in the same words.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fleet::{BROKEN, Ground, TOOLS};
use crate::support::cli;

const FAILED: Option<i32> = Some(1);
const REFUSED: Option<i32> = Some(78);

/// A config with five faults, each of another kind, and a server that lacks a variable, which is a warning. `HMG_MISSING`
/// stands in no environment of these tests.
const SIX_FINDINGS: &str = r#"{
  "bind_prot": 7411,
  "auth_token": "a-token-that-is-long-enough-for-a-test",
  "allowed_clients": ["10.0.0.300"],
  "request_timeout_ms": "soon",
  "servers": [
    {"server_id": "health", "command": "/bin/cat"},
    {
      "server_id": "second",
      "command": "/bin/cat",
      "args": ["${HMG_MISSING}"],
      "restart_policy": "allways"
    }
  ]
}
"#;

/// Each finding of [`SIX_FINDINGS`], the warning last: its place without the line, a text that stands on that line, and what
/// is said of it.
const FINDINGS: [(&str, &str, &str); 6] = [
    ("bind_prot", "bind_prot", "bind_port"),
    ("allowed_clients[0]", "10.0.0.300", "10.0.0.300"),
    ("request_timeout_ms", "soon", "expected"),
    ("servers[0].server_id", "health", "health-server"),
    (
        "servers[1].restart_policy",
        "allways",
        "always, on-failure or never",
    ),
    ("servers[1].args[0]", "HMG_MISSING", "HMG_MISSING"),
];

fn write_private(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("config.json");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn line_of(part: &str) -> usize {
    1 + SIX_FINDINGS
        .lines()
        .position(|line| line.contains(part))
        .unwrap()
}

#[test]
fn check_start_names_the_one_bad_server_and_its_cause() {
    let ground = Ground::new();
    let config = ground.builder().write(ground.path());
    let ended = cli::run(
        ground.path(),
        &["--config", config.to_str().unwrap(), "check", "--start"],
    );
    assert_eq!(ended.code, FAILED, "{ended:?}");
    let line = |server_id: &str| {
        let mut lines = ended
            .stdout
            .lines()
            .filter(|line| line.starts_with(server_id));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no line of {server_id} in {ended:?}"));
        assert_eq!(lines.next(), None, "{server_id} has two lines");
        line
    };
    for (server_id, tools) in TOOLS {
        assert!(
            line(server_id).contains(&format!(" ok, {tools} tools, ")),
            "{ended:?}"
        );
    }
    let broken = line(BROKEN);
    assert!(
        broken.contains(" failed after ") && broken.contains("code 3"),
        "{broken}"
    );
    let stderr: Vec<&str> = ended
        .stdout
        .lines()
        .filter_map(|line| line.trim().strip_prefix("stderr: "))
        .collect();
    assert_eq!(stderr, ["cannot find my licence", "giving up"], "{ended:?}");
    assert_eq!(
        ended.stdout.lines().last(),
        Some("1 of 6 servers failed"),
        "{ended:?}"
    );
    assert!(
        !ended.stdout.contains('\x1b'),
        "colours without a terminal: {ended:?}"
    );
}

#[test]
fn check_start_says_the_same_in_json() {
    let ground = Ground::new();
    let config = ground.builder().write(ground.path());
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "check",
        "--start",
        "--output",
        "json",
    ];
    let ended = cli::run(ground.path(), &arguments);
    assert_eq!(ended.code, FAILED, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 6, "{report}");
    for (server, (server_id, tools)) in servers.iter().zip(TOOLS) {
        let found = (&server["server_id"], &server["result"], &server["tools"]);
        assert_eq!(
            found,
            (&json!(server_id), &json!("ok"), &json!(tools)),
            "{server}"
        );
    }
    let broken = &servers[5];
    assert_eq!(
        (&broken["server_id"], &broken["result"]),
        (&json!(BROKEN), &json!("failed"))
    );
    assert!(
        broken["reason"].as_str().unwrap().contains("code 3"),
        "{broken}"
    );
    assert_eq!(
        broken["stderr_tail"],
        json!(["cannot find my licence", "giving up"])
    );
}

#[test]
fn six_findings_are_told_at_once_with_their_lines_and_run_tells_the_same() {
    let home = tempfile::tempdir().unwrap();
    let config = write_private(home.path(), SIX_FINDINGS);
    let config = config.to_str().unwrap();
    let checked = cli::run(home.path(), &["--config", config, "check"]);
    assert_eq!(checked.code, REFUSED, "{checked:?}");
    let told: Vec<&str> = checked
        .stdout
        .lines()
        .filter(|line| line.contains("(line "))
        .collect();
    assert_eq!(told.len(), FINDINGS.len(), "{checked:?}");
    for (line, (place, part, said)) in told.iter().zip(FINDINGS) {
        let place = format!("{place} (line {}): ", line_of(part));
        assert!(
            line.contains(&place) && line.contains(said),
            "{place:?}, {said:?} in {line}"
        );
    }

    let arguments = ["--config", config, "check", "--output", "json"];
    let in_json = cli::run(home.path(), &arguments);
    assert_eq!(in_json.code, REFUSED, "{in_json:?}");
    let report: Value = serde_json::from_str(&in_json.stdout).unwrap();
    let count = |key: &str| report[key].as_array().map(Vec::len);
    let counts = (count("faults"), count("warnings"));
    assert_eq!(counts, (Some(FINDINGS.len() - 1), Some(1)), "{report}");

    for verb in [&["--config", config, "run"][..], &["--config", config]] {
        let run = cli::run(home.path(), verb);
        assert_eq!((run.code, run.stdout.as_str()), (REFUSED, ""), "{run:?}");
        for line in &told {
            assert!(run.stderr.contains(line), "{line} in {run:?}");
        }
    }
}

#[test]
fn a_fault_shows_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let text = SIX_FINDINGS.replace("7411", "\"a-token-that-is-long-enough-for-a-test\"");
    let config = write_private(home.path(), &text);
    let ended = cli::run(
        home.path(),
        &["--config", config.to_str().unwrap(), "check"],
    );
    assert_eq!(ended.code, REFUSED, "{ended:?}");
    assert!(!format!("{ended:?}").contains("long-enough"), "{ended:?}");
}
