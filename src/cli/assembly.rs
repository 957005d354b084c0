//! The doors from the command line to the floor below, each in one place.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use super::exit::Exit;
use super::terminal;
use crate::config::{self, Config, Env, Faults};
use crate::lifecycle::{self, Ended};
use crate::supervisor;

mod probe;

pub(super) use probe::SupervisedProber;

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

/// Reads and checks a config file.
pub(super) fn load(path: &Path) -> Result<Loaded, Refused> {
    let config = config::load(path, &Env::of_process()).map_err(|faults| refused(&faults))?;
    Ok(Loaded {
        base_url: format!("http://{}", config.http.bind),
        servers: config.servers,
        warnings: config.warnings,
    })
}

fn refused(faults: &Faults) -> Refused {
    Refused {
        faults: faults.to_string().lines().map(str::to_owned).collect(),
        missing: faults.is_missing(),
    }
}

/// The JSON Schema of the config file.
pub(super) fn schema() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&config::schema())?)
}

/// Runs the gateway with this config file until it is told to stop.
pub(super) fn run(path: &Path) -> anyhow::Result<Exit> {
    match config::load(path, &Env::of_process()) {
        Ok(config) => serve(config, |_address| Ok(())),
        Err(faults) => {
            terminal::complain(&faults.to_string());
            if faults.is_missing() {
                terminal::remark("write a first config with: host-mcp-gateway init");
            }
            Ok(Exit::ConfigRefused)
        }
    }
}

/// Runs the gateway with a config that exists in memory only; `ready` is called once, when the gateway
/// listens.
pub(super) fn demo(
    text: &str,
    ready: &mut dyn FnMut(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let config = config::from_text(text, Path::new("demo"), &Env::of_process())?;
    serve(config, ready)
}

fn serve(
    config: Config,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    match lifecycle::run(config, ready)? {
        Ended::AsAsked => Ok(Exit::Fine),
        Ended::Failed => Ok(Exit::Failed),
    }
}

/// Runs the guard of one server; `args` are the command line after the verb.
pub fn guard(args: impl Iterator<Item = OsString>) -> ExitCode {
    supervisor::guard::main(args)
}
