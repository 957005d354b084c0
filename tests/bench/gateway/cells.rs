//! Cells that are compared with the first of them: the same calls under other circumstances.

use anyhow::Context;

use super::Bench;
use super::load::{self, Endpoint, Outcome, Plan, Shape, Speaks, Tool};
use super::noise::Noise;
use super::process::Watched;
use super::rounds::Rounds;
use super::table::{Figure, Table, as_f64};

/// The columns of such a table.
pub(crate) const COLUMNS: [&str; 8] = [
    "calls/s",
    "× first",
    "p50 µs",
    "× first",
    "p99 µs",
    "× first",
    "CPU µs/call",
    "errors",
];

/// One load, and what goes on meanwhile.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) label: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) watched: Watched,
    pub(crate) clients: usize,
    /// A load from another process, while this one is measured.
    pub(crate) noise: Option<Noise>,
}

/// The cells of all rounds.
#[derive(Debug)]
pub(crate) struct Measured {
    labels: Vec<String>,
    rounds: Rounds<usize>,
}

impl Cell {
    async fn measure(&self, bench: &Bench) -> anyhow::Result<Outcome> {
        let plan = Plan {
            endpoint: self.endpoint.clone(),
            shape: Shape::new(Tool::Echo, 0, self.endpoint.speaks == Speaks::Modern),
            clients: self.clients,
            one_session: false,
            warm_up: bench.warm_up,
            lasts: bench.lasts,
        };
        let noise = self
            .noise
            .as_ref()
            .map(|noise| noise.start(bench))
            .transpose()?;
        let outcome = load::run(&plan, Some(self.watched)).await;
        drop(noise);
        outcome.with_context(|| self.label.clone())
    }
}

impl Measured {
    /// Measures each cell in each round.
    pub(crate) async fn of(bench: &Bench, cells: &[Cell]) -> anyhow::Result<Self> {
        let mut rounds = Rounds::default();
        let places: Vec<usize> = (0..cells.len()).collect();
        for round in 0..bench.rounds {
            for place in bench.in_turn(round, &places) {
                if let Some(cell) = cells.get(place) {
                    rounds.add(place, cell.measure(bench).await?);
                }
            }
        }
        let labels = cells.iter().map(|cell| cell.label.clone()).collect();
        Ok(Self { labels, rounds })
    }

    /// One quantity of a cell, by its place.
    pub(crate) fn figure(&self, place: usize, value: impl Fn(&Outcome) -> Option<f64>) -> Figure {
        self.rounds.figure(&place, value)
    }

    /// A quantile of the latency of a cell by that of the first.
    pub(crate) fn slower(&self, place: usize, quantile: f64) -> Figure {
        self.slower_than(0, place, quantile)
    }

    /// The same by that of another cell.
    pub(crate) fn slower_than(&self, other: usize, place: usize, quantile: f64) -> Figure {
        let of = |place| self.figure(place, |outcome| outcome.latency(quantile));
        of(place).by(&of(other))
    }

    /// Adds a row for each cell, and what went wrong.
    pub(crate) fn add_rows_to(&self, table: &mut Table) {
        let speed = |place| self.figure(place, |outcome| Some(outcome.calls_per_second()));
        for (place, label) in self.labels.iter().enumerate() {
            let figures = vec![
                speed(place),
                speed(place).by(&speed(0)),
                self.figure(place, |outcome| outcome.latency(0.5)),
                self.slower(place, 0.5),
                self.figure(place, |outcome| outcome.latency(0.99)),
                self.slower(place, 0.99),
                self.figure(place, Outcome::cpu_per_call),
                self.figure(place, |outcome| Some(as_f64(outcome.errors))),
            ];
            table.row(label.clone(), figures);
        }
        let label = |place: &usize| self.labels.get(*place).cloned().unwrap_or_default();
        table.complain(self.rounds.complaints(label));
    }
}
