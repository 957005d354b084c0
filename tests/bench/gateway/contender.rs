//! What is measured: the gateway with everything on, and the floor beside it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::load::{Endpoint, Shape, Speaks, Tool, one_call};
use super::process::{Running, Watched, free_port};

/// The token that the load source presents.
const TOKEN: &str = "bench-41f0c3d2a9b84e7c95d6e8f70a1b2c3d";
/// The server of the legacy era, and the one of 2026-07-28.
pub(crate) const LEGACY: &str = "legacy";
pub(crate) const MODERN: &str = "modern";
/// From listening to the first right answer.
const READY: Duration = Duration::from_mins(1);

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) gateway: PathBuf,
    /// This program, which plays the child and the floor too.
    pub(crate) bench: PathBuf,
}

/// A gateway to be.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    config: Value,
    variables: Vec<(String, String)>,
    /// The program that runs the gateway, with its arguments; none where it runs by itself.
    under: Vec<OsString>,
}

/// Something that listens, with its folder.
#[derive(Debug)]
pub(crate) struct Contender {
    running: Running,
    address: SocketAddr,
    bearer: String,
    folder: tempfile::TempDir,
}

impl Setup {
    /// A gateway with a server of each era.
    pub(crate) fn new(programs: &Programs) -> Self {
        Self::one(programs).server(programs, MODERN, &["stub", "--modern"])
    }

    /// A gateway with one server, of the legacy era: token, allowlist, limits, metrics and logs are on.
    ///
    /// Limits are as by default where they do not bound what a benchmark does on purpose.
    pub(crate) fn one(programs: &Programs) -> Self {
        let config = json!({
            "bind_host": "127.0.0.1",
            "auth_token": TOKEN,
            "allowed_clients": ["127.0.0.0/8"],
            "log": {"level": "info", "format": "json"},
            "limits": {
                "max_connections": 20_000,
                "max_connections_per_ip": 20_000,
                "max_in_flight_per_token": 2048,
                "max_in_flight": 2048,
                "max_queue": 2048,
            },
            "servers": [],
        });
        let (variables, under) = (Vec::new(), Vec::new());
        let setup = Self {
            config,
            variables,
            under,
        };
        setup.server(programs, LEGACY, &["stub"])
    }

    /// One more server.
    pub(crate) fn server(mut self, programs: &Programs, id: &str, arguments: &[&str]) -> Self {
        let entry = json!({
            "server_id": id,
            "command": programs.bench,
            "args": arguments,
            "autostart": true,
        });
        if let Some(servers) = self.config.get_mut("servers").and_then(Value::as_array_mut) {
            servers.push(entry);
        }
        self
    }

    /// So many tokens; the load source presents the last.
    pub(crate) fn tokens(mut self, count: usize) -> Self {
        let others =
            (1..count).map(|number| format!("other-{number}-of-the-tokens-5d6e8f70a1b2c3d"));
        let tokens = others
            .chain([TOKEN.to_owned()])
            .enumerate()
            .map(|(number, token)| {
                let sha256 = hex::encode(Sha256::digest(token));
                json!({"name": format!("holder{number}"), "sha256": sha256})
            });
        if let Some(config) = self.config.as_object_mut() {
            config.remove("auth_token");
        }
        let tokens: Value = tokens.collect();
        self.set("tokens", tokens)
    }

    /// Sets a key of the config.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Some(config) = self.config.as_object_mut() {
            config.insert(key.to_owned(), value.into());
        }
        self
    }

    /// Sets one of `limits`.
    pub(crate) fn limit(mut self, key: &str, value: u64) -> Self {
        if let Some(limits) = self.config.get_mut("limits").and_then(Value::as_object_mut) {
            limits.insert(key.to_owned(), value.into());
        }
        self
    }

    /// A variable of the gateway's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has another program run the gateway: its words, before the gateway's own.
    pub(crate) fn under(mut self, words: impl IntoIterator<Item = OsString>) -> Self {
        self.under = words.into_iter().collect();
        self
    }

    /// Starts it, and waits until its first server answers.
    pub(crate) async fn start(self, programs: &Programs) -> anyhow::Result<Contender> {
        let contender = self.listen(programs).await?;
        contender
            .answers(&contender.endpoint(LEGACY, Speaks::Rpc))
            .await?;
        Ok(contender)
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn listen(self, programs: &Programs) -> anyhow::Result<Contender> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let file = folder.path().join("config.json");
        let Self {
            config,
            variables,
            under,
        } = self.set("bind_port", port);
        write(&file, &config)?;
        let mut words = under.into_iter().chain([programs.gateway.clone().into()]);
        let mut command = command(Path::new(&words.next().unwrap_or_default()));
        command
            .args(words)
            .arg("--config")
            .arg(&file)
            .env_clear()
            .envs(variables);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", folder.path())
            .current_dir(folder.path());
        Contender::start(&mut command, port, folder).await
    }
}

impl Contender {
    /// The floor in front of the child, on so many threads.
    pub(crate) async fn floor(programs: &Programs, threads: usize) -> anyhow::Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let mut command = command(&programs.bench);
        command.args([
            "floor",
            "--port",
            &port.to_string(),
            "--threads",
            &threads.to_string(),
            "--",
        ]);
        command.arg(&programs.bench).arg("stub");
        let floor = Self::start(&mut command, port, folder).await?;
        floor.answers(&floor.whole()).await?;
        Ok(floor)
    }

    async fn start(
        command: &mut Command,
        port: u16,
        folder: tempfile::TempDir,
    ) -> anyhow::Result<Self> {
        let log = folder.path().join("log");
        let mut running = Running::start(command, &log)?;
        running.listens(port, &log).await?;
        Ok(Self {
            running,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            bearer: TOKEN.to_owned(),
            folder,
        })
    }

    /// An endpoint of the gateway.
    pub(crate) fn endpoint(&self, server: &str, speaks: Speaks) -> Endpoint {
        let door = if speaks == Speaks::Rpc { "rpc" } else { "mcp" };
        self.at(&format!("/{server}/{door}"), speaks)
    }

    /// The one endpoint of the floor.
    pub(crate) fn whole(&self) -> Endpoint {
        self.at("/rpc", Speaks::Rpc)
    }

    fn at(&self, path: &str, speaks: Speaks) -> Endpoint {
        let Self {
            address, bearer, ..
        } = self;
        Endpoint {
            address: *address,
            path: path.to_owned(),
            bearer: bearer.clone(),
            speaks,
        }
    }

    pub(crate) fn watched(&self) -> Watched {
        self.running.watched()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(self, patience: Duration) -> anyhow::Result<()> {
        self.running.end(patience).await
    }

    /// Waits for the first right answer.
    pub(crate) async fn answers(&self, endpoint: &Endpoint) -> anyhow::Result<()> {
        let shape = Shape::new(Tool::Echo, 0, endpoint.speaks == Speaks::Modern);
        let end = Instant::now() + READY;
        while let Err(error) = one_call(endpoint, &shape).await {
            if Instant::now() > end {
                let log =
                    std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let tail = log.lines().rev().take(5).collect::<Vec<_>>().join("\n");
                return Err(error).with_context(|| {
                    format!("{} is not ready; its log ends with\n{tail}", endpoint.path)
                });
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark starts what it measures"
)]
fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Writes a config that only its owner can read, as the gateway demands.
fn write(file: &Path, config: &Value) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    std::io::Write::write_all(&mut file, config.to_string().as_bytes())?;
    Ok(())
}
