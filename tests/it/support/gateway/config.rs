//! The config that a test gives its gateway.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Gateway, Refusal};
use crate::support::places;
use crate::support::server::Server;

/// The token of every test gateway; a canary too: it must show up nowhere.
pub(crate) const TOKEN: &str = "canary-token-5bd1c4a7e0f24c1f9b3d8a6e";
/// The tokens of two people who share a gateway; see [`Builder::people`].
pub(crate) const ALICE: &str = "alice-7c1f9be03d5a48e2b6";
pub(super) const BOB: &str = "bob-e92d04c7a1836f5bb8";
/// The config's name in the gateway's folder.
pub(super) const FILE: &str = "config.json";

/// Starts a program of root's without what root may do to every process.
pub(crate) const WITHOUT_RIGHTS: [&str; 4] =
    ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];

/// A gateway to be.
#[derive(Debug)]
pub(crate) struct Builder {
    config: Value,
    servers: Vec<Server>,
    server_defaults: Vec<(String, Value)>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) forgives_strays: bool,
    pub(super) run_by: Vec<String>,
    pub(super) stderr: Option<Stdio>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let config = json!({
            "bind_host": "127.0.0.1",
            "bind_port": 0,
            "auth_token": TOKEN,
            "allowed_clients": ["127.0.0.1"],
            "log": {"level": "debug", "format": "json"},
            "limits": {},
        });
        Self {
            config,
            servers: Vec::new(),
            server_defaults: Vec::new(),
            variables: Vec::new(),
            forgives_strays: false,
            run_by: Vec::new(),
            stderr: None,
        }
    }

    /// Puts a server behind the gateway.
    pub(crate) fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// Sets a key of the config.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config[key] = value.into();
        self
    }

    /// Lets two people in beside whoever has the token with every right: [`Gateway::alice`] and
    /// [`Gateway::bob`].
    pub(crate) fn people(self) -> Self {
        let tokens = json!([{"name": "alice", "env": "ALICE"}, {"name": "bob", "env": "BOB"}]);
        self.set("tokens", tokens)
            .env("ALICE", ALICE)
            .env("BOB", BOB)
    }

    /// Takes a key out of the config.
    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.config.as_object_mut().unwrap().remove(key);
        self
    }

    /// Sets a key of `limits`.
    pub(crate) fn limit(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.config["limits"][key] = value.into();
        self
    }

    /// Sets a variable of the gateway's own environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Processes may outlive this gateway: for what only Linux can promise.
    pub(crate) fn forgives_strays(mut self) -> Self {
        self.forgives_strays = true;
        self
    }

    /// Has it started by another program, which must put it in its own place (as `prlimit` and `setpriv` do).
    pub(crate) fn run_by(mut self, command: &[&str]) -> Self {
        self.run_by = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Gives its log another place than [`Gateway::logs`]; needs a `bind_port`, which is not told then.
    pub(crate) fn stderr(mut self, sink: impl Into<Stdio>) -> Self {
        self.stderr = Some(sink.into());
        self
    }

    /// Where it will listen, if that is fixed.
    pub(super) fn address(&self) -> SocketAddr {
        let port = self.config["bind_port"].as_u64().unwrap_or_default();
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")))
    }

    /// Gateway and servers run without what root may do to every process, also where the test is root's.
    pub(crate) fn unprivileged(self) -> Self {
        if rustix::process::getuid().is_root() {
            self.run_by(&WITHOUT_RIGHTS)
        } else {
            self
        }
    }

    /// Short deadlines and small bounds, so that faults show within seconds.
    ///
    /// The longest run of delays before the restart limit is 0.1+0.2+0.4+0.8+1.6 s, ±20 %: well inside its window.
    pub(crate) fn fault_profile(self) -> Self {
        self.set("request_timeout_ms", 2000)
            .set("restart_backoff_ms", 100)
            .set("restart_backoff_max_ms", 1600)
            .set("restart_limit", json!({"count": 5, "window_ms": 10_000}))
            .limit("stdin_stall_ms", 1000)
            .limit("hold_ms", 500)
            .limit("term_grace_ms", 500)
            .limit("drain_ms", 500)
            .limit("max_line_bytes", 1_048_576)
            .limit("max_body_bytes", 262_144)
            .for_each_server("startup_timeout_ms", 2000)
            .for_each_server("stop_grace_ms", 200)
    }

    /// Sets a key of every server that does not set it itself.
    pub(crate) fn for_each_server(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.server_defaults.push((key.to_owned(), value.into()));
        self
    }

    /// Starts it; panics with its log when it does not come to listen.
    pub(crate) fn start(self) -> Gateway {
        match Gateway::start(self) {
            (gateway, None) => gateway,
            (_, Some(refusal)) => panic!("the gateway ended before it listened: {refusal:?}"),
        }
    }

    /// Starts what should refuse to start; panics when it listens.
    pub(crate) fn refusal(self) -> Refusal {
        match Gateway::start(self) {
            (_, Some(refusal)) => refusal,
            (gateway, None) => panic!("the gateway listens on {}", gateway.address()),
        }
    }

    /// Writes the config into a folder without starting anything, and gives its path.
    pub(crate) fn write(self, folder: &Path) -> PathBuf {
        let file = folder.join(FILE);
        write(&file, &self.into_config(folder, &places::new_marker()));
        file
    }

    pub(super) fn into_config(self, folder: &Path, marker: &str) -> Value {
        let mut config = self.config;
        let defaults = self.server_defaults;
        let servers = self.servers.into_iter();
        let entries: Vec<Value> = servers
            .map(|server| server.with_defaults(&defaults).into_entry(folder, marker))
            .collect();
        if config.get("servers").is_none() {
            config["servers"] = entries.into();
        }
        config
    }
}

/// Writes a config that only its owner can read, as the gateway demands.
pub(super) fn write(path: &Path, config: &Value) {
    let text = serde_json::to_string_pretty(config).unwrap();
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
}
