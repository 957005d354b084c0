//! The config file: from text to the typed configs of the floors below, with every fault at once.
//!
//! [`load`] reads the file (`disk`), parses it into a syntax tree that knows its lines, reads that into
//! the shape of the file (`file`), and builds what the floors want. Each step goes on after a fault, so
//! that a person who fixes a file sees all there is to fix. The schema for editors comes from the same
//! shape.

mod addresses;
mod disk;
mod env;
mod expand;
mod fault;
mod file;
mod folders;
mod instances;
mod launch;
mod least;
mod limits;
mod log;
mod mcp_servers;
mod names;
mod nearest;
mod operator;
mod program;
mod reader;
mod restarts;
mod schema;
mod section;
mod servers;
mod state;
mod strength;
mod time;
mod tls;
mod tokens;
mod values;

#[cfg(test)]
mod tests;

pub use env::{Env, default_path};
pub use fault::{Faults, FileFault};
pub use operator::{likely_state_dir, operator_token};
pub use schema::schema;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::types::ServerId;
use crate::{http, relay, telemetry};
use disk::{Refusal, Source};
use fault::{FileFault as Fault, Place};
use file::File;
use limits::Limits;
use mcp_servers::McpServer;
use reader::{Members, Node, Read as _, Scope, find_duplicate_keys};
use servers::Named;

/// A whole config file: every value final and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen and who may enter.
    pub http: http::Config,
    /// Bounds of event streams and sessions.
    pub relay: relay::Config,
    /// The servers, in the order of the file: `servers`, then `mcpServers`.
    pub servers: Vec<relay::ServerConfig>,
    /// What is logged, and how.
    pub log: telemetry::Config,
    /// Where state that outlives the gateway is kept; `None` keeps it in memory.
    pub state_dir: Option<PathBuf>,
    /// The file, as an absolute path.
    pub path: PathBuf,
    /// What is allowed and probably not meant, each as `key (line n): text`, without secrets.
    pub warnings: Vec<String>,
}

/// Loads a config file.
///
/// The file must be a regular one of at most 1 MiB that only this user or root can write, and if a token
/// stands in it (`auth_token` without a variable), read. Values of servers' `env` are not looked at for
/// that. A path that is a symbolic link is followed once.
pub fn load(path: &Path, env: &Env) -> Result<Config, Faults> {
    load_for(path, env, None)
}

/// Loads the config file of a gateway that runs and stays bound to `bound`, whatever the file says: the
/// names and origins that it lets in by default are those of that address.
pub fn reload(path: &Path, env: &Env, bound: SocketAddr) -> Result<Config, Faults> {
    load_for(path, env, Some(bound))
}

fn load_for(path: &Path, env: &Env, bound: Option<SocketAddr>) -> Result<Config, Faults> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_empty| path.to_owned());
    let source = disk::read(&absolute, env.uid()).map_err(|refusal| match refusal {
        Refusal::Missing => Faults::missing(path),
        Refusal::NotText(text) | Refusal::Because(text) => one_fault(path, None, &text),
    })?;
    read(&source, (path, &absolute), env, bound)
}

/// Reads a config that exists in memory only, as if it were a private file of this name. Its gateway leaves no file
/// behind: state is kept in memory.
pub fn from_text(text: &str, path: &Path, env: &Env) -> Result<Config, Faults> {
    let source = Source::private(text.to_owned(), env.uid());
    let config = read(&source, (path, path), env, None)?;
    Ok(Config {
        state_dir: None,
        ..config
    })
}

fn read(
    source: &Source,
    (path, absolute): (&Path, &Path),
    env: &Env,
    bound: Option<SocketAddr>,
) -> Result<Config, Faults> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut scope = Scope::new(text, env);
    let config =
        parse(text, &mut scope).and_then(|file| build(&file, source, absolute, bound, &mut scope));
    match config {
        Some(config) if scope.faults.is_empty() => Ok(Config {
            warnings: fault::in_order(scope.warnings)
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..config
        }),
        // A part that is missing without a fault would be a mistake of ours; it must not pass for a config.
        Some(_) | None if scope.faults.is_empty() => Err(one_fault(
            path,
            None,
            "cannot be used, for a reason that was not noted",
        )),
        Some(_) | None => Err(Faults::new(path, scope.faults).warning(scope.warnings)),
    }
}

fn one_fault(path: &Path, line: Option<usize>, text: &str) -> Faults {
    let place = Place {
        line,
        ..Place::default()
    };
    Faults::new(path, vec![Fault::new(&place, text)])
}

/// From text to the shape of the file; `None` after a fault that leaves nothing to go on with.
fn parse(text: &str, scope: &mut Scope<'_>) -> Option<File> {
    // JSON as editors with comments know it, and nothing of JSON5.
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let root = Place::default();
    let parsed = match parse_to_ast(text, &CollectOptions::default(), &options) {
        Ok(parsed) => parsed,
        Err(error) => {
            let (line, column) = (error.line_display(), error.column_display());
            let mut reason = error.kind().to_string();
            if let Some(first) = reason.get_mut(..1) {
                first.make_ascii_lowercase();
            }
            let place = Place {
                line: Some(line),
                ..root
            };
            return scope.fault(&place, format!("{reason}, at column {column}"));
        }
    };
    let Some(value) = &parsed.value else {
        return scope.fault(&root, "is empty, expected an object");
    };
    find_duplicate_keys(value, &root, scope);
    File::read(&Node { value, place: root }, scope)
}

/// From the shape of the file to what the floors want; `None` after a fault. `bound` is where the gateway
/// listens already, if it does.
fn build(
    file: &File,
    source: &Source,
    path: &Path,
    bound: Option<SocketAddr>,
    scope: &mut Scope<'_>,
) -> Option<Config> {
    let folder = path.parent().unwrap_or(path);
    let defaults = Limits::take(&Members::none(&file.limits.place), scope);
    let limits = file.limits.get().unwrap_or(&defaults);
    least::check_file(file, scope);
    let servers = named_servers(file, scope);
    for named in &servers {
        least::check_server(named.server, scope);
    }
    let ids: Vec<ServerId> = servers.iter().map(|named| named.id.clone()).collect();
    let tokens = tokens::build(file, &ids, folder, scope);
    if let Some(place) = &tokens.inline
        && let Err(reason) = source.check_private()
    {
        let text = format!("stands in a file that {reason}, or take the token from a variable");
        scope.fault::<()>(place, text);
    }
    let surroundings = launch::Surroundings {
        env: scope.env,
        folder,
        token_variables: &tokens.variables,
    };
    let mut built: Vec<_> = servers
        .iter()
        .filter_map(|named| servers::build(named, file, limits, &surroundings, scope))
        .collect();
    for server in &mut built {
        let id = &server.supervisor.id;
        let mut reaching = tokens.entries.iter().map(|token| &token.principal);
        let divided = reaching
            .by_ref()
            .filter(|one| one.may_reach(id))
            .nth(1)
            .is_some();
        server.supervisor.requests.divided = divided;
    }
    let bind = addresses::bind(file, scope);
    let allowed_clients = addresses::allowed_clients(file, scope);
    let trusted_proxies = addresses::trusted_proxies(file, scope);
    let known_as = bound.or(bind.map(|(bind, _also)| bind));
    let allowed_hosts = names::allowed_hosts(file, known_as.map(|at| at.ip()), scope);
    let allowed_origins = names::allowed_origins(file, known_as, scope);
    let tls = tls::build(file, folder, scope);
    let log = log::build(&file.log, scope);
    let state_dir = state::build(file, folder, scope);
    let (bind, bind_also) = bind?;
    Some(Config {
        http: http::Config {
            bind,
            bind_also,
            tls,
            admission: http::AdmissionConfig {
                allowed_clients: allowed_clients?,
                allowed_hosts: allowed_hosts?,
                allowed_origins,
                trusted_proxies,
                tokens: tokens.entries,
                failed_auth_per_minute: limits.failed_auth_per_minute.get()?.small(),
            },
            limits: limits.http()?,
        },
        relay: limits.relay()?,
        servers: built,
        log: log?,
        state_dir,
        path: path.to_owned(),
        warnings: Vec::new(),
    })
}

/// The servers of both lists that have an id, in the order of the file.
fn named_servers<'f>(file: &'f File, scope: &mut Scope<'_>) -> Vec<Named<'f>> {
    if !file.servers.is_given() && !file.mcp_servers.is_given() {
        let text = "is required: the servers to run, or \"mcpServers\" as MCP clients write it";
        scope.fault::<()>(&file.servers.place, text);
    }
    let mut candidates = Vec::new();
    for server in file.servers.get().iter().flat_map(|list| &list.0) {
        let why = "the server's name in URLs";
        if let Some(id) = server.server_id.required(why, scope) {
            candidates.push((id.value.as_str(), &id.place, server, false));
        }
    }
    let listed = candidates.len();
    for (name, place, entry) in file.mcp_servers.get().iter().flat_map(|map| &map.0) {
        if let McpServer::Stdio { server, off } = entry {
            candidates.push((name.as_str(), place, server, *off));
        }
    }
    let mut servers: Vec<(Named<'f>, &Place)> = Vec::with_capacity(candidates.len());
    for (index, (id, place, server, off)) in candidates.into_iter().enumerate() {
        let id: ServerId = match id.parse::<ServerId>() {
            Ok(id) => id,
            Err(error) => {
                // Clients take any name, and what they wrote is pasted as it is.
                let other = error.suggestion().filter(|_| index >= listed);
                let Some(other) = other.and_then(|other| other.parse::<ServerId>().ok()) else {
                    scope.fault::<()>(place, format!("invalid server id: {error}"));
                    continue;
                };
                scope.warn(place, format!("is served as {:?}: {error}", other.as_str()));
                other
            }
        };
        if let Some((_, first)) = servers.iter().find(|(named, _)| named.id == id) {
            let text = format!("{:?} is already the id of {first}", id.as_str());
            scope.fault::<()>(place, text);
        }
        servers.push((Named { id, server, off }, place));
    }
    if servers.is_empty() && scope.faults.is_empty() {
        scope.warn(&file.servers.place, "no server is configured");
    }
    servers.into_iter().map(|(named, _)| named).collect()
}
