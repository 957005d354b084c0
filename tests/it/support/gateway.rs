//! A gateway: the real binary with a config of the test's own, on a port of its own, and gone at the end.

mod config;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::client::Client;
use super::journal::Journal;
use super::logs::Logs;
use super::places::{self, MARKER};
use super::process::{self, Footprint, Process, kill_marked};
use super::wait::{blocks_until, wait_for};

pub(crate) use config::{ALICE, Builder, TOKEN, WITHOUT_RIGHTS};

/// From the start of the process to "listening", on a loaded machine.
const START: Duration = Duration::from_secs(20);
/// From the death of the gateway to the end of its last descendant (invariant I11).
const ORPHANS: Duration = Duration::from_secs(3);

/// A gateway that ended before it listened.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// A running gateway. Dropping it kills it, and fails the test if a process of it is left 3 seconds later.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    logs: Logs,
    output: Logs,
    marker: String,
    forgives_strays: bool,
    launch: Launch,
    folder: tempfile::TempDir,
}

/// The command line of a gateway up to its config, and the variables of its own.
#[derive(Debug)]
struct Launch {
    command: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Launch {
    /// Starts the gateway with the config in a folder.
    fn spawn(&self, folder: &Path, marker: &str, stderr: Stdio) -> Child {
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .arg("--config")
            .arg(folder.join(config::FILE))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env(MARKER, marker)
            .envs(process::plain_unix())
            .envs(self.variables.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("start the gateway")
    }
}

impl Gateway {
    /// A gateway on loopback with one token and no servers yet.
    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client with the token.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, Some(TOKEN))
    }

    /// A client with another token, or with none.
    pub(crate) fn client_with(&self, token: Option<&str>) -> Client {
        Client::new(self.address, token)
    }

    /// One of the two people of [`Builder::people`].
    pub(crate) fn alice(&self) -> Client {
        self.client_with(Some(ALICE))
    }

    /// The other one.
    pub(crate) fn bob(&self) -> Client {
        self.client_with(Some(config::BOB))
    }

    /// What it logged.
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// What it wrote to stdout.
    pub(crate) fn output(&self) -> &Logs {
        &self.output
    }

    /// Where its config and its journals are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder().join(config::FILE)
    }

    /// Changes the config file, for a reload.
    pub(crate) fn rewrite_config(&self, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read_to_string(self.config_path()).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        config::write(&self.config_path(), &config);
    }

    /// What a gremlin behind it read.
    pub(crate) fn journal(&self, server_id: &str) -> Journal {
        Journal::new(super::server::journal_path(self.folder(), server_id))
    }

    /// What it holds; `None` where the system does not tell.
    pub(crate) fn footprint(&self) -> Option<Footprint> {
        process::footprint(self.pid())
    }

    /// Every process of it and its servers, itself included.
    pub(crate) fn family(&self) -> Vec<Process> {
        let mut family = process::marked(&self.marker);
        // Its environment, in which the marker is, may be closed to the test.
        let own = process::find(self.pid()).filter(|own| own.state != 'Z');
        if let Some(own) = own.filter(|own| family.iter().all(|member| member.pid != own.pid)) {
            family.insert(0, own);
        }
        family
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the gateway's end", deadline, async || {
            child.try_wait().unwrap()
        })
        .await
    }

    /// Stops it as a service manager does, waits, and checks that nothing of it is left.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended(Duration::from_secs(30)).await
    }

    /// Ends it by this signal, changes its config, and starts it again on the port that it had.
    pub(crate) async fn restart(&mut self, by: Signal, change: impl FnOnce(&mut Value)) {
        let port = self.address.port();
        self.rewrite_config(|config| {
            config["bind_port"] = port.into();
            change(config);
        });
        self.signal(by);
        self.ended(Duration::from_secs(30)).await;
        let mut child = self
            .launch
            .spawn(self.folder.path(), &self.marker, Stdio::piped());
        self.logs = child.stderr.take().map(Logs::collect).unwrap();
        self.output = Logs::collect(child.stdout.take().unwrap());
        self.child = child;
        let refusal = self.learn_address();
        assert!(refusal.is_none(), "not started again: {refusal:?}");
    }

    fn start(mut builder: Builder) -> (Self, Option<Refusal>) {
        let folder = tempfile::tempdir().unwrap();
        let marker = places::new_marker();
        let (forgives_strays, variables) = (builder.forgives_strays, builder.variables.clone());
        let mut command = builder.run_by.clone();
        command.push(places::gateway().to_str().expect("UTF-8").to_owned());
        let launch = Launch { command, variables };
        let (address, stderr) = (builder.address(), builder.stderr.take());
        let file = folder.path().join(config::FILE);
        config::write(&file, &builder.into_config(folder.path(), &marker));
        let stderr = stderr.unwrap_or_else(Stdio::piped);
        let mut child = launch.spawn(folder.path(), &marker, stderr);
        let logs = child.stderr.take().map(Logs::collect);
        let tells = logs.is_some();
        let output = Logs::collect(child.stdout.take().unwrap());
        let mut gateway = Self {
            child,
            address,
            logs: logs.unwrap_or_default(),
            output,
            marker,
            forgives_strays,
            launch,
            folder,
        };
        if !tells {
            let listens = blocks_until(START, || TcpStream::connect(address).is_ok());
            assert!(listens, "not listening on {address} after {START:?}");
            return (gateway, None);
        }
        let refusal = gateway.learn_address();
        (gateway, refusal)
    }

    /// Waits until it says where it listens, or ends.
    fn learn_address(&mut self) -> Option<Refusal> {
        let mut refusal = None;
        let settled = blocks_until(START, || {
            let ended = self.child.try_wait().unwrap();
            if let Some(event) = self.logs.events("listening").first() {
                let address = event["address"]
                    .as_str()
                    .and_then(|address| address.parse().ok());
                self.address = address.unwrap_or_else(|| panic!("no address in {event}"));
                return true;
            }
            // The end of the process is seen before the last of what it wrote.
            let ended = ended.filter(|_| self.logs.is_complete());
            refusal = ended.map(|status| Refusal {
                status,
                stderr: self.logs.text(),
            });
            refusal.is_some()
        });
        assert!(settled, "neither listening nor ended after {START:?}");
        refusal
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let alone = self.forgives_strays || blocks_until(ORPHANS, || self.family().is_empty());
        let killed = kill_marked(&self.marker);
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}\n---", self.logs.text());
        } else {
            assert!(alone, "alive {ORPHANS:?} after their gateway: {killed:?}");
        }
    }
}
