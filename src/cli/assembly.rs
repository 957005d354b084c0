//! The doors from the command line to the floor below, each in one place.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;

use super::exit::Exit;
use super::terminal;
use crate::config::{self, Config, Env, Faults};
use crate::http::{self, TokenEntry};
use crate::lifecycle::{self, Ended, Reread};
use crate::supervisor;
use crate::types::Secret;

mod probe;

pub(super) use probe::SupervisedProber;

/// What the command line wants to know of a config file that is in order.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The servers, in the order of the file.
    pub(super) servers: Vec<supervisor::Config>,
    /// What deserves a look, one line each; never a secret.
    pub(super) warnings: Vec<String>,
    /// Where clients on this machine reach the gateway, such as `http://127.0.0.1:7411`.
    pub(super) base_url: String,
    /// Why `base_url` may be another one in truth, or may not do for a client.
    pub(super) base_url_doubts: Vec<&'static str>,
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
    let (base_url, base_url_doubts) = base_url(&config.http);
    Ok(Loaded {
        base_url,
        base_url_doubts,
        servers: config
            .servers
            .into_iter()
            .map(|server| server.supervisor)
            .collect(),
        warnings: config.warnings,
    })
}

/// Where clients on this machine reach a gateway with this config, and what is uncertain about it.
fn base_url(edge: &http::Config) -> (String, Vec<&'static str>) {
    let bind = edge.bind;
    let (mut address, mut doubts) = (bind, Vec::new());
    if bind.ip().is_unspecified() {
        address.set_ip(match bind {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
        doubts.push(
            "the gateway listens on every address; for clients elsewhere name one with --url",
        );
    }
    if bind.port() == 0 {
        doubts.push("bind_port is 0, so the port is another one at each start: the log says which, name it with --url");
    }
    let scheme = if edge.tls.is_some() {
        doubts.push(
            "clients must call the gateway by a name that is in its certificate, so name that with --url; and they \
             must trust its issuer: with one of your own, curl wants --cacert, and Node.js NODE_EXTRA_CA_CERTS",
        );
        "https"
    } else {
        "http"
    };
    (format!("{scheme}://{address}"), doubts)
}

fn refused(faults: &Faults) -> Refused {
    Refused {
        faults: faults.to_string().lines().map(str::to_owned).collect(),
        missing: faults.is_missing(),
    }
}

impl Refused {
    /// Tells a person why.
    pub(super) fn complain(&self) -> Exit {
        terminal::complain(&self.faults.join("\n"));
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
    /// Such as `http://127.0.0.1:7411`.
    pub(super) base_url: String,
    /// The port is another one at each start, and not in `base_url`.
    pub(super) any_port: bool,
    /// A value of the Host header that the gateway lets in, where the URL's own is not.
    pub(super) host: Option<String>,
    /// The certificate that it shows, where it speaks TLS.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// A token of the config, where it has more than digests.
    pub(super) token: Option<Secret>,
}

/// The door of the gateway that runs with this config file.
pub(super) fn door(path: &Path) -> Result<Door, Refused> {
    let env = Env::of_process();
    let config = config::load(path, &env).map_err(|faults| refused(&faults))?;
    let (base_url, _) = base_url(&config.http);
    let hosts = &config.http.admission.allowed_hosts;
    let own = base_url.split_once("://").map_or("", |(_scheme, own)| own);
    let name = own.rsplit_once(':').map_or(own, |(name, _port)| name);
    let is_let_in = hosts.iter().any(|host| host == own || host == name);
    Ok(Door {
        any_port: config.http.bind.port() == 0,
        certificate: config
            .http
            .tls
            .and_then(|tls| tls.identity().first().cloned()),
        host: hosts.first().filter(|_| !is_let_in).cloned(),
        token: config::operator_token(path, &env),
        base_url,
    })
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

/// Runs the guard of one server; `args` are the command line after the verb.
pub fn guard(args: impl Iterator<Item = OsString>) -> ExitCode {
    supervisor::guard::main(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_nobody_can_call_is_told_apart() {
        let url = |bind: &str| {
            let text = r#"{"allowed_clients": ["localhost"], "auth_token": "0123456789abcdefghij", "servers": []}"#;
            let mut edge = config::from_text(text, Path::new("c"), &Env::of_process())
                .unwrap()
                .http;
            edge.bind = bind.parse().unwrap();
            let (url, doubts) = base_url(&edge);
            (url, !doubts.is_empty())
        };
        assert_eq!(
            url("127.0.0.1:7411"),
            ("http://127.0.0.1:7411".to_owned(), false)
        );
        assert_eq!(url("[::1]:7411"), ("http://[::1]:7411".to_owned(), false));
        assert_eq!(
            url("0.0.0.0:7411"),
            ("http://127.0.0.1:7411".to_owned(), true)
        );
        assert_eq!(url("[::]:7411"), ("http://[::1]:7411".to_owned(), true));
        assert!(url("127.0.0.1:0").1);
    }
}
