//! What one message costs, counted instead of timed, and what it may cost.
//!
//! Counts are the same on an idle machine and on a busy one, so this can fail where a time could only hint. valgrind
//! runs the gateway: its callgrind counts instructions, its dhat counts allocations. The child runs by itself and is not
//! counted, nor is the guard. One client sends call after call on one connection. A run makes [`FEW`] calls in every
//! cell, another one [`MORE`] beyond these in one cell: what the two differ by, divided by `MORE`, is one message; start,
//! handshakes and end are in both.
//!
//! What is counted is the gateway with the system's allocator (`tests/bench/run`): valgrind sees its blocks, and not those
//! of the one that the gateway usually has, which takes fewer instructions for each.
//!
//! The processor that valgrind shows has no instructions for SHA-256: about 3,400 instructions of each figure are the
//! digest of the token in plain code, which elsewhere takes a tenth of that. System calls count as the few instructions
//! around them: what happens in the kernel is what the times of the other groups are for.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Bench;
use super::contender::{LEGACY, MODERN, Setup};
use super::load::{Endpoint, Shape, Speaks, Tool, in_a_row};
use super::table::{Figure, Table, Target, as_f64};

/// What one message costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    instructions: f64,
    blocks: f64,
    bytes: f64,
}

/// One kind of message, and what it cost when that was last decided.
#[derive(Debug)]
struct Cell {
    label: &'static str,
    server: &'static str,
    speaks: Speaks,
    /// Of the text in the call; 0 is the shortest.
    text: usize,
    budget: Cost,
}

/// The budgets: x86-64 Linux, two shards. Measured 2026-11-29 with Rust 1.95.0, valgrind 3.19.0 and glibc 2.36.
const CELLS: [Cell; 4] = [
    Cell {
        label: "/{id}/rpc",
        server: LEGACY,
        speaks: Speaks::Rpc,
        text: 0,
        budget: Cost {
            instructions: 53_400.0,
            blocks: 22.0,
            bytes: 16_700.0,
        },
    },
    Cell {
        label: "/{id}/rpc, 1 KiB",
        server: LEGACY,
        speaks: Speaks::Rpc,
        text: 1024,
        budget: Cost {
            instructions: 63_200.0,
            blocks: 22.0,
            bytes: 19_700.0,
        },
    },
    Cell {
        label: "/{id}/mcp, session",
        server: LEGACY,
        speaks: Speaks::Session,
        text: 0,
        budget: Cost {
            instructions: 60_000.0,
            blocks: 30.0,
            bytes: 19_000.0,
        },
    },
    Cell {
        label: "/{id}/mcp, modern",
        server: MODERN,
        speaks: Speaks::Modern,
        text: 0,
        budget: Cost {
            instructions: 65_000.0,
            blocks: 32.0,
            bytes: 19_100.0,
        },
    },
];
/// By which part of a budget a figure may be above it; so far below it, the budget could be lowered.
const TOLERANCE: f64 = 0.1;

/// Calls in every cell of every run.
const FEW: u32 = 100;
/// Calls beyond these, of which the cost is taken.
const MORE: u32 = 1000;
/// What all calls of a cell may take, or the gateway's end, under valgrind.
const PATIENCE: Duration = Duration::from_mins(2);
/// So many shards the gateway has on the smallest machine; here it has as many on every machine.
#[cfg(target_os = "linux")]
const CORES: usize = 2;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the budgets are for x86-64: another processor has other instructions"
    );
    on_few_cores()?;
    let (instructions, allocations) = tokio::try_join!(
        each(bench, "callgrind", "Collected :"),
        each(bench, "dhat", "Total:"),
    )?;
    let mut table = Table::new(
        "Budget: one message, counted",
        &["instructions", "blocks", "bytes"],
    );
    for (place, cell) in CELLS.iter().enumerate() {
        let figure = |counts: &[Vec<f64>], column| {
            let counted = counts.get(place).and_then(|counts| counts.get(column));
            Figure::of([counted.copied()])
        };
        let budget = cell.budget;
        let figures = [
            (
                figure(&instructions, 0),
                "instructions",
                budget.instructions,
            ),
            (figure(&allocations, 1), "blocks", budget.blocks),
            (figure(&allocations, 0), "bytes", budget.bytes),
        ];
        let row = figures.iter().map(|(figure, ..)| figure.clone()).collect();
        table.row(cell.label, row);
        for (figure, unit, cost) in figures {
            let target = Target::Budget {
                cost,
                tolerance: TOLERANCE,
            };
            table.aim(cell.label, unit, figure, target);
        }
    }
    Ok(vec![table])
}

/// What to do about what is over its budget.
pub(crate) fn advice(over: &[String]) -> String {
    let file = file!();
    format!(
        "over budget: {}\nfind what grew: run the gateway of before and the one of now under `valgrind --tool=callgrind` \
        (or dhat), with the same calls, and compare what callgrind_annotate shows; or, where the message is worth its \
        new price, raise the budget on purpose in {file}",
        over.join("; ")
    )
}

/// The counts of one message of each cell, as a tool of valgrind gives them in the line of its report with this key.
async fn each(bench: &Bench, tool: &str, key: &str) -> anyhow::Result<Vec<Vec<f64>>> {
    let least = counted(bench, tool, key, None).await?;
    let mut costs = Vec::new();
    for place in 0..CELLS.len() {
        let counts = counted(bench, tool, key, Some(place)).await?;
        let counts = counts.iter().zip(&least);
        costs.push(
            counts
                .map(|(count, least)| (count - least) / f64::from(MORE))
                .collect(),
        );
    }
    Ok(costs)
}

/// The counts of a whole run, with more calls in one of the cells.
async fn counted(
    bench: &Bench,
    tool: &str,
    key: &str,
    more: Option<usize>,
) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report");
    let mut log = OsString::from("--log-file=");
    log.push(&report);
    let words = [
        "valgrind".into(),
        format!("--tool={tool}").into(),
        format!("--{tool}-out-file=/dev/null").into(),
        "--vgdb=no".into(),
        log,
    ];
    let programs = &bench.programs;
    let gateway = Setup::new(programs).under(words).start(programs).await;
    let gateway = gateway.context("the gateway under valgrind")?;
    for (place, cell) in CELLS.iter().enumerate() {
        let endpoint = gateway.endpoint(cell.server, cell.speaks);
        let calls = FEW + if more == Some(place) { MORE } else { 0 };
        let done = tokio::time::timeout(PATIENCE, cell.call(&endpoint, calls)).await;
        done.with_context(|| format!("{calls} calls of {} within {PATIENCE:?}", cell.label))??;
    }
    gateway.end(PATIENCE).await?;
    let report = std::fs::read_to_string(&report)?;
    counts(&report, key).with_context(|| format!("{tool} reports no \"{key}\": {report}"))
}

impl Cell {
    async fn call(&self, endpoint: &Endpoint, calls: u32) -> anyhow::Result<()> {
        let shape = Shape::new(Tool::Echo, self.text, self.speaks == Speaks::Modern);
        in_a_row(endpoint, &shape, calls).await.context(self.label)
    }
}

/// The numbers of the last line with this key; they may have commas.
fn counts(report: &str, key: &str) -> Option<Vec<f64>> {
    let mut lines = report.lines().filter_map(|line| line.split_once(key));
    let (_, rest) = lines.next_back()?;
    let words = rest.split_whitespace();
    let numbers = words.filter_map(|word| word.replace(',', "").parse().ok());
    Some(numbers.map(as_f64).collect())
}

/// Leaves this process, and what it starts, so many of its cores.
#[cfg(target_os = "linux")]
fn on_few_cores() -> anyhow::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let allowed = sched_getaffinity(None)?;
    let mut few = CpuSet::new();
    let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    cores.take(CORES).for_each(|core| few.set(core));
    sched_setaffinity(None, &few)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn on_few_cores() -> anyhow::Result<()> {
    anyhow::bail!("the budgets are for Linux")
}
