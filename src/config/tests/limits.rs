//! Bounds and deadlines that nobody has to write down.

use std::time::Duration;

use super::{TOKEN, faults, loaded, with};

/// H001, H002, H003, H005, H006 and H040: the numbers of the table are those of a file that names none.
#[test]
fn connections_have_the_published_deadlines_and_caps() {
    let config = loaded(&with(""));
    let limits = &config.http.limits;
    let seconds = Duration::from_secs;
    assert_eq!(limits.first_byte, seconds(10));
    assert_eq!(limits.headers, seconds(10));
    assert_eq!(limits.body, seconds(30));
    assert_eq!(limits.idle, seconds(75));
    assert_eq!(limits.max_connections, 1024);
    assert_eq!(limits.max_connections_per_ip, 256);
    assert_eq!(limits.max_body_bytes, 4 * 1024 * 1024);
    assert_eq!(config.http.admission.failed_auth_per_minute, 60);
}

#[test]
fn no_limit_can_be_switched_off() {
    for key in [
        "first_byte_ms",
        "headers_ms",
        "body_ms",
        "idle_ms",
        "max_connections",
        "max_connections_per_ip",
        "max_body_bytes",
        "failed_auth_per_minute",
    ] {
        let told = faults(&with(&format!(r#""limits": {{ "{key}": 0 }}"#)));
        assert!(told.contains(&format!("limits.{key} (line 1): ")), "{told}");
    }
}

#[test]
fn a_value_that_is_too_little_to_work_with_is_warned_of_with_the_smallest_useful_one() {
    let server = r#""startup_timeout_ms": 1, "limits": { "max_line_bytes": 10 }"#;
    let text = format!(
        r#"{{ "allowed_clients": ["localhost"], "auth_token": "{TOKEN}", "request_timeout_ms": 1,
            "limits": {{ "memory_bytes": 1, "max_body_bytes": 65536, "input_wait_ms": 5, "drain_ms": 5 }},
            "servers": [{{ "server_id": "s", "command": "sh", {server} }}] }}"#
    );
    let warnings = loaded(&text).warnings.join("\n");
    for (key, found, least) in [
        ("limits.memory_bytes", 1, 16_777_216),
        ("limits.input_wait_ms", 5, 1000),
        ("request_timeout_ms", 1, 100),
        ("servers[0].limits.max_line_bytes", 10, 65_536),
        ("servers[0].startup_timeout_ms", 1, 100),
    ] {
        let line = warnings.lines().find(|line| line.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("no {key} in {warnings}"));
        assert!(line.contains(&format!("is {found}, ")), "{line}");
        assert!(
            line.ends_with(&format!("smallest useful value is {least}")),
            "{line}"
        );
    }
    assert!(!warnings.contains("max_body_bytes"), "{warnings}");
    assert!(!warnings.contains("drain_ms"), "not to drain: {warnings}");
}
