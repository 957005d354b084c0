//! A configuration and a listener for the tests of this floor and of the one above.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::config::{
    BackoffConfig, Config, Launch, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy,
    StopConfig,
};
use super::handshake::Handshake;
use super::listener::Listener;
use crate::instruments::DropReason;
use crate::protocol::Envelope;
use crate::types::Incarnation;

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

/// A listener that writes down what it hears.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn note(&self, what: String) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(what);
    }

    /// What was heard since the last call, in its order.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Listener for Heard {
    fn notification(&self, method: &str, _line: &Bytes, _envelope: &Envelope) {
        self.note(format!("notification {method}"));
    }

    fn request(&self, method: &str, id: &[u8]) -> Bytes {
        let id = String::from_utf8_lossy(id);
        self.note(format!("request {method} {id}"));
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n").into()
    }

    fn dropped(&self, why: DropReason, bytes: usize) {
        self.note(format!("dropped {} {bytes}", why.as_str()));
    }

    fn ready(&self, incarnation: Incarnation, _handshake: &Handshake) {
        self.note(format!("ready {incarnation}"));
    }
}
