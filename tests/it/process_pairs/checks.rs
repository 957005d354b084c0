//! `check --start`: which eras each server knows.

use super::*;
use crate::support::cli;

/// Each server says which eras it knows and how it took the probe where it did not answer; the ones that may run twice
/// are named in one hint.
#[test]
fn check_says_which_eras_each_server_knows() {
    let folder = tempfile::tempdir().unwrap();
    let gremlin = |id: &str, orders: &Value| Server::gremlin(id).orders(orders);
    let silent = gremlin("silent", &json!({"silent_probe": true}));
    let silent = silent.set("limits", json!({"era_probe_ms": 300}));
    let config = Gateway::builder()
        .server(gremlin("old", &json!({"era": "legacy"})))
        .server(gremlin("new", &json!({"era": "modern"})))
        .server(gremlin("dual", &json!({"era": "dual"})))
        .server(gremlin("own", &json!({"era": "dual"})).set("instance", "session"))
        .server(gremlin("pinned", &json!({"era": "dual"})).set("era", "modern"))
        .server(gremlin("strict", &json!({"fail_probe": "exit"})))
        .server(silent)
        .server(Server::time("time"))
        .server(Server::everything("everything"))
        .write(folder.path());
    let check = |more: &[&str]| {
        let arguments = [
            &["--config", config.to_str().unwrap(), "check", "--start"],
            more,
        ];
        cli::run(folder.path(), &arguments.concat())
    };
    let told = check(&["--output", "json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let expected = [
        ("old", json!([null, true, false, null])),
        ("new", json!([null, false, true, null])),
        ("dual", json!([null, true, true, null])),
        ("own", json!([null, true, true, null])),
        ("pinned", json!(["modern", null, null, null])),
        ("strict", json!([null, true, false, "died"])),
        ("silent", json!([null, true, false, "silent"])),
        ("time", json!([null, true, true, null])),
        ("everything", json!([null, true, false, null])),
    ];
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers.len(), expected.len());
    for (server, (id, expected)) in servers.iter().zip(&expected) {
        let eras = &server["eras"];
        let found = ["pinned", "legacy", "modern", "probe"].map(|member| eras[member].clone());
        assert_eq!(
            (&server["server_id"], &json!(found)),
            (&json!(id), expected),
            "{server}"
        );
    }
    let hint = text(&report["hint"]);
    assert!(
        hint.contains("(dual, time)") && hint.contains("\"era\""),
        "{hint}"
    );

    let told = check(&["dual", "strict"]);
    let line = |start: &str| {
        let mut lines = told.stdout.lines();
        lines
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("no {start} in {told:?}"))
    };
    assert!(line("dual").ends_with(", both eras"), "{told:?}");
    assert!(
        line("strict").ends_with(", legacy era (ended at server/discover)"),
        "{told:?}"
    );
    assert!(line("hint: ").contains("(dual)"), "{told:?}");
    assert!(!check(&["old"]).stdout.contains("hint: "));
}
