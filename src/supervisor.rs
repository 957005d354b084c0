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
pub mod descriptor_limit;
mod diagnosis;
mod echo;
mod eras;
mod faults;
#[cfg(test)]
pub(crate) mod fixture;
pub mod guard;
mod handle;
mod handshake;
mod hint;
mod life;
mod listener;
mod machine;
mod memory;
mod mux;
mod orphans;
#[cfg_attr(not(target_os = "linux"), path = "supervisor/pipe_size_unix.rs")]
#[cfg_attr(target_os = "linux", path = "supervisor/pipe_size_linux.rs")]
mod pipe_size;
mod pipes;
mod platform;
mod process_name;
pub mod program;
mod script;
mod status;
mod stderr;
mod stdout;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use actor::Pace;
pub use config::{
    BackoffConfig, Config, Launch, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy,
    StopConfig,
};
pub use echo::quotable;
pub use eras::{EraChoice, EraFacts, EraMemory};
pub use handle::ServerHandle;
pub use handshake::{Handshake, ServerCapabilities, claims};
pub use listener::Listener;
pub use memory::resident_bytes;
pub use mux::{
    Answer, Load, Mux, Observer, Origin, Outcome, Owner, RequestEnd, RequestRecord, Submission,
};
pub use status::{Exit, State, Status};
pub use stderr::OutputLine;

use actor::{Actor, OrderKind};
use diagnosis::Diagnosis;
use handle::Inner;
use machine::{Event, Machine};
use stderr::StderrRing;
use stdout::StdoutFault;

use crate::instruments::Instruments;
use crate::shards::Shard;

/// Orders that wait for one actor.
const ORDER_QUEUE: usize = 16;

/// All servers. Dropping it without [`Supervisor::shutdown`] leaves their end to the guards.
#[derive(Debug)]
pub struct Supervisor {
    instruments: Instruments,
    spawner: child::Spawner,
    eras: EraMemory,
    present: Arc<Mutex<Present>>,
    tasks: TaskTracker,
    kill: CancellationToken,
}

/// The servers that have an actor.
#[derive(Debug, Default)]
struct Present {
    servers: Vec<ServerHandle>,
    shutting_down: bool,
}

impl Supervisor {
    /// There is no server yet.
    pub fn new(instruments: &Instruments, eras: EraMemory) -> Self {
        Self {
            instruments: instruments.clone(),
            spawner: child::Spawner::new(),
            eras,
            present: Arc::default(),
            tasks: TaskTracker::new(),
            kill: CancellationToken::new(),
        }
    }

    /// Starts an actor for one more server, at this shard, where its pipes are read and written too; with `autostart`
    /// the actor starts the server. It may bear the id of another: instances of one server share what is measured of
    /// it. [`ServerHandle::retire`] takes it away again.
    ///
    /// `predecessors` are for a server that takes the place of others, and cancelled when no process of them is left.
    /// Until then none is started here: both may want a port or a device that only one can have.
    ///
    /// After [`Supervisor::shutdown`] began, the server is one that was shut down: it has no actor,
    /// starts no process and refuses every request with `shutting_down`.
    pub fn add(
        &self,
        config: Config,
        listener: Arc<dyn Listener>,
        shard: &Shard,
        mut predecessors: Vec<CancellationToken>,
    ) -> ServerHandle {
        let config = Arc::new(config);
        // Jitter only: any number does where the system has no randomness.
        let mut machine = Machine::new(&config, getrandom::u64().unwrap_or(0));
        predecessors.retain(|predecessor| !predecessor.is_cancelled());
        if !predecessors.is_empty() {
            machine.follow_predecessor();
        }
        let mut present = self.present();
        if present.shutting_down {
            machine.step(Event::Shutdown, Instant::now());
        }
        let labels = self.instruments.for_server(&config.id);
        let stderr = Arc::new(StderrRing::new());
        let stdout = Arc::new(StdoutFault::of(Arc::clone(&stderr)));
        let diagnosis = Arc::new(Diagnosis::new(config.id.clone(), Arc::clone(&stderr)));
        let mux = Mux::new(config.requests, machine.gate()).explained_by(diagnosis);
        mux.note_cause(machine.last_error(), None);
        let mux = Arc::new(mux);
        let era_wish = Arc::default();
        let (orders, order_receiver) = mpsc::channel(ORDER_QUEUE);
        let shared = life::Shared {
            config: Arc::clone(&config),
            mux: Arc::clone(&mux),
            listener,
            stderr: Arc::clone(&stderr),
            stdout: Arc::clone(&stdout),
            spawner: self.spawner.clone(),
            eras: self.eras.clone(),
            era_wish: Arc::clone(&era_wish),
        };
        let (actor, watched) = Actor::new(
            shared,
            labels.clone(),
            machine,
            order_receiver,
            self.kill.clone(),
            predecessors,
        );
        let server = ServerHandle(Arc::new(Inner {
            id: config.id.clone(),
            mux,
            stderr,
            stdout,
            orders,
            era_wish,
            eras: self.eras.clone(),
            watched,
        }));
        if present.shutting_down {
            return server;
        }
        let seen = Arc::downgrade(&server.0);
        labels.watch(move || seen.upgrade()?.seen());
        present.servers.push(server.clone());
        let (everyone, own) = (Arc::clone(&self.present), server.clone());
        let life = async move {
            actor.run().await;
            lock(&everyone).servers.retain(|other| *other != own);
        };
        shard.spawn(life, &self.tasks);
        server
    }

    /// The servers that are not retired, in the order in which they were added.
    pub fn servers(&self) -> Vec<ServerHandle> {
        self.present().servers.clone()
    }

    /// Stops every server and waits until no process of any is left. Queued requests are refused with
    /// `shutting_down`.
    pub async fn shutdown(&self) {
        let servers = {
            let mut present = self.present();
            present.shutting_down = true;
            present.servers.clone()
        };
        self.tasks.close();
        // All at once: one whose event loop is busy must not keep the others from being told, and restarted meanwhile.
        let orders = servers
            .iter()
            .map(|server| server.order(OrderKind::Shutdown));
        for outcome in join_all(orders).await {
            // An actor that is gone has nothing to shut down.
            drop(outcome);
        }
        self.tasks.wait().await;
    }

    /// Ends every request that is not answered yet with `shutting_down`.
    pub fn give_up_requests(&self) {
        for server in self.servers() {
            server.mux().give_up();
        }
    }

    /// Makes every stop, the present and the coming ones, a SIGKILL at once.
    pub fn kill(&self) {
        self.kill.cancel();
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }
}

fn lock(present: &Mutex<Present>) -> MutexGuard<'_, Present> {
    // Whoever panicked under the lock left a whole list.
    present.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
