//! A configuration for the tests of this floor and of the one above.

use std::time::Duration;

use super::config::{
    BackoffConfig, Config, Launch, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy,
    StopConfig,
};

/// A server of the name `test` that can never be started, with times a person can multiply.
pub(crate) fn config() -> Config {
    Config {
        id: "test".parse().unwrap(),
        launch: Launch {
            command: "none".to_owned(),
            program: "/nonexistent/none".into(),
            args: Vec::new(),
            working_dir: None,
            env: Vec::new(),
        },
        autostart: false,
        disabled: false,
        restart_policy: RestartPolicy::OnFailure,
        backoff: BackoffConfig {
            first: Duration::from_millis(100),
            max: Duration::from_secs(10),
        },
        restart_limit: RestartLimit {
            count: 5,
            window: Duration::from_secs(10),
        },
        startup_timeout: Duration::from_secs(2),
        era_probe: Duration::from_millis(300),
        stop: StopConfig {
            grace: Duration::from_millis(200),
            term_grace: Duration::from_millis(500),
        },
        probe: ProbeConfig {
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(300),
            misses: 3,
        },
        requests: RequestConfig {
            timeout: Duration::from_secs(2),
            max: Duration::from_secs(5),
            hold: Duration::from_secs(1),
            max_in_flight: 4,
            max_queue: 8,
        },
        max_line_bytes: 1024,
        stdin_stall: Duration::from_secs(1),
    }
}
