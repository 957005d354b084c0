//! Large messages: bytes a second, and how much memory they take while they cross.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Bench;
use super::load::{Outcome, Tool};
use super::process::Watched;
use super::rounds::Rounds;
use super::table::{Figure, Table, Target, as_f64};
use super::throughput::{EVERYBODY, Field, Load, Who, load};

const COLUMNS: [&str; 8] = [
    "calls/s",
    "MiB/s",
    "× floor 1t",
    "× floor 2t",
    "p50 µs",
    "CPU µs/call",
    "MiB more at most",
    "× in flight",
];
const KIB: usize = 1024;
const LOADS: [Load; 3] = [
    load("8 clients, 256 KiB both ways", 8, Tool::Echo, 256 * KIB),
    load("8 clients, 256 KiB back", 8, Tool::Payload, 256 * KIB),
    load("2 clients, 8 MiB back", 2, Tool::Payload, 8 * KIB * KIB),
];
/// Of the floor's bytes a second.
const SHARE: f64 = 0.8;
/// Memory by the bytes of all requests and answers that can be under way at once.
const COPIES: f64 = 3.0;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(2);

type Key = (Load, Who);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let cells: Vec<Key> = LOADS
        .iter()
        .flat_map(|load| EVERYBODY.map(|who| (*load, who)))
        .collect();
    let mut rounds = Rounds::default();
    let mut memory: Vec<(Key, Option<f64>)> = Vec::new();
    for round in 0..bench.rounds {
        for (load, who) in bench.in_turn(round, &cells) {
            // Anew for each: an allocator keeps what it once had.
            let field = Field::start(bench).await?;
            let peak = Peak::watch(field.endpoint(who).1);
            rounds.add((load, who), field.measure(bench, who, load).await?);
            memory.push(((load, who), peak.end()));
        }
    }
    let mut table = Table::new("Large messages", &COLUMNS);
    for load in LOADS {
        table.heading(load.label);
        for who in EVERYBODY {
            let grown = memory
                .iter()
                .filter(|(key, _)| *key == (load, who))
                .map(|(_, grown)| *grown);
            row(&mut table, &rounds, (load, who), &Figure::of(grown));
        }
    }
    table.complain(rounds.complaints(|(load, who)| format!("{}, {}", load.label, who.label())));
    Ok(vec![table])
}

/// `grown` is in KiB.
fn row(table: &mut Table, rounds: &Rounds<Key>, (load, who): Key, grown: &Figure) {
    let ways = if load.tool == Tool::Echo { 2 } else { 1 };
    let mib = as_f64((load.bytes * ways) as u64) / as_f64((KIB * KIB) as u64);
    let in_flight = as_f64((load.bytes * ways * load.clients / KIB) as u64);
    let speed = |who: Who| rounds.figure(&(load, who), |outcome| Some(outcome.calls_per_second()));
    let by_two = speed(who).by(&speed(Who::Floor(2)));
    let copies = grown.map(|kib| kib / in_flight);
    if let Who::Gateway(_) = who {
        let what = format!("{}, {}", load.label, who.label());
        table.aim(
            format!("{what}: of floor+child 2t"),
            "×",
            by_two.clone(),
            Target::AtLeast(SHARE),
        );
        table.aim(
            format!("{what}: memory of bytes in flight"),
            "×",
            copies.clone(),
            Target::AtMost(COPIES),
        );
    }
    let figures = vec![
        speed(who),
        speed(who).map(|calls| calls * mib),
        speed(who).by(&speed(Who::Floor(1))),
        by_two,
        rounds.figure(&(load, who), |outcome| outcome.latency(0.5)),
        rounds.figure(&(load, who), Outcome::cpu_per_call),
        grown.map(|kib| kib / 1024.0),
        copies,
    ];
    table.row(who.label(), figures);
}

/// Looks at a process's anonymous memory from a thread of its own, because the load source has no time for it.
struct Peak {
    before: Option<u64>,
    most: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Peak {
    #[expect(
        clippy::disallowed_methods,
        reason = "the thread is for nothing but to look now and then"
    )]
    fn watch(watched: Watched) -> Self {
        let (most, ends) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (seen, over) = (Arc::clone(&most), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_max(watched.anonymous_kib().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        let before = watched.anonymous_kib();
        Self {
            before,
            most,
            ends,
            thread,
        }
    }

    /// By how many KiB it grew at most.
    fn end(self) -> Option<f64> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().ok()?;
        Some(as_f64(
            self.most
                .load(Ordering::Relaxed)
                .saturating_sub(self.before?),
        ))
    }
}
