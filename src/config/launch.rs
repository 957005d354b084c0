//! What is executed for a server: program, arguments, folder and the whole environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::env::Env;
use super::fault::{Place, quoted};
use super::file::File;
use super::program;
use super::reader::{Field, Scope};
use super::servers::Server;
use super::values::{LaunchText, Text};
use crate::supervisor::Launch;

/// The variables that a server inherits by default: the list of the official SDKs, and what a program needs to reach the network
/// and the user's session from this machine. None of these holds a secret, but for the password of a proxy.
pub(super) const INHERITED: [&str; 28] = [
    "HOME",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "USER",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSH_AUTH_SOCK",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
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

/// The texts by which a server is launched that have variables that are not set, and which those are.
pub(super) fn unset(server: &Server) -> Vec<(&Place, &str)> {
    let args = server.args.get().into_iter().flatten().map(|arg| &arg.0);
    let env = server.env.get().into_iter().flat_map(|map| &map.0);
    let texts = server.command.get().into_iter().chain(args);
    let texts = texts.chain(server.working_dir.get());
    texts
        .chain(env.map(|(_, _, value)| &value.0))
        .filter_map(|LaunchText { text, unset }| Some((&text.place, unset.as_deref()?)))
        .collect()
}

/// The launch of a server; `None` after a fault. Where a variable is [unset], it is one for people only.
pub(super) fn build(
    server: &Server,
    file: &File,
    surroundings: &Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<Launch> {
    let env = environment(server, file, surroundings, scope);
    let args = server.args.get().map(Vec::as_slice).unwrap_or_default();
    let is_unset = |text: &LaunchText| text.unset.is_some();
    let working_dir = server.working_dir.get().filter(|dir| !is_unset(dir));
    let working_dir = match working_dir
        .map(|dir| &dir.text)
        .filter(|dir| !dir.value.is_empty())
    {
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
    let program = if is_unset(command) {
        PathBuf::from(&command.text.value)
    } else {
        program::locate(&command.text, path.map(OsString::as_os_str), base, scope)?
    };
    let env = env?;
    Some(Launch {
        command: command.text.value.clone(),
        program,
        args: args.iter().map(|arg| arg.0.text.value.clone()).collect(),
        working_dir,
        withheld: withheld(&env, surroundings),
        env: env.into_iter().collect(),
    })
}

/// The names of variables that the gateway has and the server does not get, and could.
fn withheld(given: &Variables, surroundings: &Surroundings<'_>) -> Vec<String> {
    let names = surroundings
        .env
        .vars()
        .filter_map(|(name, _)| name.to_str());
    names
        .filter(|name| !given.contains_key(OsStr::new(name)) && !is_own(name))
        .filter(|name| !surroundings.token_variables.contains(*name))
        .map(str::to_owned)
        .collect()
}

/// The whole environment of a server; `None` after a fault.
fn environment(
    server: &Server,
    file: &File,
    surroundings: &Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<Variables> {
    let names = server.inherit_env.or(&file.inherit_env);
    let mut variables = inherited(names, surroundings, scope);
    let of_all = file.env.get().into_iter().flat_map(|map| &map.0);
    let own = server.env.get().into_iter().flat_map(|map| &map.0);
    let own = own.map(|(name, place, value)| (name, place, &value.0.text));
    let of_all = of_all.map(|(name, place, value)| (name, place, &value.0));
    for (name, place, text) in of_all.chain(own) {
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
    names: &Field<Vec<Text>>,
    surroundings: &Surroundings<'_>,
    scope: &mut Scope<'_>,
) -> Option<Variables> {
    let env = surroundings.env;
    let place = &names.place;
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
    let Some(names) = names.get() else {
        if names.is_given() {
            return None;
        }
        for name in INHERITED.into_iter().filter(|name| !withheld(name)) {
            take(OsStr::new(name), scope);
            if env
                .var(name)
                .is_some_and(|value| is_proxy_with_password(name, value))
            {
                scope.warn(place, format!("the variable {name} {PASSWORD}"));
            }
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

/// The warning about a proxy with a password.
const PASSWORD: &str = "holds the password of a proxy, and servers inherit it: list what they inherit in \"inherit_env\", or give the proxy without it in \"env\"";

/// Tells a proxy's URL with a password in it.
fn is_proxy_with_password(name: &str, value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let authority = value.split_once("://").map_or(&*value, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let is_proxy = name.to_ascii_uppercase().ends_with("_PROXY");
    is_proxy && user.is_some_and(|user| user.contains(':'))
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
