//! The client programs of `tests/clients`, each made of one SDK, and what a run of one tells.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::support::places::{self, MARKER};

/// What every program does, and reports.
const STEPS: [&str; 9] = [
    "connect",
    "tools",
    "prompts",
    "resources",
    "progress",
    "elicitation",
    "sampling",
    "cancel",
    "reconnect",
];
/// Ten times what a run takes on an idle machine; less than the test may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// An SDK in the version that the tests install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sdk {
    /// `@modelcontextprotocol/sdk` 1.32.2: legacy only.
    TypescriptV1,
    /// `@modelcontextprotocol/client` 2.4.0.
    TypescriptV2,
    /// `mcp` 1.30.0: legacy only.
    PythonV1,
    /// `mcp` 2.3.0.
    PythonV2,
    /// `rmcp` 3.9.0.
    Rmcp,
}

/// How an SDK comes to the revision that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It shakes hands.
    Legacy,
    /// It asks with `server/discover`, and shakes hands with a server that does not know that.
    Auto,
}

impl Sdk {
    pub(super) const ALL: [Self; 5] = [
        Self::TypescriptV1,
        Self::TypescriptV2,
        Self::PythonV1,
        Self::PythonV2,
        Self::Rmcp,
    ];

    /// The ways that it has.
    pub(super) fn ways(self) -> &'static [Way] {
        match self {
            Self::TypescriptV1 | Self::PythonV1 => &[Way::Legacy],
            Self::TypescriptV2 | Self::PythonV2 | Self::Rmcp => &[Way::Legacy, Way::Auto],
        }
    }

    fn command(self) -> Command {
        match self {
            Self::TypescriptV1 => node("v1.mjs"),
            Self::TypescriptV2 => node("v2.mjs"),
            Self::PythonV1 => python("client-python-v1", "v1.py"),
            Self::PythonV2 => python("client-python-v2", "v2.py"),
            Self::Rmcp => Command::new(places::rmcp_client()),
        }
    }

    /// Runs the program; `Err` tells which step failed and why, or that it spoke another revision than this.
    pub(super) async fn check(
        self,
        url: &str,
        token: &str,
        way: Way,
        revision: &str,
    ) -> Result<(), String> {
        let mut command = self.command();
        command
            .args([url, token])
            .arg(format!("{way:?}").to_lowercase())
            .env(MARKER, places::new_marker())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let about = |text: String| format!("{self:?} {way:?}: {text}");
        let output = match tokio::time::timeout(PATIENCE, command.output()).await {
            Ok(output) => output.map_err(|fault| about(format!("not started: {fault}")))?,
            Err(_) => return Err(about(format!("not done after {PATIENCE:?}"))),
        };
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_str(&stdout)
            .map_err(|fault| about(format!("{fault}: {stdout}{stderr}")))?;
        let as_it_should_be = STEPS.iter().all(|step| report["steps"][step] == "ok")
            && report["revision"] == revision
            && output.status.success();
        if as_it_should_be {
            return Ok(());
        }
        Err(about(format!("expected {revision}: {report}\n{stderr}")))
    }
}

/// A program of one of the TypeScript SDKs, in plain JavaScript.
fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(source(Path::new("typescript").join(program)))
        .env(
            "NODE_PATH",
            places::installed("client-typescript/node_modules"),
        );
    command
}

/// A program of one of the Python SDKs, in the environment with that SDK. It leaves no bytecode in the repository.
fn python(environment: &str, program: &str) -> Command {
    let interpreter = places::installed(&format!("{environment}/bin/python"));
    let mut command = Command::new(interpreter);
    command
        .arg("-B")
        .arg(source(Path::new("python").join(program)));
    command
}

pub(super) fn source(program: impl AsRef<Path>) -> std::path::PathBuf {
    places::repository().join("tests/clients").join(program)
}
