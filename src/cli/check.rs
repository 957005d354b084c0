//! `check`: everything that is wrong with the config, and with `--start` whether every server starts.

pub(super) mod eras;

pub(super) mod report;

pub(super) mod telling;

mod render;

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use self::eras::KnownEras;
use self::report::{Outcome, Report, ServerReport};
use super::args::{CheckArgs, OutputForm};
use super::assembly::{self, Loaded};
use super::{Exit, terminal};
use crate::supervisor;
use crate::types::ServerId;

/// How many servers are started at a time: enough that a slow one does not hold up the rest, few enough
/// that the machine's own slowness is not taken for theirs.
const AT_A_TIME: usize = 4;

/// After how long a person is told what is being waited for, and how often again.
const PATIENCE: Duration = Duration::from_secs(1);
const REMINDER: Duration = Duration::from_secs(10);

/// Starts servers as the gateway would, for a look at them.
pub(super) trait Prober: Sync {
    /// Starts a server, waits for the handshake and asks for its tools. The future may be dropped at
    /// any point; [`stop`](Self::stop) follows in any case.
    fn probe(&self, server: &supervisor::Config) -> impl Future<Output = Outcome> + Send;

    /// Finds which eras of the protocol a server knows that [`probe`](Self::probe) has found in order: may start it once
    /// more, because one connection shows one era. The future may be dropped at any point.
    fn eras(&self, server: &supervisor::Config) -> impl Future<Output = KnownEras> + Send;

    /// The most telling lines of its stderr, oldest first.
    fn stderr_tail(&self, server: &ServerId) -> Vec<String>;

    /// The reason that it is not ready by now, if one is known.
    fn last_error(&self, server: &ServerId) -> Option<String>;

    /// Stops a server, started or not, and returns when no process of it is left.
    fn stop(&self, server: &ServerId) -> impl Future<Output = ()> + Send;
}

pub(super) fn run(args: &CheckArgs, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let report = match assembly::load(config) {
        Err(refused) => Report::refused(config, refused),
        Ok(loaded) if args.start => {
            let Some(loaded) = only(loaded, &args.servers) else {
                return Ok(Exit::Usage);
            };
            let limit = args.timeout.map(Duration::from_secs);
            let running = assembly::running_gateway(config, loaded.state_dir.as_deref());
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let prober = assembly::SupervisedProber::default();
            let report = runtime.block_on(start_all(config, loaded, limit, &prober));
            report.beside(running)
        }
        Ok(loaded) => Report::read(config, loaded),
    };
    if let Some(note) = note_on_rights(std::env::consts::OS).filter(|_| args.start) {
        terminal::remark(note);
    }
    match args.output {
        OutputForm::Text => out.write_all(render::text(&report).as_bytes())?,
        OutputForm::Json => writeln!(out, "{:#}", report.json())?,
    }
    Ok(report.exit())
}

/// A reason why a server that starts here may not start in the service; `None` on systems where it would.
fn note_on_rights(system: &str) -> Option<&'static str> {
    (system == "macos").then_some(
        "these servers were started with the rights of this terminal; macOS asks anew for the LaunchAgent (calendars, \
         contacts, automation, files, the local network), so see with `status` whether they work there too",
    )
}

/// The config with the named servers alone, or with all where none is named; `None` after a complaint.
fn only(mut loaded: Loaded, names: &[String]) -> Option<Loaded> {
    if names.is_empty() {
        return Some(loaded);
    }
    let is_known = |name: &String| {
        let mut servers = loaded.servers.iter();
        servers.any(|server| server.id.as_str() == name)
    };
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known = loaded.servers.iter().map(|server| server.id.as_str());
        let known = known.collect::<Vec<_>>().join(", ");
        terminal::complain(&format!(
            "the config has no server {unknown:?}, expected one of {known}"
        ));
        return None;
    }
    loaded
        .servers
        .retain(|server| names.iter().any(|name| server.id.as_str() == name));
    Some(loaded)
}

/// Probes every server that is not disabled, a few at a time; the report has the order of the file.
async fn start_all(
    config: &Path,
    loaded: Loaded,
    limit: Option<Duration>,
    prober: &impl Prober,
) -> Report {
    let waiting = Mutex::new(BTreeSet::new());
    let probes = loaded.servers.iter().map(|server| {
        let waiting = &waiting;
        async move {
            if let Some(outcome) = Outcome::unstarted(server) {
                return ServerReport::of(server, outcome, Duration::ZERO);
            }
            let begun = Instant::now();
            lock(waiting).insert(server.id.clone());
            let outcome = probe(server, limit, prober).await;
            let took = begun.elapsed();
            let eras = match outcome {
                Outcome::Ok { .. } => eras(server, limit, prober).await,
                Outcome::NotStarted | Outcome::Disabled | Outcome::Failed { .. } => None,
            };
            prober.stop(&server.id).await;
            lock(waiting).remove(&server.id);
            ServerReport::of(server, outcome, took).knowing(eras)
        }
    });
    // Collected first, or the closure's lifetime would leak into the stream's type.
    let probes: Vec<_> = probes.collect();
    let all = stream::iter(probes).buffered(AT_A_TIME).collect::<Vec<_>>();
    tokio::pin!(all);
    let mut remind = tokio::time::interval_at(Instant::now() + PATIENCE, REMINDER);
    let servers = loop {
        tokio::select! {
            servers = &mut all => break servers,
            _ = remind.tick() => {
                let names: Vec<String> = lock(&waiting).iter().map(ServerId::to_string).collect();
                terminal::remark(&format!("waiting for {}", names.join(", ")));
            }
        }
    };
    let hint = eras::exclusive_hint(&servers, &loaded.shared);
    Report::started(config, servers, loaded.warnings).hinting(hint)
}

async fn probe(
    server: &supervisor::Config,
    limit: Option<Duration>,
    prober: &impl Prober,
) -> Outcome {
    // Where the caller names no limit, the server's own deadlines hold: one for the start, which may take two
    // lives where the era probe ends the first, and one for the request for its tools.
    let limit = limit.unwrap_or(
        server
            .startup_timeout
            .saturating_mul(2)
            .saturating_add(server.requests.timeout),
    );
    let outcome = tokio::time::timeout(limit, prober.probe(server)).await;
    outcome.unwrap_or_else(|_elapsed| {
        let late = format!("not done after {} ms", limit.as_millis());
        let known = prober.last_error(&server.id);
        Outcome::Failed {
            reason: known.map_or(late.clone(), |error| format!("{late}: {error}")),
            stderr_tail: prober.stderr_tail(&server.id),
        }
    })
}

/// The eras that a server knows; `None` where that cannot be found in time.
async fn eras(
    server: &supervisor::Config,
    limit: Option<Duration>,
    prober: &impl Prober,
) -> Option<KnownEras> {
    let limit = limit.unwrap_or(server.startup_timeout.saturating_mul(2));
    tokio::time::timeout(limit, prober.eras(server)).await.ok()
}

fn lock(waiting: &Mutex<BTreeSet<ServerId>>) -> std::sync::MutexGuard<'_, BTreeSet<ServerId>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
