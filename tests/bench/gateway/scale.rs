//! Many of everything: what servers, sessions and a bad neighbour cost those who have nothing to do with them.

use std::num::NonZero;

use serde_json::json;

use super::Bench;
use super::cells::{self, Cell, Measured};
use super::contender::{Contender, LEGACY, Setup};
use super::load::{Connection, Session, Speaks, Tool};
use super::noise::Noise;
use super::table::{Figure, Table, Target};

const CLIENTS: usize = 8;
/// Those of the server whose neighbour is noisy: one that wants its answer soon, and so many that keep a core busy.
const NEIGHBOURS: [usize; 2] = [1, CLIENTS];
const SESSIONS: usize = 1000;
const SERVERS: [usize; 3] = [1, 20, 200];
/// The neighbour.
const NOISY: &str = "noisy";
/// Calls per second, by those with one server or session.
const SHARE: f64 = 0.9;
/// The median call beside a noisy neighbour, by that beside a quiet one. On a machine whose cores the noise fills it
/// cannot hold for anybody, so that it is held against what the floor loses as well.
const DISTURBED: f64 = 1.1;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let mut tables = vec![servers(bench).await?, sessions(bench).await?];
    for clients in NEIGHBOURS {
        tables.push(neighbours(bench, clients).await?);
    }
    Ok(tables)
}

async fn servers(bench: &Bench) -> anyhow::Result<Table> {
    let programs = &bench.programs;
    let mut gateways = Vec::new();
    for count in SERVERS {
        let more = (1..count).map(|number| format!("server{number}"));
        let setup = more.fold(Setup::one(programs), |setup, id| {
            setup.server(programs, &id, &["stub"])
        });
        let gateway = setup.start(programs).await?;
        if count > 1 {
            // Servers are started in order, more or less: when the last one is there, so are the others.
            let last = format!("server{}", count - 1);
            gateway
                .answers(&gateway.endpoint(&last, Speaks::Rpc))
                .await?;
        }
        gateways.push((count, gateway));
    }
    let cells: Vec<_> = gateways
        .iter()
        .map(|(count, gateway)| cell(format!("of {count}"), gateway, Speaks::Rpc, None))
        .collect();
    let mut table = Table::new(
        "Many servers, 8 clients on /{id}/rpc of one",
        &cells::COLUMNS,
    );
    let measured = Measured::of(bench, &cells).await?;
    measured.add_rows_to(&mut table);
    table.aim(
        "calls per second with 200 servers by those with 1",
        "×",
        speed(&measured, 2).by(&speed(&measured, 0)),
        Target::AtLeast(SHARE),
    );
    Ok(table)
}

async fn sessions(bench: &Bench) -> anyhow::Result<Table> {
    let programs = &bench.programs;
    let few = Setup::one(programs).start(programs).await?;
    let many = Setup::one(programs).limit("max_sessions_per_token", 2 * SESSIONS as u64);
    let many = many.start(programs).await?;
    let endpoint = many.endpoint(LEGACY, Speaks::Session);
    let mut connection = Connection::open(endpoint.address).await?;
    for _ in 0..SESSIONS {
        Session::open(&endpoint, Tool::Echo, &mut connection).await?;
    }
    let cells = [
        cell(
            "the clients' own sessions".to_owned(),
            &few,
            Speaks::Session,
            None,
        ),
        cell(format!("and {SESSIONS} more"), &many, Speaks::Session, None),
    ];
    let mut table = Table::new(
        "Sessions, 8 clients on /{id}/mcp, each in its own",
        &cells::COLUMNS,
    );
    let measured = Measured::of(bench, &cells).await?;
    measured.add_rows_to(&mut table);
    table.aim(
        "calls per second with 1,000 more sessions by those without",
        "×",
        speed(&measured, 1).by(&speed(&measured, 0)),
        Target::AtLeast(SHARE),
    );
    Ok(table)
}

async fn neighbours(bench: &Bench, clients: usize) -> anyhow::Result<Table> {
    let programs = &bench.programs;
    // Of more servers than this machine has cores, it is the one that comes round to the same core.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let setup = (1..cores).fold(Setup::one(programs), |setup, number| {
        setup.server(programs, &format!("quiet{number}"), &["stub"])
    });
    let setup = setup.server(programs, NOISY, &["stub"]);
    // Started again and again, for as long as the benchmark lasts.
    let setup = setup
        .set("restart_backoff_ms", 20)
        .set("restart_backoff_max_ms", 20)
        .set(
            "restart_limit",
            json!({"count": 10_000, "window_ms": 600_000}),
        );
    let gateway = setup.start(programs).await?;
    gateway
        .answers(&gateway.endpoint(NOISY, Speaks::Rpc))
        .await?;
    let floor = Contender::floor(programs, 2).await?;
    let noise = |clients, tool, bytes| {
        Noise::on(gateway.endpoint(NOISY, Speaks::Rpc), clients, tool, bytes)
    };
    let big = 8 * 1024 * 1024;
    let noises = [
        ("is quiet", None),
        ("is called by 64 clients", Some(noise(64, Tool::Echo, 0))),
        ("crashes", Some(noise(1, Tool::Crash, 0))),
        ("gives 8 MiB answers", Some(noise(2, Tool::Payload, big))),
    ];
    let beside = noises.iter().map(|(what, noise)| Cell {
        clients,
        ..cell(
            format!("while it {what}"),
            &gateway,
            Speaks::Rpc,
            noise.clone(),
        )
    });
    // It shares nothing with the gateway but the machine: what it loses beside the same noise, anybody does.
    let beyond = noises.iter().map(|(what, noise)| Cell {
        label: format!("floor+child 2t, while it {what}"),
        endpoint: floor.whole(),
        watched: floor.watched(),
        clients,
        noise: noise.clone(),
    });
    let cells: Vec<_> = beside.chain(beyond).collect();
    let who = format!("{clients} client{}", if clients == 1 { "" } else { "s" });
    let title = format!("A neighbour, {who} on /{{id}}/rpc of the other");
    let mut table = Table::new(title, &cells::COLUMNS);
    let measured = Measured::of(bench, &cells).await?;
    measured.add_rows_to(&mut table);
    for (place, (what, _)) in noises.iter().enumerate().skip(1) {
        let slower = measured.slower(place, 0.5);
        let floor = measured.slower_than(noises.len(), noises.len() + place, 0.5);
        // With a core that the noise keeps awake a call may be faster: nothing is lost then.
        let by_floor = slower.by(&floor.map(|times| times.max(1.0)));
        table.aim(
            format!("{who}: p50 beside a server that {what} by that beside a quiet one"),
            "×",
            slower,
            Target::AtMost(DISTURBED),
        );
        table.aim(
            format!("{who}: the same, by what the floor loses to it"),
            "×",
            by_floor,
            Target::AtMost(DISTURBED),
        );
    }
    Ok(table)
}

fn speed(measured: &Measured, place: usize) -> Figure {
    measured.figure(place, |outcome| Some(outcome.calls_per_second()))
}

fn cell(label: String, gateway: &Contender, speaks: Speaks, noise: Option<Noise>) -> Cell {
    Cell {
        label,
        endpoint: gateway.endpoint(LEGACY, speaks),
        watched: gateway.watched(),
        clients: CLIENTS,
        noise,
    }
}
