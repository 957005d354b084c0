//! One client: what a call takes when nothing else is under way, and what more tokens cost it.

use super::Bench;
use super::cells::{self, Cell, Measured};
use super::contender::{LEGACY, Setup};
use super::load::Speaks;
use super::table::{Table, Target};
use super::throughput::{EVERYBODY, Field};

/// The median call, and the slowest of a hundred, by those through the floor.
const SLOWER: f64 = 1.3;
/// The median call with a hundred tokens by that with one.
const WITH_TOKENS: f64 = 1.05;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let field = Field::start(bench).await?;
    let cells: Vec<_> = EVERYBODY
        .into_iter()
        .map(|who| {
            let (endpoint, watched) = field.endpoint(who);
            Cell {
                label: who.label(),
                endpoint,
                watched,
                clients: 1,
                noise: None,
            }
        })
        .collect();
    let measured = Measured::of(bench, &cells).await?;
    let mut table = Table::new("Latency, 1 client", &cells::COLUMNS);
    measured.add_rows_to(&mut table);
    for (place, who) in EVERYBODY.iter().enumerate().skip(2) {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let of = |place| measured.figure(place, |outcome| outcome.latency(share));
            table.aim(
                format!("{}: {name} of floor+child 2t's", who.label()),
                "×",
                of(place).by(&of(1)),
                Target::AtMost(SLOWER),
            );
        }
    }
    drop(field);
    Ok(vec![table, tokens(bench).await?])
}

async fn tokens(bench: &Bench) -> anyhow::Result<Table> {
    let programs = &bench.programs;
    let one = Setup::new(programs).tokens(1).start(programs).await?;
    let hundred = Setup::new(programs).tokens(100).start(programs).await?;
    let cells = [("1 token", &one), ("100 tokens", &hundred)].map(|(label, gateway)| Cell {
        label: label.to_owned(),
        endpoint: gateway.endpoint(LEGACY, Speaks::Rpc),
        watched: gateway.watched(),
        clients: 1,
        noise: None,
    });
    let measured = Measured::of(bench, &cells).await?;
    let mut table = Table::new("Tokens, 1 client on /{id}/rpc", &cells::COLUMNS);
    measured.add_rows_to(&mut table);
    let slower = measured.slower(1, 0.5);
    table.aim(
        "p50 with 100 tokens by that with 1",
        "×",
        slower,
        Target::AtMost(WITH_TOKENS),
    );
    Ok(table)
}
