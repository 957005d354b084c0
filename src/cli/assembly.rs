//! The doors from the command line to the floor below, each in one place.
//!
//! What is behind a door that is not connected in a build says so and fails; nothing pretends.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use super::check::Prober;
use super::check::report::Outcome;
use super::exit::Exit;
use crate::supervisor;
use crate::types::ServerId;

/// What the command line wants to know of a config file that is in order.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The servers, in the order of the file.
    pub(super) servers: Vec<supervisor::Config>,
    /// What deserves a look, one line each; never a secret.
    pub(super) warnings: Vec<String>,
    /// Where clients reach the gateway, such as `http://127.0.0.1:7411`.
    pub(super) base_url: String,
}

/// Why a config file was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Every fault, one line each, with the file's name; never a secret.
    pub(super) faults: Vec<String>,
    /// There is no such file.
    pub(super) missing: bool,
}

/// A part of the program that this build does not have.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not part of this build")]
struct NotConnected(&'static str);

/// Reads and checks a config file.
pub(super) fn load(path: &Path) -> Result<Loaded, Refused> {
    let fault = NotConnected("the config loader");
    Err(Refused {
        faults: vec![format!("{}: {fault}", path.display())],
        missing: !path.exists(),
    })
}

/// The JSON Schema of the config file.
pub(super) fn schema() -> anyhow::Result<String> {
    Err(NotConnected("the config schema").into())
}

/// Runs the gateway with this config file until it is told to stop.
pub(super) fn run(_config: &Path) -> anyhow::Result<Exit> {
    Err(NotConnected("the daemon").into())
}

/// Runs the gateway with a config that exists in memory only; `ready` is called once, when the gateway
/// listens.
pub(super) fn demo(
    _config: &str,
    _ready: &mut dyn FnMut(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    Err(NotConnected("the daemon").into())
}

/// Starts servers through the supervisor, for `check --start`.
#[derive(Debug)]
pub(super) struct SupervisedProber;

impl Prober for SupervisedProber {
    async fn probe(&self, _server: &supervisor::Config) -> Outcome {
        Outcome::Failed {
            reason: NotConnected("the supervisor").to_string(),
            stderr_tail: Vec::new(),
        }
    }

    fn stderr_tail(&self, _server: &ServerId) -> Vec<String> {
        Vec::new()
    }

    async fn stop(&self, _server: &ServerId) {}
}

/// Runs the guard of one server; `args` are the command line after the verb.
pub fn guard(_args: impl Iterator<Item = OsString>) -> ExitCode {
    super::terminal::complain(&NotConnected("the guard").to_string());
    Exit::Failed.into()
}
