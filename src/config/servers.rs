//! One server of the file: its shape, and what the floors below are told of it.

use super::file::{File, RestartLimit};
use super::instances::{self, ClientCapability, ClientFeatures, Instance};
use super::launch;
use super::limits::{Limits, ServerLimits, pick};
use super::reader::{Map, Scope};
use super::restarts::{requests, restarts};
use super::section::section;
use super::values::{LaunchText, Millis, MillisOrDefault, Scalar, Text, choice};
use crate::protocol::Era;
use crate::supervisor::EraChoice;
use crate::types::ServerId;
use crate::{relay, supervisor};

section! {
    /// One MCP server that speaks on stdin and stdout.
    #[expect(clippy::struct_field_names, reason = "the keys of the file")]
    #[schemars(extend("required" = ["server_id", "command"]))]
    Server {
        /// Its name in URLs: letters, digits, `.`, `_` and `-`, at most 63; no `__`, and no `_` at its end.
        #[schemars(extend("pattern" = "^(?!.*(__|_$))[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", "examples" = ["git"]))]
        server_id: Text,
        /// The program, run without a shell: a name that is looked for in the server's PATH, or a path. A
        /// relative path is taken from `working_dir`, without one from the folder of this file.
        #[schemars(extend("minLength" = 1, "examples" = ["npx", "uvx", "~/bin/my-server"]))]
        command: LaunchText,
        /// The arguments, each passed as it is: no shell, no `~`, no wildcards.
        args: Vec<Scalar<LaunchText>>,
        /// The folder it runs in; a relative one is taken from the folder of this file. Default: the gateway's own.
        working_dir: LaunchText = "",
        /// Variables for the server, over those that it inherits and those of the top level.
        env: Map<Scalar<LaunchText>>,
        /// The variables that the server gets from the gateway's own environment, in the place of those at the top
        /// of the file; `["*"]` for all but the gateway's own.
        inherit_env: Vec<Text>,
        /// Start it with the gateway; otherwise at the first request.
        autostart: bool = false,
        /// When it is started again after it ended, without a request; a request starts it in any case.
        restart_policy: RestartPolicy = "on-failure",
        /// From its start to the end of the MCP handshake; 0 means the default.
        startup_timeout_ms: MillisOrDefault = 60_000_u64,
        /// In which era of the protocol its processes are spoken to.
        era: EraOfServer = "auto",
        /// Who shares a process.
        instance: Instance = "shared",
        /// With `instance` `session`: a session that is not in memory any more, after a restart of the gateway or after
        /// `session_idle_ms`, goes on with a new process, which knows nothing of the old one's state. Other sessions always do.
        revive_sessions: bool = false,
        /// What is done for a server of a revision before 2026-07-28 that asks something while requests of several clients are under way.
        client_features: ClientFeatures = "attribute",
        /// What a server of a revision before 2026-07-28 is told that clients can be asked, unless its process
        /// has one session only: then what that client says of itself.
        #[schemars(extend("default" = instances::CAPABILITIES))]
        client_capabilities: Vec<ClientCapability>,
        /// As at the top of the file, for this server.
        request_timeout_ms: Millis,
        /// As at the top of the file, for this server.
        request_max_ms: Millis,
        /// As at the top of the file, for this server.
        restart_backoff_ms: Millis,
        /// As at the top of the file, for this server.
        restart_backoff_max_ms: Millis,
        /// As at the top of the file, for this server.
        restart_limit: RestartLimit,
        /// From closing its input to SIGTERM when it is stopped.
        stop_grace_ms: Millis = 2_000_u64,
        /// Known, never started.
        disabled: bool = false,
        /// Bounds and deadlines of this server.
        limits: ServerLimits,
    }
}

choice! {
    /// When a server that ended is started again.
    RestartPolicy {
        /// After every end.
        Always = "always",
        /// After every end but a clean one.
        OnFailure = "on-failure",
        /// Never.
        Never = "never",
    }
}

choice! {
    /// In which era of the protocol a server is spoken to.
    EraOfServer {
        /// In that of the client: with a second process where clients of both eras use a server that knows both.
        Auto = "auto",
        /// Up to revision 2025-11-25.
        Legacy = "legacy",
        /// From revision 2026-07-28 on.
        Modern = "modern",
    }
}

/// A server of either list, with its id.
#[derive(Debug)]
pub(super) struct Named<'f> {
    pub(super) id: ServerId,
    pub(super) server: &'f Server,
    /// Switched off by the client that it was pasted from.
    pub(super) off: bool,
}

/// What `startup_timeout_ms` 0 stands for; the same as the default of the key.
const STARTUP_TIMEOUT_MS: u64 = 60_000;

/// The reason that a server cannot be started whose launch has variables that are not set; warns of each text.
fn refused_for_unset(server: &Server, scope: &mut Scope<'_>) -> Option<String> {
    let unset = launch::unset(server);
    for (place, reason) in &unset {
        let text = format!("{reason}: this server cannot start, the others can");
        scope.warn(place, text);
    }
    let reasons = unset.iter();
    let reasons: Vec<_> = reasons
        .map(|(place, reason)| format!("{place}: {reason}"))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// What the relay and the supervisor are told of a server; `None` after a fault.
pub(super) fn build(
    named: &Named<'_>,
    file: &File,
    limits: &Limits,
    surroundings: &launch::Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<relay::ServerConfig> {
    let server = named.server;
    let disabled = named.off || server.disabled.get() == Some(&true);
    let refused = if disabled {
        None
    } else {
        refused_for_unset(server, scope)
    };
    let launch = launch::build(server, file, surroundings, scope);
    let own = server.limits.get();
    let restarts = restarts(server, file, scope);
    let requests = requests(server, file, limits, scope);
    let (backoff, restart_limit) = restarts?;
    let startup_timeout = match server.startup_timeout_ms.get()? {
        MillisOrDefault(0) => STARTUP_TIMEOUT_MS,
        MillisOrDefault(millis) => *millis,
    };
    let supervised = supervisor::Config {
        id: named.id.clone(),
        instance: None,
        launch: launch?,
        autostart: *server.autostart.get()?,
        disabled,
        refused,
        restart_policy: match server.restart_policy.get()? {
            RestartPolicy::Always => supervisor::RestartPolicy::Always,
            RestartPolicy::OnFailure => supervisor::RestartPolicy::OnFailure,
            RestartPolicy::Never => supervisor::RestartPolicy::Never,
        },
        backoff,
        restart_limit,
        failed_retry: pick(own.map(|own| &own.failed_retry_ms), &limits.failed_retry_ms)?
            .duration(),
        startup_timeout: Millis(startup_timeout).duration(),
        era: match server.era.get()? {
            EraOfServer::Auto => EraChoice::Auto,
            EraOfServer::Legacy => EraChoice::Only(Era::Legacy),
            EraOfServer::Modern => EraChoice::Only(Era::Modern),
        },
        era_probe: pick(own.map(|own| &own.era_probe_ms), &limits.era_probe_ms)?.duration(),
        client_capabilities: instances::client_capabilities(server).json(),
        stop: supervisor::StopConfig {
            grace: server.stop_grace_ms.get()?.duration(),
            term_grace: pick(own.map(|own| &own.term_grace_ms), &limits.term_grace_ms)?.duration(),
        },
        probe: supervisor::ProbeConfig {
            interval: pick(
                own.map(|own| &own.probe_interval_ms),
                &limits.probe_interval_ms,
            )?
            .duration(),
            timeout: pick(
                own.map(|own| &own.probe_timeout_ms),
                &limits.probe_timeout_ms,
            )?
            .duration(),
            misses: pick(own.map(|own| &own.probe_misses), &limits.probe_misses)?.small(),
        },
        requests: requests?,
        max_line_bytes: pick(own.map(|own| &own.max_line_bytes), &limits.max_line_bytes)?.size(),
        stdin_stall: pick(own.map(|own| &own.stdin_stall_ms), &limits.stdin_stall_ms)?.duration(),
        drain: limits.drain_ms.get()?.duration(),
    };
    instances::build(server, supervised, limits, scope)
}
