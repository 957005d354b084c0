//! The verbs of the command line that end by themselves: they do what their help says, with the exit codes it names.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{cli, places};

const VERBS: [&str; 9] = [
    "run",
    "demo",
    "init",
    "check",
    "status",
    "token",
    "client-config",
    "schema",
    "completions",
];

#[test]
fn init_writes_a_private_config_that_check_passes() {
    let home = tempfile::tempdir().unwrap();
    let first = cli::run(home.path(), &["init"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let config = home.path().join(".config/host-mcp-gateway/config.json");
    let mode = std::fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");

    let checked = cli::run(home.path(), &["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let started = cli::run(home.path(), &["check", "--start", "--output", "json"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let report: Value = serde_json::from_str(&started.stdout).unwrap();
    assert_eq!(report["servers"][0]["result"], "ok", "{report}");

    let text = std::fs::read_to_string(&config).unwrap();
    let again = cli::run(home.path(), &["init"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert_eq!(
        std::fs::read_to_string(&config).unwrap(),
        text,
        "the first config is kept"
    );
    let forced = cli::run(home.path(), &["init", "--force"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert_ne!(
        std::fs::read_to_string(&config).unwrap(),
        text,
        "the token is a fresh one"
    );
}

#[test]
fn schema_prints_the_shipped_file() {
    let home = tempfile::tempdir().unwrap();
    let ended = cli::run(home.path(), &["schema"]);
    let shipped = places::repository().join("config/host-mcp-gateway.schema.json");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, std::fs::read_to_string(shipped).unwrap());
}

#[test]
fn every_verb_has_help_and_is_in_the_list() {
    let home = tempfile::tempdir().unwrap();
    let all = cli::run(home.path(), &["--help"]);
    assert_eq!(all.code, Some(0), "{all:?}");
    let listed: Vec<&str> = all
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert_eq!(listed, VERBS, "{}", all.stdout);
    for verb in VERBS {
        let help = cli::run(home.path(), &[verb, "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{verb}");
        assert!(
            help.stdout.contains(&format!("host-mcp-gateway {verb}")),
            "{help:?}"
        );
        assert_eq!(help, cli::run(home.path(), &["help", verb]), "{verb}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["dance"][..],
        &["check", "--dance"],
        &["run", "--token", "hunter2"],
    ] {
        let ended = cli::run(home.path(), arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{ended:?}"
        );
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    }
}

#[test]
fn a_config_that_is_not_there_is_refused_with_the_way_out() {
    let home = tempfile::tempdir().unwrap();
    for verb in ["run", "check"] {
        let ended = cli::run(home.path(), &[verb]);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let told = ended.stdout + &ended.stderr;
        assert!(
            told.contains("there is no such file") && told.contains("host-mcp-gateway init"),
            "{told}"
        );
    }
}
