//! The gateway under load, beside the barest relay that is right. `tests/bench/run` builds and runs it.
//!
//! One program plays every part: by itself it is the driver and the load source; started anew with a word it is the
//! child (`stub`) or the floor (`floor`). What is measured is the gateway as a process of its own, with a token, an
//! allowlist, limits, metrics and logs. Only loopback is used, every loop ends, and only what was started here is ended.
//!
//! A round goes through all cells of a group, beginning at another one each time; what comes before a cell's time is
//! not counted. Figures are medians of the rounds, ratios are taken within a round.

mod budget;
mod cells;
mod contender;
mod floor;
mod large;
mod latency;
mod load;
mod memory;
mod noise;
mod otlp;
mod process;
mod rounds;
mod scale;
mod sink;
mod stub;
mod table;
mod throughput;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};

use contender::Programs;
use table::Table;

/// Measures the gateway and the floor beside it.
#[derive(Debug, Parser)]
#[command(name = "tests/bench/run", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: Vec<What>,
    /// How often; figures are medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a cell of a round lasts
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Write every round of every figure here
    #[arg(long)]
    json: Option<PathBuf>,
    /// The gateway to measure; by default the one that was built beside this program
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Cargo's word for "measure"
    #[arg(long, hide = true)]
    bench: bool,
    /// What test runners ask; there are no tests here
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    ignored: bool,
}

/// Another part of the play.
#[derive(Debug, Subcommand)]
enum Part {
    /// The child
    #[command(hide = true)]
    Stub {
        #[arg(long)]
        modern: bool,
    },
    /// The barest relay in front of a child
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        threads: usize,
        #[arg(last = true)]
        child: Vec<OsString>,
    },
    /// A load that nothing is measured of
    #[command(hide = true)]
    Noise(noise::Noise),
    /// A collector that keeps nothing
    #[command(hide = true)]
    Sink {
        #[arg(long)]
        port: u16,
    },
}

/// A group of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Everything but the budget
    All,
    /// Calls per second, and the gateway's time for each
    Throughput,
    /// One client; and many tokens
    Latency,
    /// 256 KiB and 8 MiB
    Large,
    /// At rest, a session, a stream, a guard; and the time of a start
    Memory,
    /// Many servers, many sessions, a bad neighbour
    Scale,
    /// With traces
    Otlp,
    /// What one message costs, counted and held against a budget
    Budget,
}

/// What every group needs.
#[derive(Debug)]
struct Bench {
    programs: Programs,
    rounds: usize,
    warm_up: Duration,
    lasts: Duration,
}

impl Bench {
    /// The cells in the order of a round.
    fn in_turn<T: Clone>(&self, round: usize, cells: &[T]) -> Vec<T> {
        let mut cells = cells.to_vec();
        let by = cells.len() * round / self.rounds.max(1);
        cells.rotate_left(by);
        cells
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Stub { modern }) => stub::run(modern)?,
        Some(Part::Floor {
            port,
            threads,
            child,
        }) => floor::run(port, threads, &child)?,
        Some(Part::Noise(noise)) => noise.run()?,
        Some(Part::Sink { port }) => sink::run(port)?,
        None if arguments.bench => return measure(arguments),
        None => {
            if !arguments.list {
                say("this is a benchmark and no test: run it with tests/bench/run");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let bench = std::env::current_exe()?;
    // target/<profile>/deps/gateway-<hash>
    let beside = bench
        .ancestors()
        .nth(2)
        .context("no folder above")?
        .join("host-mcp-gateway");
    let programs = Programs {
        gateway: arguments.gateway.unwrap_or(beside),
        bench,
    };
    let bench = Bench {
        programs,
        rounds: arguments.rounds,
        warm_up: Duration::from_millis(200),
        lasts: Duration::from_secs_f64(arguments.seconds),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut tables = Vec::new();
    process::descriptors();
    for what in What::value_variants() {
        if arguments.what.contains(what)
            || (arguments.what.contains(&What::All) && *what != What::Budget)
        {
            let new = runtime.block_on(what.run(&bench))?;
            for table in &new {
                say(&table.shown());
            }
            tables.extend(new);
        }
    }
    let over: Vec<_> = tables.iter().flat_map(Table::over_budget).collect();
    if let Some(file) = arguments.json {
        let tables: Vec<_> = tables.iter().map(Table::json).collect();
        std::fs::write(&file, serde_json::to_vec_pretty(&tables)?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if over.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say(&budget::advice(&over));
    Ok(ExitCode::FAILURE)
}

impl What {
    async fn run(self, bench: &Bench) -> anyhow::Result<Vec<Table>> {
        match self {
            Self::All => Ok(Vec::new()),
            Self::Throughput => throughput::run(bench).await,
            Self::Latency => latency::run(bench).await,
            Self::Large => large::run(bench).await,
            Self::Memory => memory::run(bench).await,
            Self::Scale => scale::run(bench).await,
            Self::Otlp => otlp::run(bench).await,
            Self::Budget => budget::run(bench).await,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the tables are what it is run for")]
fn say(text: &str) {
    println!("{text}");
}
