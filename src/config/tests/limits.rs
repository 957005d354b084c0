//! Bounds and deadlines that nobody has to write down.

use std::time::Duration;

use super::{faults, loaded, with};

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
