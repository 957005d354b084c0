//! What the supervisor must know of one server; built by `config`, checked there.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::eras::EraChoice;
use crate::types::ServerId;

/// One server, every value final: variables expanded, defaults applied, limits above zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server's id.
    pub id: ServerId,
    /// The name of the instance in logs, where the clients of the server do not all share one.
    pub instance: Option<Arc<str>>,
    /// What is executed.
    pub launch: Launch,
    /// Start with the gateway; otherwise at the first request.
    pub autostart: bool,
    /// Known, never started.
    pub disabled: bool,
    /// The reason that the configuration does not say how to start it: then it is `failed` from the beginning.
    pub refused: Option<String>,
    /// When an ended process is started again.
    pub restart_policy: RestartPolicy,
    /// How long to wait before a restart.
    pub backoff: BackoffConfig,
    /// When to give up.
    pub restart_limit: RestartLimit,
    /// From giving up to the next try.
    pub failed_retry: Duration,
    /// Spawn to finished handshake.
    pub startup_timeout: Duration,
    /// In which eras it is spoken to.
    pub era: EraChoice,
    /// How long the era probe (`server/discover`) may stay unanswered before the child is taken for legacy.
    pub era_probe: Duration,
    /// What a legacy child is told at `initialize` that clients can do: `ClientCapabilities`, a JSON object
    /// (MCP 2025-11-25, basic/lifecycle). A modern child is told with each request.
    pub client_capabilities: Arc<str>,
    /// The stop ladder.
    pub stop: StopConfig,
    /// Liveness probing of an idle server.
    pub probe: ProbeConfig,
    /// Deadlines and bounds of the requests to it.
    pub requests: RequestConfig,
    /// The longest line that is taken from the child, in bytes without its newline.
    pub max_line_bytes: usize,
    /// How long a write to the child may make no progress before the child is given up.
    pub stdin_stall: Duration,
    /// How long requests under way may take to end before a process that is to stop is stopped.
    pub drain: Duration,
}

impl Config {
    /// Whether a process that was started by this config is as one that the other would start. What else
    /// differs takes effect without a new process.
    pub(super) fn starts_the_same(&self, other: &Self) -> bool {
        let Self {
            id,
            instance: _,
            launch,
            autostart: _,
            disabled: _,
            refused,
            restart_policy: _,
            backoff: _,
            restart_limit: _,
            failed_retry: _,
            startup_timeout: _,
            era,
            era_probe: _,
            client_capabilities,
            stop,
            probe: _,
            requests: _,
            max_line_bytes,
            stdin_stall,
            drain: _,
        } = self;
        *id == other.id
            && launch.is_same_process(&other.launch)
            && *refused == other.refused
            && *era == other.era
            && *client_capabilities == other.client_capabilities
            && *stop == other.stop
            && *max_line_bytes == other.max_line_bytes
            && *stdin_stall == other.stdin_stall
    }
}

/// A process to execute, without a shell.
///
/// The environment is complete: nothing else of the gateway's own environment reaches the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// The command as configured, for people.
    pub command: String,
    /// The file that is executed: absolute where the name could be resolved at load, else as configured.
    pub program: PathBuf,
    /// Arguments, each passed as it is.
    pub args: Vec<String>,
    /// The working directory; `None` keeps the gateway's own.
    pub working_dir: Option<PathBuf>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Names of variables that the gateway has and the server does not get, for hints.
    pub withheld: Vec<String>,
}

impl Launch {
    /// True where both execute the same; what is withheld from the server is only for hints.
    fn is_same_process(&self, other: &Self) -> bool {
        let Self {
            command: _,
            program,
            args,
            working_dir,
            env,
            withheld: _,
        } = self;
        (program, args, working_dir, env)
            == (&other.program, &other.args, &other.working_dir, &other.env)
    }
}

impl std::fmt::Debug for Launch {
    /// Names of variables only: values and arguments may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("working_dir", &self.working_dir)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// When an ended process is started again without a request. An operator's stop is never undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// After every end.
    Always,
    /// After every end but a clean one: exit code 0, or SIGHUP, SIGINT, SIGTERM or SIGPIPE
    /// (the table of `Restart=on-failure` in systemd.service).
    #[default]
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// The word in the config file and in `/servers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

/// Delays between an end and the next start: `first`, doubled each time, at most `max`, each with
/// ±20 % jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The first delay.
    pub first: Duration,
    /// The longest delay before jitter; not below `first`.
    pub max: Duration,
}

/// A server is given up after more than `count` restarts within `window`, or `count` failed starts in
/// a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartLimit {
    /// How many restarts are allowed; at least 1.
    pub count: u32,
    /// The sliding window they are counted in.
    pub window: Duration,
}

/// The stop ladder: stdin closed, then SIGTERM and SIGCONT to the whole tree, then SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopConfig {
    /// From closing stdin to SIGTERM.
    pub grace: Duration,
    /// From SIGTERM to SIGKILL.
    pub term_grace: Duration,
}

/// Liveness probing of an idle server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// From one probe to the next.
    pub interval: Duration,
    /// How long a probe may stay unanswered.
    pub timeout: Duration,
    /// After how many misses in a row the server is restarted.
    pub misses: u32,
}

/// Deadlines and bounds of the requests to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestConfig {
    /// Wait for an answer; progress from the child restarts it.
    pub timeout: Duration,
    /// Hard end, whatever the progress.
    pub max: Duration,
    /// How long a request is held while the server is being restarted.
    pub hold: Duration,
    /// Requests written and not yet answered.
    pub max_in_flight: usize,
    /// Requests accepted that wait for their turn: `max_in_flight` are under way, or the server does not run.
    pub max_queue: usize,
    /// Bytes of what is accepted and waits.
    pub max_queue_bytes: usize,
    /// How long a request that waits for input of its client keeps its turn while others wait for theirs.
    pub input_wait: Duration,
    /// Several principals may use the server, so that one may take no more than its share of these bounds.
    pub divided: bool,
}

impl RequestConfig {
    /// The part of a bound that one principal may take: half, so that no one principal can take all, and at
    /// least one.
    pub fn share(&self, bound: usize) -> usize {
        if self.divided {
            (bound / 2).max(1)
        } else {
            bound
        }
    }
}
