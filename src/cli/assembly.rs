//! The doors from the command line to the floor below, each in one place.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::exit::Exit;
use super::terminal;
use crate::config::{self, Config, Env, Faults};
use crate::http::{self, TokenEntry};
use crate::lifecycle::{self, Ended, Reread};
use crate::relay::Instance;
use crate::supervisor;
use crate::types::{Secret, ServerId};

mod probe;

pub(super) use probe::SupervisedProber;

/// What the command line wants to know of a config file that is in order.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The servers, in the order of the file.
    pub(super) servers: Vec<supervisor::Config>,
    /// Those whose process all clients share.
    pub(super) shared: BTreeSet<ServerId>,
    /// What deserves a look, one line each; never a secret.
    pub(super) warnings: Vec<String>,
    /// The state directory, if there is one.
    pub(super) state_dir: Option<PathBuf>,
    /// The address for clients, such as `http://127.0.0.1:7411`; one that others reach, if it listens for them.
    pub(super) base_url: String,
    /// Why `base_url` may be another one in truth, or may not do for a client.
    pub(super) base_url_doubts: Vec<String>,
}

/// Why a config file was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Every fault, one line each, with the file's name; never a secret.
    pub(super) faults: Vec<String>,
    /// Warnings that the file has beside its faults.
    pub(super) warnings: Vec<String>,
    /// There is no such file.
    pub(super) missing: bool,
    /// Nothing is wrong but that variables are not set in the environment of this process.
    pub(super) unset_here: bool,
}

/// Reads and checks a config file.
pub(super) fn load(path: &Path) -> Result<Loaded, Refused> {
    let config = config::load(path, &Env::of_process()).map_err(|faults| refused(&faults))?;
    let (base_url, base_url_doubts) = base_url(&config.http, address_on_the_network);
    let shared = config
        .servers
        .iter()
        .filter(|server| server.instance == Instance::Shared);
    Ok(Loaded {
        base_url,
        base_url_doubts,
        shared: shared.map(|server| server.supervisor.id.clone()).collect(),
        servers: config
            .servers
            .into_iter()
            .map(|server| server.supervisor)
            .collect(),
        warnings: config.warnings,
        state_dir: config.state_dir,
    })
}

/// The address for clients of a gateway with this config, and what is uncertain about it; `network` finds the address of this
/// machine that others reach.
fn base_url(
    edge: &http::Config,
    network: impl Fn(SocketAddr) -> Option<IpAddr>,
) -> (String, Vec<String>) {
    let mut doubts = Vec::new();
    let port = edge.bind.port();
    let scheme = if edge.tls.is_some() { "https" } else { "http" };
    let name = known_name(edge);
    let mut base_url = edge.local_address(edge.bind).base_url;
    if let Some(name) = name.filter(|_| edge.bind.ip().is_unspecified() || edge.tls.is_some()) {
        let has_port = name
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
        base_url = if has_port {
            format!("{scheme}://{name}")
        } else {
            format!("{scheme}://{name}:{port}")
        };
    } else if edge.bind.ip().is_unspecified() {
        if let Some(ip) = network(edge.bind) {
            base_url = format!("{scheme}://{}", SocketAddr::new(ip, port));
            doubts.push(format!(
                "the gateway listens on every address, {ip} is a guess: name another with --url, and put what clients \
                 call it by into \"allowed_hosts\", or they are refused"
            ));
        } else {
            let text =
                "the gateway listens on every address; for clients elsewhere name one with --url";
            doubts.push(text.to_owned());
        }
    }
    if port == 0 {
        let text = "bind_port is 0, so the port is another one at each start: the log says which, name it with --url";
        doubts.push(text.to_owned());
    }
    if edge.tls.is_some() {
        let text = "clients must call the gateway by a name that is in its certificate, so name that with --url; and they \
             must trust its issuer: with one of your own, curl wants --cacert, and Node.js NODE_EXTRA_CA_CERTS";
        doubts.push(text.to_owned());
    }
    (base_url, doubts)
}

/// The first of `allowed_hosts` by which others than this machine can call it.
fn known_name(edge: &http::Config) -> Option<&str> {
    let is_loopback = |host: &str| {
        let bare = host.trim_start_matches('[');
        bare.starts_with("localhost") || bare.starts_with("127.") || bare.starts_with("::1")
    };
    let mut hosts = edge.admission.allowed_hosts.iter().map(String::as_str);
    hosts.find(|host| !is_loopback(host))
}

/// The address of this machine on the way to other networks. Nothing is sent: a datagram socket that is connected has
/// its route looked up.
fn address_on_the_network(bind: SocketAddr) -> Option<IpAddr> {
    // Addresses of documentation (RFC 5737, RFC 3849), to which no host answers.
    let (any, elsewhere) = match bind {
        SocketAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        SocketAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(elsewhere).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

fn refused(faults: &Faults) -> Refused {
    Refused {
        faults: faults.to_string().lines().map(str::to_owned).collect(),
        warnings: faults.warnings().map(ToString::to_string).collect(),
        missing: faults.is_missing(),
        unset_here: faults.are_unset_variables(),
    }
}

impl Refused {
    /// Tells a person why.
    pub(super) fn complain(&self) -> Exit {
        terminal::complain(&self.faults.join("\n"));
        for warning in &self.warnings {
            terminal::remark(&format!("warning: {warning}"));
        }
        if self.missing {
            terminal::remark("write a first config with: host-mcp-gateway init --import");
        }
        Exit::ConfigRefused
    }
}

/// The tokens of a config file, as digests.
pub(super) fn tokens(path: &Path) -> Result<Vec<TokenEntry>, Refused> {
    let config = config::load(path, &Env::of_process()).map_err(|faults| refused(&faults))?;
    Ok(config.http.admission.tokens)
}

/// Where the verbs that talk to a running gateway find it.
#[derive(Debug)]
pub(super) struct Door {
    /// Such as `http://127.0.0.1:7411`; `None` where no gateway of this file is known to run, and the file would be
    /// refused or has the port be another one at each start.
    pub(super) base_url: Option<String>,
    /// A value of the Host header that the gateway lets in, where the URL's own is not.
    pub(super) host: Option<String>,
    /// The certificate that it shows, where it speaks TLS.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// A token of the config, where it has more than digests.
    pub(super) token: Option<Secret>,
    /// The faults for which the file as it is now would be refused.
    pub(super) refused: Option<Refused>,
}

/// The door of the gateway that runs with this config file, or would: by what the gateway has noted of itself, then by
/// the file.
///
/// Never by a part of a file that would be refused, or by the defaults in its place: whoever listens there may be
/// another gateway, and would be sent the token of this one.
pub(super) fn door(path: &Path) -> Door {
    let env = Env::of_process();
    let token = config::operator_token(path, &env);
    let loaded = config::load(path, &env);
    let (config, state_dir, refused) = match loaded {
        Ok(config) => (Some(config.http), config.state_dir, None),
        Err(faults) => {
            let state_dir = config::likely_state_dir(path, &env);
            (None, state_dir, Some(refused(&faults)))
        }
    };
    let running = lifecycle::run_record::find(path, state_dir.as_deref(), &env);
    let certificate = config
        .as_ref()
        .and_then(|edge| edge.tls.as_ref()?.identity().first().cloned());
    let (address, noted) = match (running, &config) {
        (Some(running), _) => {
            let noted = running.certificate.and_then(|text| hex::decode(text).ok());
            let address = http::LocalAddress {
                base_url: running.base_url,
                host: running.host,
            };
            (Some(address), noted.map(CertificateDer::from))
        }
        (None, Some(edge)) if edge.bind.port() != 0 => (Some(edge.local_address(edge.bind)), None),
        (None, _) => (None, None),
    };
    let (base_url, host) = address.map(|at| (at.base_url, at.host)).unzip();
    Door {
        base_url,
        host: host.flatten(),
        certificate: certificate.or(noted),
        token,
        refused,
    }
}

/// The process id of the gateway that runs with this config file, where one does that keeps its state in `state_dir`.
pub(super) fn running_gateway(path: &Path, state_dir: Option<&Path>) -> Option<u32> {
    let running = lifecycle::run_record::find(path, state_dir, &Env::of_process());
    running.map(|running| running.pid)
}

/// Where this process is pid 1: runs the gateway below it, and gives its exit code when it has ended.
pub(super) fn run_below_init() -> Option<u8> {
    lifecycle::run_below_init()
}

/// The JSON Schema of the config file.
pub(super) fn schema() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&config::schema())?)
}

/// Runs the gateway with this config file until it is told to stop.
pub(super) fn run(path: &Path) -> anyhow::Result<Exit> {
    // Before the first secret is in memory.
    lifecycle::forbid_core_files()?;
    let file = path.to_owned();
    let reread: Reread = Arc::new(move |bound| config::reload(&file, &Env::of_process(), bound));
    match config::load(path, &Env::of_process()) {
        Ok(config) => serve(config, Some(reread), |_address| Ok(())),
        Err(faults) => Ok(refused(&faults).complain()),
    }
}

/// Runs the gateway with a config that exists in memory only; `ready` is called once, when the gateway
/// listens.
pub(super) fn demo(
    text: &str,
    ready: &mut dyn FnMut(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    lifecycle::forbid_core_files()?;
    let config = config::from_text(text, Path::new("demo"), &Env::of_process())?;
    serve(config, None, ready)
}

fn serve(
    config: Config,
    reread: Option<Reread>,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    match lifecycle::run(config, reread, ready)? {
        Ended::AsAsked => Ok(Exit::Fine),
        Ended::Failed => Ok(Exit::Failed),
    }
}

/// Runs the guard of one server, where this process was started under the name of a guard.
pub fn guard(name: Option<&OsStr>) -> Option<ExitCode> {
    let is_guard = name.is_some_and(|name| name == supervisor::guard::NAME);
    is_guard.then(supervisor::guard::main)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RG06: an address for this machine only is of no use to the clients that the gateway listens for.
    #[test]
    fn the_address_for_clients_is_one_that_they_can_reach() {
        let url = |bind: &str, hosts: &str, network: Option<&str>| {
            let text = format!(
                r#"{{"allowed_clients": ["localhost"], "auth_token": "0123456789abcdefghij", "servers": [] {hosts}}}"#
            );
            let mut edge = config::from_text(&text, Path::new("c"), &Env::of_process())
                .unwrap()
                .http;
            edge.bind = bind.parse().unwrap();
            let (url, doubts) = base_url(&edge, |_| network.map(|ip| ip.parse().unwrap()));
            (url, !doubts.is_empty())
        };
        let named = r#", "allowed_hosts": ["localhost", "mac.local", "other"]"#;
        let with_port = r#", "allowed_hosts": ["[fd00::1]:80"]"#;
        for (bind, hosts, network, expected, in_doubt) in [
            ("127.0.0.1:7411", "", None, "http://127.0.0.1:7411", false),
            ("[::1]:7411", "", None, "http://[::1]:7411", false),
            (
                "192.0.2.7:7411",
                named,
                None,
                "http://192.0.2.7:7411",
                false,
            ),
            ("0.0.0.0:7411", named, None, "http://mac.local:7411", false),
            ("[::]:7411", with_port, None, "http://[fd00::1]:80", false),
            (
                "0.0.0.0:7411",
                "",
                Some("10.0.0.9"),
                "http://10.0.0.9:7411",
                true,
            ),
            ("0.0.0.0:7411", "", None, "http://127.0.0.1:7411", true),
            ("127.0.0.1:0", "", None, "http://127.0.0.1:0", true),
        ] {
            let found = url(bind, hosts, network);
            assert_eq!(found, (expected.to_owned(), in_doubt), "{bind} {hosts}");
        }
    }
}
