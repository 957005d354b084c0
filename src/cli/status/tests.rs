//! The report for people, and the exit code.

use super::*;

fn server(id: &str, status: &str) -> Value {
    json!({"server_id": id, "status": status, "pid": 7, "uptime_seconds": 61, "restart_count": 0,
        "memory_bytes": 1_048_577, "last_error": null, "stderr_tail": ["a line"],
        "protocol": "2025-11-25"})
}

#[test]
fn the_exit_code_is_the_worst_of_what_is_wrong() {
    let (ok, degraded) = (json!({"status": "ok"}), json!({"status": "degraded"}));
    let servers = |words: &[&str]| {
        words
            .iter()
            .map(|word| server("s", word))
            .collect::<Vec<_>>()
    };
    assert_eq!(exit(&ok, &servers(&["ready", "stopped"])), Exit::Fine);
    assert_eq!(
        exit(&degraded, &servers(&["ready", "starting"])),
        Exit::NotReady
    );
    assert_eq!(
        exit(&degraded, &servers(&["starting", "backoff"])),
        Exit::Restarting
    );
    assert_eq!(
        exit(&degraded, &servers(&["backoff", "failed"])),
        Exit::ServerFailed
    );
}

#[test]
fn a_server_that_is_not_ready_says_why() {
    let health =
        json!({"status": "degraded", "version": "1.2.3", "pid": 42, "uptime_seconds": 90_000});
    let mut failed = server("b", "failed");
    failed["pid"] = Value::Null;
    failed["last_error"] = "exited with \u{1b}[31m code 3".into();
    let text = text("http://h:1", &health, &[server("a", "ready"), failed], &[]);
    let text = anstream::adapter::strip_str(&text).to_string();
    insta::assert_snapshot!(text, @r"
    degraded: version 1.2.3 on http://h:1, pid 42, up 1 d 1 h
      b is failed
    SERVER  STATUS  PROTOCOL    PID  UP         RESTARTS  MEMORY
    a       ready   2025-11-25  7    1 min 1 s  0         2 MiB
    b       failed  2025-11-25  -    1 min 1 s  0         2 MiB
        exited with \u{1b}[31m code 3
        stderr: a line
    ");
}

/// RF04
#[test]
fn a_refused_reload_a_needed_restart_and_servers_at_rest_are_told_apart() {
    let health = json!({"status": "degraded", "version": "1.2.3", "uptime_seconds": 1, "config": {
        "loaded_at": "2026-01-01T00:00:00.000Z",
        "refused": {"at": "2026-01-02T00:00:00.000Z", "faults": 1, "reasons": ["bind_prot (line 2): unknown key"]},
        "restart_needed": ["bind_port"],
    }});
    let at_rest = |id: &str, asleep: bool, disabled: bool| {
        let mut server = server(id, "stopped");
        (server["asleep"], server["disabled"]) = (asleep.into(), disabled.into());
        server["stderr_tail"] = json!([]);
        server
    };
    let servers = [
        at_rest("a", true, false),
        at_rest("b", false, false),
        at_rest("c", false, true),
    ];
    let text = text(
        "http://h:1",
        &health,
        &servers,
        &["c.json: args: wrong".to_owned()],
    );
    let text = anstream::adapter::strip_str(&text).to_string();
    insta::assert_snapshot!(text, @r"
    degraded: version 1.2.3 on http://h:1, up 1 s
      a reload at 2026-01-02T00:00:00.000Z was refused for 1 fault; the config of 2026-01-01T00:00:00.000Z stays in force
        bind_prot (line 2): unknown key
      the config file as it is now would be refused; the config of 2026-01-01T00:00:00.000Z is in force
        c.json: args: wrong
      restart needed: what has changed in bind_port takes effect when the gateway is restarted
      b is stopped
    SERVER  STATUS    PROTOCOL    PID  UP         RESTARTS  MEMORY
    a       asleep    2025-11-25  7    1 min 1 s  0         2 MiB
    b       stopped   2025-11-25  7    1 min 1 s  0         2 MiB
    c       disabled  2025-11-25  7    1 min 1 s  0         2 MiB
    ");
}

#[test]
fn each_process_of_a_server_that_has_several_is_shown() {
    let mut both = server("time", "ready");
    both["pid"] = Value::Null;
    both["protocol"] = Value::Null;
    let process = |key: Value, era: &str, protocol: Value, pid: u32| {
        json!({"instance_key": key, "era": era, "status": "ready", "pid": pid, "restart_count": 0,
            "uptime_seconds": 3, "memory_bytes": 1, "protocol": protocol})
    };
    both["instances"] = json!([
        process(Value::Null, "legacy", "2025-11-25".into(), 1234),
        process(Value::Null, "modern", Value::Null, 7),
    ]);
    let mut own = server("notes", "stopped");
    own["asleep"] = true.into();
    own["instances"] = json!([process("alice".into(), "legacy", "2025-06-18".into(), 8)]);
    let health = json!({"status": "ok", "version": "1.2.3", "uptime_seconds": 1});
    let text = text("http://h:1", &health, &[both, own], &[]);
    let text = anstream::adapter::strip_str(&text).to_string();
    insta::assert_snapshot!(text, @r"
    ok: version 1.2.3 on http://h:1, up 1 s
    SERVER    STATUS  PROTOCOL    PID   UP         RESTARTS  MEMORY
    time      ready   -           -     1 min 1 s  0         2 MiB
      legacy  ready   2025-11-25  1234  3 s        0         1 MiB
      modern  ready   -           7     3 s        0         1 MiB
    notes     asleep  2025-11-25  7     1 min 1 s  0         2 MiB
      alice   ready   2025-06-18  8     3 s        0         1 MiB
    ");
}

/// RC02: when a server that was given up is tried again, and nothing of the others where one is named.
#[test]
fn a_server_that_is_named_is_shown_alone_with_its_next_start() {
    let mut failed = server("b", "failed");
    failed["next_start_in_ms"] = 241_500.into();
    let servers = [server("a", "ready"), failed];
    let shown = chosen(&["b".to_owned()], &servers).unwrap();
    let health = json!({"status": "degraded", "version": "1.2.3", "uptime_seconds": 1});
    let text = text("http://h:1", &health, &shown, &[]);
    let text = anstream::adapter::strip_str(&text).to_string();
    assert!(text.contains("    next start in 4 min 2 s\n"), "{text}");
    assert!(!text.contains("\na "), "{text}");
    assert!(chosen(&["c".to_owned()], &servers).is_err());
}

#[test]
fn the_health_of_named_servers_is_theirs_alone() {
    let mut asleep = server("c", "stopped");
    asleep["asleep"] = true.into();
    for (servers, word, code) in [
        (vec![server("a", "ready"), asleep], "ok", Exit::Fine),
        (vec![server("b", "starting")], "degraded", Exit::NotReady),
        (vec![server("b", "failed")], "degraded", Exit::ServerFailed),
    ] {
        let mut health = json!({"status": "degraded"});
        only_of(&mut health, &servers);
        assert_eq!(health["status"], word);
        assert_eq!(exit(&health, &servers), code);
    }
}

#[test]
fn a_span_has_its_two_largest_units() {
    let spans = [0, 59, 61, 3_600, 90_061].map(span);
    assert_eq!(spans, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
}
