//! Tracing: what a call costs when spans go to a collector, beside the same call without.

use std::process::Command;

use super::Bench;
use super::cells::{self, Cell, Measured};
use super::contender::{LEGACY, Setup};
use super::load::{Outcome, Speaks};
use super::process::{Running, free_port};
use super::table::{Table, Target};

/// CPU a call with one trace in a hundred, and with every trace, by that without tracing.
const SAMPLED: f64 = 1.1;
const TRACED: f64 = 2.0;
const CLIENTS: usize = 64;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let programs = &bench.programs;
    let port = free_port()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark starts what it measures"
    )]
    let mut sink = Command::new(&programs.bench);
    sink.args(["sink", "--port", &port.to_string()]);
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut sink = Running::start(&mut sink, &log)?;
    sink.listens(port, &log).await?;

    let endpoint = format!("http://127.0.0.1:{port}");
    let traced = Setup::new(programs)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .variable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let sampled = traced
        .clone()
        .variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .variable("OTEL_TRACES_SAMPLER_ARG", "0.01");
    let gateways = [
        ("no tracing", Setup::new(programs).start(programs).await?),
        ("every trace", traced.start(programs).await?),
        ("1 % of traces", sampled.start(programs).await?),
    ];
    let cells = gateways.each_ref().map(|(label, gateway)| Cell {
        label: (*label).to_owned(),
        endpoint: gateway.endpoint(LEGACY, Speaks::Rpc),
        watched: gateway.watched(),
        clients: CLIENTS,
        noise: None,
    });
    let measured = Measured::of(bench, &cells).await?;
    let mut table = Table::new("OTLP, 64 clients on /{id}/rpc", &cells::COLUMNS);
    measured.add_rows_to(&mut table);
    let cpu = |place| measured.figure(place, Outcome::cpu_per_call);
    table.aim(
        "CPU a call with 1 % of traces by that without",
        "×",
        cpu(2).by(&cpu(0)),
        Target::AtMost(SAMPLED),
    );
    table.aim(
        "CPU a call with every trace by that without",
        "×",
        cpu(1).by(&cpu(0)),
        Target::AtMost(TRACED),
    );
    Ok(vec![table])
}
