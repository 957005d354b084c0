//! `conformance_server`: a stdio MCP server that does all that the MCP conformance suite calls for. It exists for the tests and is not installed.
//!
//! `conformance_server [era=legacy|modern|dual] [--http PORT]`
//!
//! It speaks both eras of the protocol unless `era` says otherwise: each request is taken in the era that it
//! claims. One instance may serve many clients behind one pipe: a call that waits for a person blocks no
//! other, and a call keeps nothing for the next one. What the protocol itself ties to a connection (legacy
//! log level, resource subscriptions, client capabilities) is shared by all who share the connection.
//!
//! `--http` puts a plain HTTP front before the same server, on loopback and without authentication: the
//! suite speaks HTTP only, and what it says about the server alone is the baseline for a gateway before it.

#![expect(
    clippy::disallowed_methods,
    reason = "the fixture works and waits on threads of its own"
)]

mod call;
mod cancelled;
mod http;
mod listen;
mod media;
mod peer;
mod prompts;
mod question;
mod resources;
mod server;
mod state;
mod tools;
mod wire;

use std::io::BufRead as _;
use std::process::ExitCode;
use std::sync::Arc;

use server::{Era, Server};
use state::Seal;
use wire::{Wire, complain};

/// What the command line says.
#[derive(Debug)]
struct Options {
    era: Era,
    http: Option<u16>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&fault);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let options = options(std::env::args().skip(1))?;
    let seal = Seal::new().map_err(|fault| format!("no randomness: {fault}"))?;
    let server = Arc::new(Server::new(options.era, seal));
    if let Some(port) = options.http {
        return http::serve(server, port).map_err(|fault| format!("port {port}: {fault}"));
    }
    serve_stdio(&server);
    Ok(())
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        era: Era::Dual,
        http: None,
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "era=legacy" => options.era = Era::Legacy,
            "era=modern" => options.era = Era::Modern,
            "era=dual" => options.era = Era::Dual,
            "--http" => {
                let port = arguments.next().and_then(|port| port.parse().ok());
                options.http = Some(port.ok_or("--http wants a port")?);
            }
            unknown => {
                return Err(format!(
                    "{unknown}: expected era=legacy, era=modern, era=dual or --http PORT"
                ));
            }
        }
    }
    Ok(options)
}

/// Reads messages until stdin ends. Calls that still run then are lost with the process.
fn serve_stdio(server: &Arc<Server>) {
    let wire = Wire::stdout();
    let peer = server.connect(wire.clone());
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match serde_json::from_slice(&line) {
            Ok(message) => server::handle(server, &peer, &wire, message),
            Err(fault) => complain(&format!("a line that is no message: {fault}")),
        }
    }
}
