//! A load from another process, of which nothing is measured: what a neighbour has to bear.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Bench;
use super::load::{self, Endpoint, Plan, Shape, Speaks, Tool};
use super::process::Running;

/// It is ended before; where nobody does, it ends.
const LONGEST: Duration = Duration::from_mins(1);

/// What is called by whom, on an endpoint for bare JSON-RPC.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Noise {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    path: String,
    #[arg(long)]
    bearer: String,
    #[arg(long)]
    clients: usize,
    #[arg(long, value_enum)]
    tool: Tool,
    #[arg(long)]
    bytes: usize,
}

impl Noise {
    pub(crate) fn on(endpoint: Endpoint, clients: usize, tool: Tool, bytes: usize) -> Self {
        let Endpoint {
            address,
            path,
            bearer,
            speaks: _,
        } = endpoint;
        Self {
            address,
            path,
            bearer,
            clients,
            tool,
            bytes,
        }
    }

    /// Makes it in another process, until that is dropped.
    pub(crate) fn start(&self, bench: &Bench) -> anyhow::Result<Running> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the benchmark starts what it measures"
        )]
        let mut command = Command::new(&bench.programs.bench);
        command.args(["noise", "--address", &self.address.to_string()]);
        command.args(["--path", &self.path, "--bearer", &self.bearer]);
        command.args(["--clients", &self.clients.to_string()]);
        command.args([
            "--tool",
            self.tool.name(),
            "--bytes",
            &self.bytes.to_string(),
        ]);
        Running::start(&mut command, Path::new("/dev/null"))
    }

    /// Makes it in this process.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let plan = Plan {
            shape: Shape::new(self.tool, self.bytes, false),
            endpoint: Endpoint {
                address: self.address,
                path: self.path,
                bearer: self.bearer,
                speaks: Speaks::Rpc,
            },
            clients: self.clients,
            one_session: false,
            warm_up: Duration::ZERO,
            lasts: LONGEST,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(load::run(&plan, None)).map(drop)
    }
}
