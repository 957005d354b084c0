//! One actor for each server: it starts the process, keeps it alive by policy, and tells the truth
//! about its state.
//!
//! ```text
//! ServerHandle ─ orders ─► Actor ─ events ─► Machine (pure) ─ actions ─► Actor ─ spawns ─► Life
//!      └──── requests ───► Mux ◄── frames ── writer task ─► stdin  ┐
//!                           ▲ └─── answers ─ reader task ◄─ stdout ├─ guard process ─ server
//!                           └─ handshake, probe   ring ◄─── stderr ┘
//! ```
//!
//! The [`Machine`](machine) decides and does nothing; the [`Actor`](actor) does and decides nothing. A
//! [`Life`](life) is one process from spawn to the last of its descendants gone. The [`Mux`] is the one
//! table of requests and outlives every life, so that what was not yet written can go to the next one.

mod actor;
mod backoff;
mod child;
mod config;
mod faults;
#[cfg(test)]
pub(crate) mod fixture;
pub mod guard;
mod handshake;
mod life;
mod listener;
mod machine;
mod memory;
mod mux;
mod pipes;
mod status;
mod stderr;

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{
    BackoffConfig, Config, Launch, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy,
    StopConfig,
};
pub use handshake::{Handshake, claims};
pub use listener::Listener;
pub use memory::resident_bytes;
pub use mux::{Answer, Load, Mux, Observer, Origin, Outcome, Submission};
pub use status::{Exit, State, Status};

use actor::{Actor, Order, OrderKind, Watched};
use machine::Machine;
use stderr::StderrRing;

use crate::fault::{Delivered, Fault};
use crate::instruments::Instruments;
use crate::types::ServerId;

/// Orders that wait for one actor.
const ORDER_QUEUE: usize = 16;
/// Lines of stderr that are shown with a status.
const TAIL_LINES: usize = 20;

/// All servers. Dropping it without [`Supervisor::shutdown`] leaves their end to the guards.
#[derive(Debug)]
pub struct Supervisor {
    servers: Vec<ServerHandle>,
    tasks: TaskTracker,
    kill: CancellationToken,
}

impl Supervisor {
    /// Starts an actor for each server; those with `autostart` are started by it.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(servers: Vec<(Config, Arc<dyn Listener>)>, instruments: &Instruments) -> Self {
        let (tasks, kill) = (TaskTracker::new(), CancellationToken::new());
        let spawner = child::Spawner::new();
        let servers = servers
            .into_iter()
            .map(|(config, listener)| {
                let config = Arc::new(config);
                // Jitter only: any number does where the system has no randomness.
                let machine = Machine::new(&config, getrandom::u64().unwrap_or(0));
                let labels = instruments.for_server(&config.id);
                let mux = Arc::new(Mux::new(config.requests, machine.gate()));
                let watched_mux = Arc::downgrade(&mux);
                labels.watch_load(move || watched_mux.upgrade().map(|mux| mux.load().into()));
                let stderr = Arc::new(StderrRing::new());
                let (orders, order_receiver) = mpsc::channel(ORDER_QUEUE);
                let shared = life::Shared {
                    config: Arc::clone(&config),
                    mux: Arc::clone(&mux),
                    listener,
                    stderr: Arc::clone(&stderr),
                    spawner: spawner.clone(),
                };
                let (actor, watched) =
                    Actor::new(shared, labels, machine, order_receiver, kill.clone());
                tasks.spawn(actor.run());
                ServerHandle(Arc::new(Inner {
                    config,
                    mux,
                    stderr,
                    orders,
                    watched,
                }))
            })
            .collect();
        tasks.close();
        Self {
            servers,
            tasks,
            kill,
        }
    }

    /// The servers, in the order in which they were given.
    pub fn servers(&self) -> &[ServerHandle] {
        &self.servers
    }

    /// Stops every server and waits until no process of any is left. Queued requests are refused with
    /// `shutting_down`.
    pub async fn shutdown(&self) {
        for server in &self.servers {
            // An actor that is gone has nothing to shut down.
            let _ = server.order(OrderKind::Shutdown).await;
        }
        self.tasks.wait().await;
    }

    /// Ends every request that is not answered yet with `shutting_down`.
    pub fn give_up_requests(&self) {
        for server in &self.servers {
            server.0.mux.give_up();
        }
    }

    /// Makes every stop, the present and the coming ones, a SIGKILL at once.
    pub fn kill(&self) {
        self.kill.cancel();
    }
}

/// A handle on one server's actor; cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Arc<Config>,
    mux: Arc<Mux>,
    stderr: Arc<StderrRing>,
    orders: mpsc::Sender<Order>,
    watched: Watched,
}

impl ServerHandle {
    /// The server's id.
    pub fn id(&self) -> &ServerId {
        &self.0.config.id
    }

    /// What the server was configured to be.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The state as of now.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.0.watched.status.borrow())
    }

    /// The table of requests, where messages enter.
    pub fn mux(&self) -> &Mux {
        &self.0.mux
    }

    /// What the child said of itself in the last handshake that was done; `None` before the first.
    pub fn handshake(&self) -> Option<Arc<Handshake>> {
        self.0.watched.handshake.borrow().clone()
    }

    /// The first handshake, waking the server if it sleeps; waits as long as a request would, and fails
    /// as a request would. Cancel safe.
    pub async fn wait_for_handshake(&self) -> Result<Arc<Handshake>, Fault> {
        let mut handshake = self.0.watched.handshake.clone();
        let known = handshake.borrow().clone();
        if let Some(handshake) = known {
            return Ok(handshake);
        }
        let mut deadline = Instant::now() + self.0.mux.knock()?;
        let mut status = self.0.watched.status.clone();
        loop {
            let next_start = {
                let status = status.borrow_and_update();
                if status.has_ended() {
                    return Err(self
                        .0
                        .mux
                        .knock()
                        .err()
                        .unwrap_or_else(|| faults::starting(None)));
                }
                status.next_start
            };
            if next_start.is_some() {
                // The start that this waited for has failed: what is left is a restart's patience.
                deadline = deadline.min(Instant::now() + self.0.config.requests.hold);
            }
            tokio::select! {
                known = handshake.wait_for(Option::is_some) => {
                    return known.ok().and_then(|known| known.clone()).ok_or_else(gone);
                }
                changed = status.changed() => changed.map_err(|_closed| gone())?,
                () = tokio::time::sleep_until(deadline) => {
                    let wait = next_start.map(|at| at.saturating_duration_since(Instant::now()));
                    return Err(faults::starting(wait));
                }
            }
        }
    }

    /// Starts the server, also out of `failed`; returns once the order is taken. With `wait`, returns
    /// when the server is ready, or with the fault that it cannot be.
    pub async fn start(&self, wait: bool) -> Result<(), Fault> {
        self.order(OrderKind::Start).await?;
        if wait {
            self.until_ready().await
        } else {
            Ok(())
        }
    }

    /// Stops the server and keeps it stopped; with `wait`, returns when no process of it is left.
    pub async fn stop(&self, wait: bool) -> Result<(), Fault> {
        self.order(OrderKind::Stop).await?;
        if wait {
            let mut status = self.0.watched.status.clone();
            status
                .wait_for(|status| status.state != State::Stopping)
                .await
                .map_err(|_closed| gone())?;
        }
        Ok(())
    }

    /// Stops the server and starts it anew; `wait` as in [`ServerHandle::start`].
    pub async fn restart(&self, wait: bool) -> Result<(), Fault> {
        self.order(OrderKind::Restart).await?;
        if wait {
            self.until_ready().await
        } else {
            Ok(())
        }
    }

    /// The newest lines of the server's stderr, oldest first.
    pub fn stderr_tail(&self) -> Vec<String> {
        self.0.stderr.tail(TAIL_LINES)
    }

    /// The lines of stderr from now on; slow readers lose the oldest.
    pub fn stderr_follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.stderr.follow()
    }

    async fn order(&self, kind: OrderKind) -> Result<(), Fault> {
        let (done, taken) = oneshot::channel();
        self.0
            .orders
            .send(Order { kind, done })
            .await
            .map_err(|_closed| gone())?;
        taken.await.map_err(|_closed| gone())
    }

    async fn until_ready(&self) -> Result<(), Fault> {
        let mut status = self.0.watched.status.clone();
        let settled = status
            .wait_for(|status| !matches!(status.state, State::Starting | State::Stopping))
            .await
            .map_err(|_closed| gone())?
            .state;
        match settled {
            State::Ready | State::Unhealthy => Ok(()),
            State::Backoff | State::Starting | State::Stopping => Err(faults::starting(None)),
            State::Stopped => Err(faults::refused(machine::Gate::Stopped)),
            State::Failed => Err(faults::refused(machine::Gate::Failed)),
        }
    }
}

fn gone() -> Fault {
    faults::shutting_down(Delivered::No)
}
