//! What `check` found, and its JSON form.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::eras::KnownEras;
use crate::cli::Exit;
use crate::cli::assembly::{Loaded, Refused};
use crate::supervisor;

/// The findings about one config file.
#[derive(Debug)]
pub(in crate::cli) struct Report {
    /// The file.
    pub(super) config: String,
    /// Why it is refused; empty if it is not.
    pub(super) faults: Vec<String>,
    /// There is no such file.
    pub(super) missing: bool,
    /// The servers in the order of the file; empty if it is refused.
    pub(super) servers: Vec<ServerReport>,
    /// What deserves a look.
    pub(super) warnings: Vec<String>,
    /// A key that an operator may want to set.
    pub(super) hint: Option<String>,
}

/// The findings about one server.
#[derive(Debug)]
pub(in crate::cli) struct ServerReport {
    pub(super) id: String,
    /// Without arguments, which may be secrets.
    pub(super) command: String,
    pub(super) autostart: bool,
    pub(super) restart_policy: &'static str,
    pub(super) outcome: Outcome,
    /// How long the outcome took; zero where nothing was started.
    pub(super) took: Duration,
    /// The eras that it knows, if its starts have shown them.
    pub(super) eras: Option<KnownEras>,
}

/// What became of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Outcome {
    /// Nothing was started: `--start` was not given.
    NotStarted,
    /// The config has `disabled: true`.
    Disabled,
    /// It shook hands and listed its tools.
    Ok {
        /// How many; `None` for a server without tools.
        tools: Option<usize>,
        /// The revision that was spoken with it.
        protocol: Option<String>,
    },
    /// It did not.
    Failed {
        /// Why, in one sentence.
        reason: String,
        /// The most telling lines of its stderr, oldest first.
        stderr_tail: Vec<String>,
    },
}

impl Outcome {
    /// That of a server which the config lets nobody start.
    pub(super) fn unstarted(server: &supervisor::Config) -> Option<Self> {
        if server.disabled {
            return Some(Self::Disabled);
        }
        server.refused.clone().map(|reason| Self::Failed {
            reason,
            stderr_tail: Vec::new(),
        })
    }

    /// The word in the report.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::NotStarted => "not started",
            Self::Disabled => "disabled",
            Self::Ok { .. } => "ok",
            Self::Failed { .. } => "failed",
        }
    }
}

impl ServerReport {
    pub(super) fn of(server: &supervisor::Config, outcome: Outcome, took: Duration) -> Self {
        Self {
            id: server.id.to_string(),
            command: server.launch.command.clone(),
            autostart: server.autostart,
            restart_policy: server.restart_policy.as_str(),
            outcome,
            took,
            eras: None,
        }
    }

    /// The same with the eras that were found.
    pub(super) fn knowing(self, eras: Option<KnownEras>) -> Self {
        Self { eras, ..self }
    }

    /// `{"server_id", "command", "autostart", "restart_policy", "result"}`, where `result` is `ok`,
    /// `failed`, `disabled` or `not_started`; `ok` adds `tools` (a number or null), `protocol`, `took_ms` and
    /// `eras` (see [`KnownEras::json`], or null), `failed` adds `reason`, `stderr_tail` and `took_ms`.
    fn json(&self) -> Value {
        let mut value = json!({
            "server_id": self.id,
            "command": self.command,
            "autostart": self.autostart,
            "restart_policy": self.restart_policy,
            "result": self.outcome.word().replace(' ', "_"),
        });
        let took_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let more = match &self.outcome {
            Outcome::NotStarted | Outcome::Disabled => json!({}),
            Outcome::Ok { tools, protocol } => {
                let eras = self.eras.map(KnownEras::json);
                json!({"tools": tools, "protocol": protocol, "took_ms": took_ms, "eras": eras})
            }
            Outcome::Failed {
                reason,
                stderr_tail,
            } => {
                json!({"reason": reason, "stderr_tail": stderr_tail, "took_ms": took_ms})
            }
        };
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    }
}

impl Report {
    /// The file is refused.
    pub(super) fn refused(config: &Path, refused: Refused) -> Self {
        Self {
            config: config.display().to_string(),
            faults: refused.faults,
            missing: refused.missing,
            servers: Vec::new(),
            warnings: refused.warnings,
            hint: None,
        }
    }

    /// The file is in order; nothing was started.
    pub(super) fn read(config: &Path, loaded: Loaded) -> Self {
        let Loaded {
            servers,
            warnings,
            state_dir: _,
            shared: _,
            base_url: _,
            base_url_doubts: _,
        } = loaded;
        let reports = servers.iter().map(|server| {
            let outcome = Outcome::unstarted(server).unwrap_or(Outcome::NotStarted);
            ServerReport::of(server, outcome, Duration::ZERO)
        });
        Self::started(config, reports.collect(), warnings)
    }

    /// The file is in order, and this became of its servers.
    pub(super) fn started(
        config: &Path,
        servers: Vec<ServerReport>,
        warnings: Vec<String>,
    ) -> Self {
        Self {
            config: config.display().to_string(),
            faults: Vec::new(),
            missing: false,
            servers,
            warnings,
            hint: None,
        }
    }

    /// The same with a hint.
    pub(super) fn hinting(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same with what is to be said of servers that failed beside a gateway of this config, which runs as this process.
    pub(super) fn beside(mut self, gateway: Option<u32>) -> Self {
        if let Some(pid) = gateway.filter(|_| self.failed() > 0) {
            self.warnings.push(format!(
                "a gateway with this config is running (pid {pid}): what a server wants for itself alone (a port, a lock, a \
                 profile folder) may be held by that gateway's process of it, which is why a second one fails here; stop it \
                 with POST /servers/ID/stop, or stop the gateway, and check again"
            ));
        }
        self
    }

    /// How many servers failed.
    pub(super) fn failed(&self) -> usize {
        let failed = |server: &&ServerReport| matches!(server.outcome, Outcome::Failed { .. });
        self.servers.iter().filter(failed).count()
    }

    /// 78 for a refused file, 1 for a failed server, else 0.
    pub(super) fn exit(&self) -> Exit {
        if !self.faults.is_empty() {
            Exit::ConfigRefused
        } else if self.failed() > 0 {
            Exit::Failed
        } else {
            Exit::Fine
        }
    }

    /// `{"ok": bool, "config": path, "faults": [text], "warnings": [text], "hint": text, "servers": [server]}`;
    /// `ok` says the same as exit code 0. See [`ServerReport::json`] for a server.
    pub(super) fn json(&self) -> Value {
        let servers: Vec<Value> = self.servers.iter().map(ServerReport::json).collect();
        json!({
            "ok": self.exit() == Exit::Fine,
            "config": self.config,
            "faults": self.faults,
            "warnings": self.warnings,
            "hint": self.hint,
            "servers": servers,
        })
    }
}
