//! Calls per second: the gateway's endpoints and the floor, side by side, with few clients and many.

use anyhow::Context;

use super::contender::{Contender, LEGACY, MODERN, Setup};
use super::load::{self, Endpoint, Outcome, Plan, Shape, Speaks, Tool};
use super::process::Watched;
use super::table::{Table, Target};
use super::{Bench, rounds::Rounds};

const COLUMNS: [&str; 9] = [
    "calls/s",
    "× floor 1t",
    "× floor 2t",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "CPU µs/call",
    "calls",
    "errors",
];
/// Of the calls per second of the floor with as many threads as the gateway has here.
const SHARE: f64 = 0.8;
/// CPU a call by the same floor's, where many are under way.
const DEARER: f64 = 1.3;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Floor(usize),
    Gateway(Speaks),
}

/// All that are asked, the floors first.
pub(crate) const EVERYBODY: [Who; 5] = [
    Who::Floor(1),
    Who::Floor(2),
    Who::Gateway(Speaks::Rpc),
    Who::Gateway(Speaks::Session),
    Who::Gateway(Speaks::Modern),
];

impl Who {
    pub(crate) fn label(self) -> String {
        match self {
            Self::Floor(threads) => format!("floor+child {threads}t"),
            Self::Gateway(Speaks::Rpc) => "/{id}/rpc".to_owned(),
            Self::Gateway(Speaks::Session) => "/{id}/mcp session".to_owned(),
            Self::Gateway(Speaks::Modern) => "/{id}/mcp 2026-07-28".to_owned(),
        }
    }
}

/// What is asked of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Load {
    pub(crate) label: &'static str,
    pub(crate) clients: usize,
    pub(crate) one_session: bool,
    pub(crate) tool: Tool,
    pub(crate) bytes: usize,
}

pub(crate) const fn load(label: &'static str, clients: usize, tool: Tool, bytes: usize) -> Load {
    Load {
        label,
        clients,
        one_session: false,
        tool,
        bytes,
    }
}

const LOADS: [Load; 8] = [
    load("1 client", 1, Tool::Echo, 0),
    load("8 clients", 8, Tool::Echo, 0),
    load("64 clients", 64, Tool::Echo, 0),
    Load {
        one_session: true,
        ..load("64 clients, 1 session", 64, Tool::Echo, 0)
    },
    load("512 clients", 512, Tool::Echo, 0),
    load("8 clients, 1 KiB", 8, Tool::Echo, 1024),
    load("64 clients, 1 KiB", 64, Tool::Echo, 1024),
    load("64 clients, 50 ms tool", 64, Tool::Sleep, 0),
];

/// Everybody, started and answering.
#[derive(Debug)]
pub(crate) struct Field {
    gateway: Contender,
    floors: [Contender; 2],
}

impl Field {
    pub(crate) async fn start(bench: &Bench) -> anyhow::Result<Self> {
        let programs = &bench.programs;
        let gateway = Setup::new(programs).start(programs).await?;
        gateway
            .answers(&gateway.endpoint(MODERN, Speaks::Modern))
            .await?;
        let floors = [
            Contender::floor(programs, 1).await?,
            Contender::floor(programs, 2).await?,
        ];
        Ok(Self { gateway, floors })
    }

    pub(crate) fn endpoint(&self, who: Who) -> (Endpoint, Watched) {
        let [one, two] = &self.floors;
        match who {
            Who::Floor(1) => (one.whole(), one.watched()),
            Who::Floor(_) => (two.whole(), two.watched()),
            Who::Gateway(speaks) => {
                let server = if speaks == Speaks::Modern {
                    MODERN
                } else {
                    LEGACY
                };
                (
                    self.gateway.endpoint(server, speaks),
                    self.gateway.watched(),
                )
            }
        }
    }

    pub(crate) async fn measure(
        &self,
        bench: &Bench,
        who: Who,
        load: Load,
    ) -> anyhow::Result<Outcome> {
        let (endpoint, watched) = self.endpoint(who);
        let plan = Plan {
            shape: Shape::new(load.tool, load.bytes, endpoint.speaks == Speaks::Modern),
            endpoint,
            clients: load.clients,
            one_session: load.one_session,
            warm_up: bench.warm_up,
            lasts: bench.lasts,
        };
        let outcome = load::run(&plan, Some(watched)).await;
        outcome.with_context(|| format!("{}, {}", load.label, who.label()))
    }
}

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let cells = LOADS
        .iter()
        .flat_map(|load| EVERYBODY.map(|who| (*load, who)));
    let cells: Vec<_> = cells.collect();
    let mut rounds = Rounds::default();
    for round in 0..bench.rounds {
        let field = Field::start(bench).await?;
        for (load, who) in bench.in_turn(round, &cells) {
            rounds.add((load, who), field.measure(bench, who, load).await?);
        }
    }
    let mut table = Table::new("Throughput", &COLUMNS);
    for load in LOADS {
        table.heading(load.label);
        for who in EVERYBODY {
            row(&mut table, &rounds, load, who);
        }
    }
    table.complain(rounds.complaints(|(load, who)| format!("{}, {}", load.label, who.label())));
    Ok(vec![table])
}

/// One row, and its aims where it is the gateway's.
fn row(table: &mut Table, rounds: &Rounds<(Load, Who)>, load: Load, who: Who) {
    let of = |value: fn(&Outcome) -> Option<f64>| rounds.figure(&(load, who), value);
    let speed = |who: Who| rounds.figure(&(load, who), |outcome| Some(outcome.calls_per_second()));
    let (one, two) = (
        speed(who).by(&speed(Who::Floor(1))),
        speed(who).by(&speed(Who::Floor(2))),
    );
    let cpu = of(Outcome::cpu_per_call);
    let dearer = cpu.by(&rounds.figure(&(load, Who::Floor(2)), Outcome::cpu_per_call));
    if let Who::Gateway(_) = who {
        let what = format!("{}, {}", load.label, who.label());
        if load.tool == Tool::Echo && matches!(load.clients, 8 | 64) {
            table.aim(
                format!("{what}: of floor+child 2t"),
                "×",
                two.clone(),
                Target::AtLeast(SHARE),
            );
        }
        if load.clients == 64 && load.tool == Tool::Echo {
            table.aim(
                format!("{what}: CPU a call of floor+child 2t's"),
                "×",
                dearer,
                Target::AtMost(DEARER),
            );
        }
    }
    table.row(
        who.label(),
        vec![
            speed(who),
            one,
            two,
            of(|outcome| outcome.latency(0.5)),
            of(|outcome| outcome.latency(0.99)),
            of(|outcome| outcome.latency(0.999)),
            cpu,
            of(|outcome| Some(super::table::as_f64(outcome.calls))),
            of(|outcome| Some(super::table::as_f64(outcome.errors))),
        ],
    );
}
