//! What is held: by a gateway at rest, by a session, by an open stream, by a guard; and what a start takes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Bench;
use super::contender::{Contender, LEGACY, Setup};
use super::load::{Connection, Endpoint, Session, Shape, Speaks, Tool, one_call};
use super::process::{Watched, descriptors};
use super::table::{Figure, Table, Target, as_f64};

const SESSIONS: usize = 1000;
const STREAMS: usize = 10_000;
/// Descriptors of each side that are for other things than streams.
const OTHER_DESCRIPTORS: usize = 200;
/// After so long a gateway that has nothing to do is at rest.
const REST: Duration = Duration::from_millis(500);
/// The longest that an announcement may be under way.
const PATIENCE: Duration = Duration::from_mins(1);
/// Starts in a round.
const STARTS: usize = 5;
const ANNOUNCED: &[u8] = b"list_changed";

const IDLE_MIB: f64 = 16.0;
const IDLE_OWN_MIB: f64 = 6.0;
const SESSION_KIB: f64 = 4.0;
const STREAM_KIB: f64 = 24.0;
const GUARD_KIB: f64 = 1536.0;
/// More than the child needs by itself.
const START_MS: f64 = 30.0;
const TOLD_SECONDS: f64 = 1.0;

/// What one gateway showed in a round.
#[derive(Debug, Default)]
struct Sizes {
    resident_mib: Option<f64>,
    idle_mib: Option<f64>,
    guard_kib: Option<f64>,
    session_kib: Option<f64>,
    stream_kib: Option<f64>,
    told_seconds: Option<f64>,
}

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Table>> {
    let streams = STREAMS.min(descriptors().saturating_sub(OTHER_DESCRIPTORS));
    let (mut sizes, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        sizes.push(sizes_of_one(bench, streams).await?);
        for _ in 0..STARTS {
            starts.push(start(bench).await?);
        }
    }
    let mut table = Table::new("Memory and start", &["measured"]);
    let of = |value: fn(&Sizes) -> Option<f64>| Figure::of(sizes.iter().map(value));
    let mut aimed = |what: String, unit, figure: Figure, most| {
        table.row(format!("{what}, {unit}"), vec![figure.clone()]);
        table.aim(what, unit, figure, Target::AtMost(most));
    };
    let at_rest = "at rest with 1 server: resident".to_owned();
    aimed(at_rest, "MiB", of(|sizes| sizes.resident_mib), IDLE_MIB);
    let own = "at rest with 1 server: anonymous".to_owned();
    aimed(own, "MiB", of(|sizes| sizes.idle_mib), IDLE_OWN_MIB);
    aimed(
        "a guard, private".to_owned(),
        "KiB",
        of(|sizes| sizes.guard_kib),
        GUARD_KIB,
    );
    aimed(
        format!("each of {SESSIONS} sessions"),
        "KiB",
        of(|sizes| sizes.session_kib),
        SESSION_KIB,
    );
    aimed(
        format!("each of {streams} open streams"),
        "KiB",
        of(|sizes| sizes.stream_kib),
        STREAM_KIB,
    );
    let told = format!("until {streams} streams have an announcement");
    aimed(told, "s", of(|sizes| sizes.told_seconds), TOLD_SECONDS);
    let own = Figure::of(starts.iter().map(|(_, stub)| Some(stub * 1e3)));
    let whole = Figure::of(starts.iter().map(|(gateway, _)| Some(gateway * 1e3)));
    let more = Figure::of(
        starts
            .iter()
            .map(|(gateway, stub)| Some((gateway - stub) * 1e3)),
    );
    let later = "start to first answer, beyond the child's own".to_owned();
    aimed(later, "ms", more, START_MS);
    table.row("start to first answer, ms", vec![whole]);
    table.row("the child alone: start to first answer, ms", vec![own]);
    Ok(vec![table])
}

async fn sizes_of_one(bench: &Bench, streams: usize) -> anyhow::Result<Sizes> {
    let most = (streams + SESSIONS + 100) as u64;
    let setup = Setup::one(&bench.programs)
        .limit("max_sessions_per_token", most)
        .limit("max_streams_per_token", most);
    let gateway = setup.start(&bench.programs).await?;
    let endpoint = gateway.endpoint(LEGACY, Speaks::Session);
    sleep(REST).await;
    let mut sizes = Sizes {
        resident_mib: gateway
            .watched()
            .resident_kib()
            .map(|kib| as_f64(kib) / 1024.0),
        idle_mib: gateway
            .watched()
            .anonymous_kib()
            .map(|kib| as_f64(kib) / 1024.0),
        guard_kib: guard_kib(&gateway),
        ..Sizes::default()
    };
    let before = gateway.watched().anonymous_kib();
    open(&endpoint, SESSIONS).await?;
    sizes.session_kib = each(before, gateway.watched(), SESSIONS).await;

    let sessions = open(&endpoint, streams).await?;
    let before = gateway.watched().anonymous_kib();
    let mut listeners = JoinSet::new();
    for session in &sessions {
        let mut connection = Connection::open(endpoint.address).await?;
        let head = connection.begin(session.get()).await?;
        ensure!(head.status == 200 && head.events, "GET: {}", head.status);
        listeners.spawn(hears(connection));
    }
    sizes.stream_kib = each(before, gateway.watched(), streams).await;
    let said = Instant::now();
    one_call(&endpoint, &Shape::new(Tool::Announce, 0, false)).await?;
    let heard = timeout(PATIENCE, listeners.join_all())
        .await
        .context("an announcement is lost")?;
    for moment in heard {
        let took = moment?.duration_since(said).as_secs_f64();
        sizes.told_seconds = Some(sizes.told_seconds.map_or(took, |most: f64| most.max(took)));
    }
    Ok(sizes)
}

/// Opens sessions and keeps them.
async fn open(endpoint: &Endpoint, count: usize) -> anyhow::Result<Vec<Session>> {
    let mut connection = Connection::open(endpoint.address).await?;
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count {
        sessions.push(Session::open(endpoint, Tool::Announce, &mut connection).await?);
    }
    Ok(sessions)
}

/// When the announcement came.
async fn hears(mut connection: Connection) -> anyhow::Result<Instant> {
    while connection.chunk().await? {
        if memchr::memmem::find(connection.body(), ANNOUNCED).is_some() {
            return Ok(Instant::now());
        }
    }
    anyhow::bail!("a stream ended without the announcement")
}

/// By how many KiB a process has grown for each of so many.
async fn each(before: Option<u64>, watched: Watched, count: usize) -> Option<f64> {
    sleep(REST).await;
    let grown = watched.anonymous_kib()?.saturating_sub(before?);
    Some(as_f64(grown) / as_f64(count as u64))
}

fn guard_kib(gateway: &Contender) -> Option<f64> {
    let [guard] = gateway.watched().children()[..] else {
        return None;
    };
    guard.private_kib().map(as_f64)
}

/// Seconds from the start of a process to its first answer to a call: of a gateway, and of the child alone.
async fn start(bench: &Bench) -> anyhow::Result<(f64, f64)> {
    let began = Instant::now();
    let gateway = Setup::one(&bench.programs).start(&bench.programs).await?;
    let whole = began.elapsed();
    drop(gateway);
    let began = Instant::now();
    alone(bench)?;
    Ok((whole.as_secs_f64(), began.elapsed().as_secs_f64()))
}

/// Starts the child, shakes hands, and calls it once.
#[expect(
    clippy::disallowed_methods,
    reason = "the benchmark starts what it measures"
)]
fn alone(bench: &Bench) -> anyhow::Result<()> {
    let mut child = Command::new(&bench.programs.bench)
        .arg("stub")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no stdin")?;
    let output = child.stdout.take().context("no stdout")?;
    let mut lines = BufReader::new(output).lines();
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#,
    ] {
        writeln!(input, "{message}")?;
        let answer = lines.next().context("the child gave no answer")??;
        ensure!(answer.contains("result"), "{answer}");
    }
    // Without its input it ends.
    drop(input);
    child.wait()?;
    Ok(())
}
