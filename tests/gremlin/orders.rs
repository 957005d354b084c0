//! What a gremlin is told for its whole life: the JSON object in the variable `GREMLIN`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire;

/// The era (MCP 2026-07-28, basic/versioning) that the server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    /// `initialize`, up to 2025-11-25.
    #[default]
    Legacy,
    /// `server/discover`, 2026-07-28.
    Modern,
    /// Either, decided request by request.
    Dual,
}

/// How a handshake goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HandshakeFault {
    /// Never answered.
    Silent,
    /// Answered with a JSON-RPC error.
    Error,
    /// Answered with a protocol version that nobody knows.
    Version,
    /// Answered with a result that is not an object.
    NotObject,
}

/// How a legacy server takes `server/discover` as its first message, when it is stricter than it need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProbeFault {
    /// It exits, as servers on rmcp below 3 do.
    Exit,
    /// It closes its stdout and lives on.
    CloseStdout,
    /// It answers nothing any more, `initialize` either.
    Wedge,
}

/// How a grandchild behaves; set by a gremlin for the process that it starts.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Grandchild {
    /// Leave the session of its parent.
    pub(crate) setsid: bool,
    /// Keep writing valid messages to the stdout it inherited.
    pub(crate) chatter: bool,
    /// Keep answering the request with this id (JSON text) once its parent is gone.
    pub(crate) heir_of: Option<String>,
}

/// The whole of `GREMLIN`; unknown keys are refused.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one misbehaviour, and any of them may go together"
)]
pub(crate) struct Orders {
    /// Which era is spoken.
    pub(crate) era: Era,
    /// Answer `ping` with "method not found".
    pub(crate) no_ping: bool,
    /// Leave `ping` unanswered.
    pub(crate) silent_ping: bool,
    /// Leave `tools/list` unanswered.
    pub(crate) no_list: bool,
    /// The list of tools never ends: every page has the same cursor.
    pub(crate) endless_list: bool,
    /// So many more tools than usual are listed, each with a schema that refers to `schema_ref`.
    pub(crate) more_tools: usize,
    /// A URL in the schema of each of `more_tools`.
    pub(crate) schema_ref: String,
    /// Leave requests other than `initialize` unanswered until `initialize` came.
    pub(crate) silent_probe: bool,
    /// What a legacy server does when `server/discover` is its first message; `None` answers with an error.
    pub(crate) fail_probe: Option<ProbeFault>,
    /// The error code for `server/discover` of a legacy server; `None` is -32601.
    pub(crate) probe_code: Option<i64>,
    /// Written to stderr when the era probe arrives, in bytes.
    pub(crate) probe_stderr: usize,
    /// Wait before the handshake is answered, in milliseconds.
    pub(crate) slow_start_ms: u64,
    /// How the handshake fails, if it does.
    pub(crate) fail_handshake: Option<HandshakeFault>,
    /// Written to stderr at start, in bytes.
    pub(crate) stderr: usize,
    /// Written to stderr at start, as a line of its own.
    pub(crate) stderr_line: Option<String>,
    /// Exit with this code: at once, or after `exit_after_ms`.
    pub(crate) exit: Option<i32>,
    /// When `exit` happens, in milliseconds from the start.
    pub(crate) exit_after_ms: u64,
    /// When it ends of itself, in seconds from the start; absent is five minutes.
    pub(crate) lifetime_s: Option<u64>,
    /// Survive SIGTERM.
    pub(crate) ignore_term: bool,
    /// Stay alive when stdin ends.
    pub(crate) ignore_eof: bool,
    /// This process is a grandchild and serves nothing.
    pub(crate) grandchild: Option<Grandchild>,
}

impl Orders {
    /// The orders of this process; none are the defaults.
    pub(crate) fn from_env() -> Result<Self, String> {
        match std::env::var("GREMLIN") {
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Err(fault) => Err(fault.to_string()),
            Ok(text) => serde_json::from_str(&text).map_err(|fault| fault.to_string()),
        }
    }

    /// Carries out what is due before the first frame is read.
    pub(crate) fn at_start(&self) {
        if let Some(line) = &self.stderr_line {
            wire::complain(line);
        }
        wire::flood_stderr(self.stderr, wire::WIDTH);
        if let Some(code) = self.exit {
            let delay = Duration::from_millis(self.exit_after_ms);
            if delay.is_zero() {
                std::process::exit(code);
            }
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                std::process::exit(code);
            });
        }
    }
}
