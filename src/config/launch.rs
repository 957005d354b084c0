//! What is executed for a server: program, arguments, folder and the whole environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::env::Env;
use super::fault::quoted;
use super::program;
use super::reader::Scope;
use super::servers::Server;
use crate::supervisor::Launch;

/// What a server inherits by default: the list of the official SDKs, with the language and the folder
/// for temporary files.
pub(super) const INHERITED: [&str; 8] = [
    "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "TMPDIR",
];

/// Variables that are meant for the gateway's own process and mislead or expose it in another: service
/// manager, credentials, telemetry (its headers hold keys), and the loader (a server would run with the
/// gateway's libraries).
const OWN: [&str; 4] = [
    "NOTIFY_SOCKET",
    "CREDENTIALS_DIRECTORY",
    "JOURNAL_STREAM",
    "INVOCATION_ID",
];
const OWN_PREFIXES: [&str; 5] = ["LISTEN_", "WATCHDOG_", "OTEL_", "LD_", "DYLD_"];

type Variables = BTreeMap<OsString, OsString>;

/// What a server's launch is made of besides its own section.
pub(super) struct Surroundings<'a> {
    pub(super) env: &'a Env,
    /// The folder of the config file, absolute.
    pub(super) folder: &'a Path,
    /// Variables that hold tokens of the gateway.
    pub(super) token_variables: &'a BTreeSet<String>,
}

/// The launch of a server; `None` after a fault.
pub(super) fn build(
    server: &Server,
    surroundings: &Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<Launch> {
    let env = environment(server, surroundings, scope);
    let args = server.args.get().map(Vec::as_slice).unwrap_or_default();
    let working_dir = match server.working_dir.get().filter(|dir| !dir.value.is_empty()) {
        None => None,
        Some(dir) => {
            let Some(path) = surroundings.env.path(&dir.value) else {
                return scope.fault(
                    &dir.place,
                    "begins with \"~\", and there is no home directory",
                );
            };
            let path = surroundings.folder.join(path);
            if !path.is_dir() {
                scope.warn(
                    &dir.place,
                    "is no directory now; the server cannot start without it",
                );
            }
            Some(path)
        }
    };
    let command = server
        .command
        .required("the program that is the server", scope)?;
    let base = working_dir.as_deref().unwrap_or(surroundings.folder);
    let path = env.as_ref().and_then(|env| env.get(OsStr::new("PATH")));
    let program = program::locate(command, path.map(OsString::as_os_str), base, scope)?;
    Some(Launch {
        command: command.value.clone(),
        program,
        args: args.iter().map(|arg| arg.value.clone()).collect(),
        working_dir,
        env: env?.into_iter().collect(),
    })
}

/// The whole environment of a server; `None` after a fault.
fn environment(
    server: &Server,
    surroundings: &Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<Variables> {
    let mut variables = inherited(server, surroundings, scope);
    let own = server.env.get().map(|map| map.0.as_slice());
    for (name, place, text) in own.unwrap_or_default() {
        if let Some(reason) = fault_of_name(name) {
            scope.fault::<()>(place, reason);
        } else if text.value.starts_with("()") {
            scope.warn(place, FUNCTION);
        } else if let Some(variables) = &mut variables {
            variables.insert(name.into(), text.value.clone().into());
        }
    }
    variables
}

/// A shell would take such a value for a function and run what follows it (CVE-2014-6271).
const FUNCTION: &str =
    "is left out: its value begins with \"()\", which a shell takes for a function";

fn inherited(
    server: &Server,
    surroundings: &Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<Variables> {
    let env = surroundings.env;
    let place = &server.inherit_env.place;
    let mut variables = Variables::new();
    let mut take = |name: &OsStr, scope: &mut Scope<'_>| {
        let Some(value) = env.var(name) else { return };
        if value.as_encoded_bytes().starts_with(b"()") {
            let text = format!(
                "the variable {} {FUNCTION}",
                quoted(&name.to_string_lossy())
            );
            scope.warn(place, text);
        } else {
            variables.insert(name.to_owned(), value.to_owned());
        }
    };
    let withheld = |name: &str| surroundings.token_variables.contains(name);
    let Some(names) = server.inherit_env.get() else {
        if server.inherit_env.is_given() {
            return None;
        }
        for name in INHERITED.into_iter().filter(|name| !withheld(name)) {
            take(OsStr::new(name), scope);
        }
        return Some(variables);
    };
    let mut all_legal = true;
    for name in names {
        let reason = if name.value == "*" {
            None
        } else if is_own(&name.value) {
            Some("belongs to the gateway's own process, set it in \"env\" if the server needs it")
        } else if withheld(&name.value) {
            Some("holds a token of this gateway, which no server may have")
        } else {
            fault_of_name(&name.value)
        };
        match reason {
            Some(reason) => {
                scope.fault::<()>(&name.place, format!("{} {reason}", name.shown()));
                all_legal = false;
            }
            None if name.value == "*" => {
                for (name, _) in env.vars() {
                    let text = name.to_string_lossy();
                    if !is_own(&text) && !withheld(&text) {
                        take(name, scope);
                    }
                }
            }
            None => take(OsStr::new(&name.value), scope),
        }
    }
    all_legal.then_some(variables)
}

fn is_own(name: &str) -> bool {
    OWN.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn fault_of_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains(['=', '\0']) {
        Some("is no name of a variable: it is empty, or has \"=\" or NUL in it")
    } else {
        None
    }
}
