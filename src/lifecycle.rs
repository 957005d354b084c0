//! From a config to a running gateway and back to an exit code: start, signals, drain, kill.
//!
//! Two tokens: *drain* asks everybody to finish, *kill* ends everything at once. The first SIGTERM or
//! SIGINT drains, the second kills. A part that ends without being asked drains the rest and makes the
//! exit a failed one. SIGHUP has the config read again and put in force (`reload`).
//!
//! ```text
//! signal ─► new requests refused, event streams ended ─► requests under way ─► what is left is answered
//! `shutting_down` ─► servers stopped, all at once ─► servers that are left are killed ─► last telemetry
//! exported ─► exit
//! ```
//!
//! All of it is within `limits.drain` ([`StopTimes`]).

#[cfg_attr(
    all(
        feature = "jemalloc",
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    ),
    path = "lifecycle/allocator_jemalloc.rs"
)]
#[cfg_attr(
    all(
        not(all(feature = "jemalloc", target_arch = "x86_64")),
        target_os = "linux",
        target_env = "gnu"
    ),
    path = "lifecycle/allocator_glibc.rs"
)]
#[cfg_attr(
    not(all(target_os = "linux", target_env = "gnu")),
    path = "lifecycle/allocator_other.rs"
)]
mod allocator;
#[cfg_attr(not(target_os = "linux"), path = "lifecycle/memory_unix.rs")]
#[cfg_attr(target_os = "linux", path = "lifecycle/memory_linux.rs")]
mod memory;
#[cfg_attr(not(target_os = "linux"), path = "lifecycle/service_unix.rs")]
#[cfg_attr(target_os = "linux", path = "lifecycle/service_linux.rs")]
mod service;

mod init;
mod reload;
pub mod run_record;
mod signals;
mod stop_times;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Env};
use crate::http::{self, Rulebook};
use crate::protocol::spare;
use crate::relay::Relay;
use crate::shards::{self, Shard, Shards, Threads};
use crate::state_dir::StateDir;
use crate::supervisor::{descriptor_limit, guard, program};
use crate::telemetry::{self, Telemetry};

pub use init::run_below_init;
pub use reload::Reread;

use reload::Reloads;
use run_record::{HeldRecord, RunRecord};
use signals::Signals;
use stop_times::StopTimes;

/// What a runtime's own threads get to end; nothing of ours is left on them by then.
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(200);
/// How often memory that nobody uses goes back to the system. Once a minute what was held went up and down by twice as
/// much, and an hour of it could not be told from a leak.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(10);

/// Has the system write no core file of this process, whose memory holds tokens and the secrets of servers.
///
/// Guards hold themselves, and with them the servers, to the same, whatever limit they were started with.
pub fn forbid_core_files() -> anyhow::Result<()> {
    guard::forbid_core_files().context("cannot forbid core files")
}

/// How a run of the gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to end, and did.
    AsAsked,
    /// Something failed and took the rest with it; the log says what.
    Failed,
}

/// Runs the gateway until it is told to stop; `reread` is how it comes to another config, and `ready` is
/// called once, when it listens.
pub fn run(
    config: Config,
    reread: Option<Reread>,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Ended> {
    // Before anything is opened.
    descriptor_limit::raise();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    allocator::keep_little(cores);
    let start = |name: &str, count| {
        let threads = Threads::start(name, count);
        threads.with_context(|| format!("cannot start {count} {name} threads"))
    };
    let threads = start("shard", shards::count_for(config.servers.len(), cores))?;
    let fronts = start("front", shards::fronts_for(cores))?;
    let workers = start("worker", shards::workers_for(cores))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let lookup = |name: &str| std::env::var(name).ok();
    let _entered = runtime.enter();
    let telemetry = telemetry::init(&config.log, &lookup).context("cannot start telemetry")?;
    memory::close();
    let state = open_state(&config);
    program::pin(&state);
    let pools = Pools {
        servers: threads.shards(),
        fronts: fronts.shards(),
        workers: workers.shards(),
    };
    let shared = (&pools, state.clone());
    let mut times = StopTimes::of(&config);
    let ended = runtime
        .block_on(serve(config, reread, &telemetry, shared, ready, &mut times))
        .unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "the gateway has failed");
            Ended::Failed
        });
    state.flush();
    telemetry.shutdown(times.telemetry);
    fronts.shutdown(RUNTIME_SHUTDOWN);
    workers.shutdown(RUNTIME_SHUTDOWN);
    threads.shutdown(RUNTIME_SHUTDOWN);
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
    Ok(ended)
}

/// The event loops of the gateway, beside that of the main thread.
struct Pools {
    /// Where servers have their homes.
    servers: Shards,
    /// Where connections begin.
    fronts: Shards,
    /// Where requests are served that would keep others waiting at a server's home.
    workers: Shards,
}

impl Pools {
    /// Every event loop, that of the caller too.
    fn loops(&self) -> impl Iterator<Item = Shard> {
        let loops = self.servers.all().chain(self.fronts.all());
        let loops = loops.chain(self.workers.all());
        loops.cloned().chain([Shard::here()])
    }
}

/// Gives memory that nobody uses back to the system, again and again; never ends.
async fn give_back() {
    loop {
        sleep(GIVE_BACK_EVERY).await;
        // Not on this thread, where connections would wait to be accepted. Without another it is for the next time.
        let thread = thread::Builder::new().name("memory".to_owned());
        let _ = thread.spawn(|| {
            spare::give_back();
            allocator::give_back();
        });
    }
}

/// Opens the state directory of the config. A demo has none, and needs none.
fn open_state(config: &Config) -> StateDir {
    let Some(path) = &config.state_dir else {
        return StateDir::in_memory();
    };
    let state = StateDir::open(path);
    if let Some(path) = state.path() {
        tracing::info!(state_dir = %path.display(), "state directory opened");
    }
    state
}

/// Logs the warnings about a config, and its servers.
fn log_config(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!(config = %config.path.display(), "{warning}");
    }
    for server in &config.servers {
        let (server, instance) = (&server.supervisor, server.instance.as_str());
        let program = server.launch.program.display();
        tracing::info!(server_id = %server.id, command = server.launch.command, program = %program, instance, "server configured");
    }
}

async fn serve(
    mut config: Config,
    reread: Option<Reread>,
    telemetry: &Telemetry,
    (pools, state): (&Pools, StateDir),
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
    times: &mut StopTimes,
) -> anyhow::Result<Ended> {
    // Installed before anything is started: a signal from here on is an orderly stop.
    let mut signals = Signals::install().context("cannot install signal handlers")?;
    log_config(&config);
    let listener = http::bind(&config.http)
        .await
        .map_err(|(bind, error)| match error.kind() {
            ErrorKind::AddrInUse => anyhow::anyhow!(
                "cannot listen on {bind}: the address is in use; another gateway may be running, bind_port chooses another port"
            ),
            _ => anyhow::Error::new(error).context(format!("cannot listen on {bind}")),
        })?;
    let address = listener
        .local_addr()
        .context("cannot tell the listening address")?;
    config.http.listens_on(address.port());
    let relay = Arc::new(Relay::start(
        config.relay,
        config.servers.clone(),
        telemetry.instruments(),
        pools.servers.clone(),
        &state,
    ));
    let rulebook = Rulebook::new(&config.http);
    let (drain, kill) = (CancellationToken::new(), CancellationToken::new());
    let parts = http::Parts {
        tls: config.http.tls.clone(),
        rulebook: rulebook.clone(),
        relay: Arc::clone(&relay),
        fronts: pools.fronts.clone(),
        workers: pools.workers.clone(),
        metrics: Arc::new(telemetry.prometheus()),
        instruments: telemetry.instruments().clone(),
    };
    let mut edge: EdgeTask = JoinSet::new();
    let addresses = listener.addresses();
    edge.spawn(http::serve(listener, parts, drain.clone(), kill.clone()));
    for address in addresses {
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    }
    // In force as long as it is held.
    let _record = reread
        .as_ref()
        .and_then(|_from_a_file| write_record(&config, &state, address));
    ready(address)?;
    service::ready();
    let _watchdog = service::watchdog(pools.loops()).context("cannot start the watchdog thread")?;

    let mut reloads = Reloads {
        reread,
        running: config,
        port: address.port(),
        rulebook,
        relay: Arc::clone(&relay),
        telemetry,
    };
    let failed = tokio::select! {
        ended = edge.join_next() => Some(flatten(ended)),
        () = signals.ends.asked() => None,
        () = Box::pin(reloads.serve(&mut signals.hangup)) => None,
        () = give_back() => None,
    };
    *times = StopTimes::of(&reloads.running);
    service::stopping();
    drain.cancel();
    let mut ended = Drain::begin(&relay, *times, &kill, &mut signals);
    if let Some(outcome) = failed {
        ended.in_time(relay.shutdown()).await;
        outcome.context("the listener has failed")?;
        return Ok(Ended::Failed);
    }
    let outcome = ended.finish(&mut edge).await;
    outcome.context("the edge has failed")?;
    tracing::info!("stopped");
    Ok(Ended::AsAsked)
}

/// Writes the run record of a gateway that listens on `address`, into the state directory where that is in use.
fn write_record(config: &Config, state: &StateDir, address: SocketAddr) -> Option<HeldRecord> {
    let record = record(&config.http, address);
    let env = Env::of_process();
    run_record::write(&config.path, state.path().as_deref(), &record, &env)
}

/// The record of a gateway that listens on `address`.
fn record(edge: &http::Config, address: SocketAddr) -> RunRecord {
    let http::LocalAddress { base_url, host } = edge.local_address(address);
    let identity = edge.tls.as_ref().map(http::Tls::identity);
    RunRecord {
        pid: std::process::id(),
        base_url,
        host,
        certificate: identity
            .and_then(|identity| identity.first().map(|leaf| hex::encode(leaf.as_ref()))),
    }
}

/// The one task of the edge; ended with its owner.
type EdgeTask = JoinSet<std::io::Result<()>>;

/// A task that panicked or was aborted is an error like any other.
fn flatten(ended: Option<Result<std::io::Result<()>, JoinError>>) -> std::io::Result<()> {
    ended.map_or(Ok(()), |ended| ended.map_err(std::io::Error::other)?)
}

struct Drain<'a> {
    relay: &'a Relay,
    times: StopTimes,
    /// When the stop began.
    asked: Instant,
    kill: &'a CancellationToken,
    signals: &'a mut Signals,
}

impl<'a> Drain<'a> {
    fn begin(
        relay: &'a Relay,
        times: StopTimes,
        kill: &'a CancellationToken,
        signals: &'a mut Signals,
    ) -> Self {
        Self {
            relay,
            times,
            asked: Instant::now(),
            kill,
            signals,
        }
    }

    async fn finish(mut self, edge: &mut EdgeTask) -> std::io::Result<()> {
        tracing::info!(
            answer_within_ms = u64::try_from(self.times.requests.as_millis()).unwrap_or(u64::MAX),
            "stopping; send the signal again to end everything at once"
        );
        let until = self.asked + self.times.requests;
        let finished = tokio::select! {
            ended = timeout_at(until, edge.join_next()) => ended.ok(),
            () = self.signals.asked_to_end_at_once() => {
                self.kill_all("second stop signal");
                None
            }
        };
        if let Some(ended) = finished {
            self.in_time(self.relay.shutdown()).await;
            return flatten(ended);
        }
        // What is told here is the last answer; the edge writes it while the servers are stopped.
        self.relay.give_up_requests();
        let relay = self.relay;
        let stopped = async { tokio::join!(edge.join_next(), relay.shutdown()).0 };
        flatten(self.in_time(stopped).await)
    }

    fn kill_all(&self, reason: &'static str) {
        tracing::warn!(reason, "{reason}: killing all servers");
        self.kill.cancel();
        self.relay.kill();
    }

    /// Waits for the last part of the stop, and kills what is left when its time is over.
    async fn in_time<T>(&mut self, stopped: impl Future<Output = T>) -> T {
        tokio::pin!(stopped);
        let reason = tokio::select! {
            stopped = &mut stopped => return stopped,
            () = self.signals.asked_to_end_at_once() => "second stop signal",
            () = sleep_until(self.asked + self.times.servers) => "drain_ms is over",
        };
        self.kill_all(reason);
        stopped.await
    }
}
