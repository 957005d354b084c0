//! The load source: clients in a closed loop, each on a connection of its own, and every answer checked.
//!
//! One thread, which is the driver's. A client sends its next call when the last one was answered; what is not the
//! right answer is an error and never counts as a call.

mod call;
mod http;
mod session;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use call::{Shape, Tool};
pub(crate) use http::Connection;
pub(crate) use session::{Endpoint, Session, Speaks};

use call::{Call, excerpt};

use super::process::Watched;

/// The longest that one answer may take, and that the last ones may take at the end.
const PATIENCE: Duration = Duration::from_secs(20);
/// After an error a client waits so long: a server that refuses everything is not asked without end.
const PAUSE: Duration = Duration::from_millis(2);
/// Latencies are kept in microseconds, up to this one.
const LONGEST: u64 = 60_000_000;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) endpoint: Endpoint,
    pub(crate) shape: Shape,
    pub(crate) clients: usize,
    /// All clients call in one session.
    pub(crate) one_session: bool,
    /// What is not counted, before.
    pub(crate) warm_up: Duration,
    pub(crate) lasts: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    /// What the first error was.
    pub(crate) complaint: Option<String>,
    pub(crate) took: Duration,
    latency: Histogram<u64>,
    /// What the watched process used meanwhile.
    cpu: Option<Duration>,
}

impl Outcome {
    pub(crate) fn calls_per_second(&self) -> f64 {
        super::table::as_f64(self.calls) / self.took.as_secs_f64()
    }

    /// In microseconds; `quantile` is between 0 and 1.
    pub(crate) fn latency(&self, quantile: f64) -> Option<f64> {
        (self.calls > 0).then(|| super::table::as_f64(self.latency.value_at_quantile(quantile)))
    }

    /// Of the watched process, in microseconds.
    pub(crate) fn cpu_per_call(&self) -> Option<f64> {
        let cpu = self.cpu.filter(|_| self.calls > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / super::table::as_f64(self.calls))
    }
}

/// What all clients of a load share.
struct Shared {
    plan: Plan,
    counts: AtomicBool,
    stops: AtomicBool,
    tally: Mutex<Tally>,
}

struct Tally {
    calls: u64,
    errors: u64,
    complaint: Option<String>,
    latency: Histogram<u64>,
}

/// The number of the next call of this process.
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Loads an endpoint; `watched` is the process whose time is taken.
pub(crate) async fn run(plan: &Plan, watched: Option<Watched>) -> anyhow::Result<Outcome> {
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        counts: AtomicBool::new(false),
        stops: AtomicBool::new(false),
        tally: Mutex::new(Tally {
            calls: 0,
            errors: 0,
            complaint: None,
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
        }),
    });
    let mut clients = JoinSet::new();
    let mut common: Option<Arc<Session>> = None;
    for _ in 0..plan.clients {
        let mut connection = Connection::open(plan.endpoint.address).await?;
        let session = match common.clone().filter(|_| plan.one_session) {
            Some(session) => session,
            None => {
                Arc::new(Session::open(&plan.endpoint, plan.shape.tool, &mut connection).await?)
            }
        };
        common = Some(Arc::clone(&session));
        clients.spawn(client(Arc::clone(&shared), session, connection));
    }
    sleep(plan.warm_up).await;
    let (began, cpu_before) = (Instant::now(), watched.and_then(Watched::cpu));
    shared.counts.store(true, Ordering::Relaxed);
    sleep(plan.lasts).await;
    shared.counts.store(false, Ordering::Relaxed);
    let (took, cpu_after) = (began.elapsed(), watched.and_then(Watched::cpu));
    shared.stops.store(true, Ordering::Relaxed);
    timeout(PATIENCE, clients.join_all())
        .await
        .context("the last calls were not answered")?;
    let tally = shared.tally();
    Ok(Outcome {
        calls: tally.calls,
        errors: tally.errors,
        complaint: tally.complaint.clone(),
        took,
        latency: tally.latency.clone(),
        cpu: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after.saturating_sub(before)),
    })
}

/// One call on a connection of its own: when it is answered, the endpoint is there.
pub(crate) async fn one_call(endpoint: &Endpoint, shape: &Shape) -> anyhow::Result<()> {
    in_a_row(endpoint, shape, 1).await
}

/// So many calls on a connection of their own, each when the last one was answered.
pub(crate) async fn in_a_row(endpoint: &Endpoint, shape: &Shape, calls: u32) -> anyhow::Result<()> {
    let mut connection = Connection::open(endpoint.address).await?;
    let session = Session::open(endpoint, shape.tool, &mut connection).await?;
    let mut request = Vec::new();
    for _ in 0..calls {
        call(shape, &session, &mut connection, &mut request).await?;
    }
    Ok(())
}

async fn client(shared: Arc<Shared>, session: Arc<Session>, mut connection: Connection) {
    let Plan {
        endpoint, shape, ..
    } = &shared.plan;
    let mut request = Vec::new();
    while !shared.stops.load(Ordering::Relaxed) {
        let began = Instant::now();
        let done = timeout(
            PATIENCE,
            call(shape, &session, &mut connection, &mut request),
        )
        .await;
        let done = done.unwrap_or_else(|_| bail!("no answer within {PATIENCE:?}"));
        shared.count(began.elapsed(), &done);
        if done.is_err() {
            sleep(PAUSE).await;
            match Connection::open(endpoint.address).await {
                Ok(fresh) => connection = fresh,
                Err(error) => return shared.count(Duration::ZERO, &Err(error)),
            }
        }
    }
}

async fn call(
    shape: &Shape,
    session: &Session,
    connection: &mut Connection,
    request: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let call = Call {
        id: session.next_id(),
        serial: SERIAL.fetch_add(1, Ordering::Relaxed),
    };
    shape.write(session.post(), call, request);
    let head = connection.exchange(request).await?;
    ensure!(
        head.status == 200,
        "status {}: {}",
        head.status,
        excerpt(connection.body())
    );
    shape.check(call, connection.body(), head.events)
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, took: Duration, done: &anyhow::Result<()>) {
        if !self.counts.load(Ordering::Relaxed) {
            return;
        }
        let mut tally = self.tally();
        match done {
            Ok(()) => {
                tally.calls += 1;
                let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST);
                tally.latency.saturating_record(micros);
            }
            Err(error) => {
                tally.errors += 1;
                tally.complaint.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}
