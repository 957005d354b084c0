//! Which message goes to which server, what the gateway answers itself, and who hears of it.
//!
//! One shared child serves all clients of a server. A request gets an id and a progress token of the
//! gateway's own on its way down and its own ones back on its way up; everything else crosses as bytes.
//! What the child says of its own accord goes to those who may see it: progress to the caller, changes
//! of lists to everybody, updates of a resource to its subscribers, logs to whom they can be attributed.

mod aggregate;
mod answers;
mod api;
mod beat;
mod bridge;
mod call;
mod calls;
mod config;
mod ended;
mod failed;
mod held;
mod hub;
mod instances;
mod operate;
mod outlet;
mod overview;
mod process_pair;
mod queue;
mod reload;
mod revival;
mod seal;
mod servers;
mod session;
mod sessions;
mod tasks;
#[cfg(test)]
mod tests;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use aggregate::{Gap, Shown};
pub use api::{Answer, Caller, Door, Event, Events, Failure, Reply, RoutingHeaders, Sent, Target};
pub use config::{ClientCapabilities, ClientFeatures, Config, Instance, ServerConfig};
pub use failed::ErrorMessage;
pub use operate::OperatorOrder;
pub use overview::{Overview, Process};
pub use reload::Reloaded;
pub use sessions::EventStream;

use beat::Beat;
use call::Step;
use held::HeldCalls;
use seal::Sealer;
use servers::Servers;
use session::{Directory, NotKept, OWN, Session};
use sessions::Sessions;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::Instruments;
use crate::memory_budget::MemoryBudget;
use crate::protocol::Era;
use crate::shards::{Shard, Shards};
use crate::state_dir::StateDir;
use crate::supervisor::{EraMemory, ServerHandle};
use crate::types::{Principal, ServerId};

/// The door of the relay: every configured server, and the event streams that are open.
#[derive(Debug)]
pub struct Relay {
    servers: Arc<Servers>,
    shared: Arc<Shared>,
}

/// How long a legacy client waits for a plain response, at least, before it is given a stream that it can resume.
const STREAM_AFTER: Duration = Duration::from_millis(50);

/// What all requests share.
#[derive(Debug)]
struct Shared {
    config: watch::Sender<Config>,
    /// What the large messages and the kept events of all clients may take together.
    memory: MemoryBudget,
    /// Event streams of the plain endpoints.
    sessions: Arc<Sessions>,
    /// Sessions of the MCP endpoints.
    directory: Directory,
    /// Calls that wait for their client to come back.
    held: HeldCalls,
    /// `None` only where the system has no randomness.
    sealer: Option<Arc<Sealer>>,
    /// For calls that are long in coming.
    patience: Beat,
    /// For calls of which nothing has come for long.
    silence: Beat,
    /// Calls that go on without their client, and what tidies up.
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Streams that never end by themselves end now.
    draining: CancellationToken,
}

impl Shared {
    fn new(config: Config, state: &StateDir) -> Arc<Self> {
        let memory = MemoryBudget::new(config.memory_bytes);
        let sealer = Sealer::load(state).ok().map(Arc::new);
        let config = watch::Sender::new(config);
        Arc::new(Self {
            sessions: Arc::new(Sessions::new(config.subscribe(), memory.clone())),
            directory: Directory::new(config.subscribe(), sealer.clone(), memory.clone(), state),
            held: HeldCalls::default(),
            memory,
            sealer,
            patience: Beat::default(),
            silence: Beat::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            draining: CancellationToken::new(),
            config,
        })
    }

    /// The bounds in force.
    fn config(&self) -> Config {
        *self.config.borrow()
    }

    fn sealer(&self) -> Result<&Sealer, Fault> {
        self.sealer
            .as_deref()
            .ok_or_else(|| Fault::new(FaultKind::InternalError, "no state can be sealed"))
    }

    async fn strike(self: Arc<Self>) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.patience.strike(|| STREAM_AFTER) => {}
            // A wait takes two periods at most.
            () = self.silence.strike(|| self.config().silence / 2) => {}
        }
    }

    /// Ends what nobody has come back for.
    async fn tidy_up(self: Arc<Self>, servers: Arc<Servers>) {
        loop {
            let idle = self.config().session_idle;
            let period = (idle / 8).clamp(Duration::from_millis(50), Duration::from_secs(1));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(period) => {}
            }
            let now = Instant::now();
            for session in self.directory.expire(now) {
                servers.end_session(session.id());
            }
            self.held.expire(now);
        }
    }
}

impl Relay {
    /// Starts every server's actor, each at one of these shards. Must be called within a tokio runtime.
    pub fn start(
        config: Config,
        servers: Vec<ServerConfig>,
        instruments: &Instruments,
        shards: Shards,
        state: &StateDir,
    ) -> Self {
        let eras = EraMemory::open(state.clone());
        let shared = Shared::new(config, state);
        instruments.watch_memory(&shared.memory);
        let draining = shared.draining.clone();
        let servers = Arc::new(Servers::start(servers, instruments, draining, shards, eras));
        shared
            .tasks
            .spawn(Arc::clone(&shared).tidy_up(Arc::clone(&servers)));
        shared.tasks.spawn(Arc::clone(&shared).strike());
        let keeper = Arc::clone(&shared);
        let record = async move { keeper.directory.write_record(&keeper.stop).await };
        shared.tasks.spawn(record);
        Self { servers, shared }
    }

    /// The processes of the server with this id that the principal may know of: one where all share it.
    /// A server that does not exist and one out of reach are the same fault.
    pub fn processes(&self, principal: &Principal, id: &str) -> Result<Vec<ServerHandle>, Fault> {
        let processes = self.servers.find(principal, id)?.processes(principal);
        Ok(processes
            .into_iter()
            .map(|process| process.handle)
            .collect())
    }

    /// The same with what they are called, for an operator who tells them apart.
    pub fn named_processes(&self, principal: &Principal, id: &str) -> Result<Vec<Process>, Fault> {
        Ok(self.servers.find(principal, id)?.processes(principal))
    }

    /// Whether the configuration disables the server with this id.
    pub fn is_disabled(&self, principal: &Principal, id: &str) -> Result<bool, Fault> {
        let server = self.servers.find(principal, id)?;
        Ok(server.instances.config().supervisor.disabled)
    }

    /// The first of these processes, where there is one.
    pub fn server(&self, principal: &Principal, id: &str) -> Result<ServerHandle, Fault> {
        let first = self.processes(principal, id)?.into_iter().next();
        first.ok_or_else(no_process)
    }

    /// Fails where the principal may not reach such a server.
    pub fn require_reachable(&self, principal: &Principal, id: &ServerId) -> Result<(), Fault> {
        self.servers.find(principal, id.as_str()).map(drop)
    }

    /// The bytes that the large messages and the kept events of all clients may take together.
    pub fn memory(&self) -> &MemoryBudget {
        &self.shared.memory
    }

    /// The home of the server with this id, where requests for it are served best; `None` where the principal may
    /// not reach such a server.
    pub fn home(&self, principal: &Principal, id: &str) -> Option<Shard> {
        self.servers.home(principal, id)
    }

    /// Whether every server that the principal may reach is ready, or asleep because nobody has asked for it, or
    /// disabled.
    pub fn is_healthy(&self, principal: &Principal) -> bool {
        !self.shared.draining.is_cancelled() && self.servers.are_healthy(principal)
    }

    /// Sends one JSON-RPC message (`body`, as it came) to whom it is for and waits for what becomes of it.
    ///
    /// Cancel safe: when the future is dropped, a legacy request that was written runs on and its answer
    /// is dropped (MCP 2025-11-25, transports: a disconnect is not a cancellation); a modern one is
    /// cancelled (MCP 2026-07-28, streamable-http: it must be).
    pub async fn message(
        &self,
        target: &Target,
        caller: Caller,
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let unread = |fault| Failure {
            fault,
            id: None,
            era: Era::Legacy,
        };
        self.refuse_in_drain().map_err(unread)?;
        let principal = &caller.principal;
        match target {
            Target::Server(server) => {
                let server = self.servers.find(principal, server.as_str());
                let server = server.map_err(unread)?;
                match call::message(&self.shared, &server, target, caller, body)? {
                    Step::Over(answer) => Ok(answer),
                    Step::Waits(request) => request.answer().await,
                }
            }
            Target::All => {
                let fleet = self.servers.fleet();
                let all = aggregate::All {
                    shared: Arc::clone(&self.shared),
                    servers: fleet.reachable(principal),
                    replaced: fleet.replaced.clone(),
                    current: Arc::clone(&self.servers),
                };
                all.message(caller, body).await
            }
        }
    }

    /// The stream of a session for what belongs to none of its requests, or, with the id of the last
    /// event that the client saw, the rest of the stream that this event was on.
    ///
    /// Dropping it does not end the session; only a stream that is open keeps it from growing old.
    pub fn resume(
        &self,
        target: &Target,
        caller: &Caller,
        last_event: Option<&str>,
    ) -> Result<Events, Fault> {
        self.refuse_in_drain()?;
        let session = self.session(target, caller)?;
        let reader = match last_event {
            None => session.streams().read(OWN),
            Some(id) => session.resume(id),
        };
        Ok(Events::new(reader.map_err(NotKept::fault)?))
    }

    /// Ends a session at its client's wish: its streams, its subscriptions, and what it was asked.
    pub fn end_session(&self, target: &Target, caller: &Caller) -> Result<(), Fault> {
        if let Target::Server(server) = target {
            self.servers.find(&caller.principal, server.as_str())?;
        }
        let (directory, principal) = (&self.shared.directory, &caller.principal);
        let id = caller.session.as_deref();
        match (directory.named(id, principal.id, target), id) {
            (Ok(session), _) => {
                directory.end(&session)?;
                self.servers.end_session(session.id());
                Ok(())
            }
            // Nothing is revived to be ended.
            (Err(_unknown), Some(id)) => directory.end_unopened(id, principal, target),
            (Err(fault), None) => Err(fault),
        }
    }

    /// How long a response may be silent before its client is sent a comment.
    pub fn silence(&self) -> Duration {
        self.shared.config().silence
    }

    /// The revision that a session was opened with; `None` where the caller has no such session.
    pub fn revision_of(&self, target: &Target, caller: &Caller) -> Option<&'static str> {
        let session = self.session(target, caller).ok()?;
        Some(session.agreed().revision)
    }

    fn session(&self, target: &Target, caller: &Caller) -> Result<Arc<Session>, Fault> {
        let principal = &caller.principal;
        let servers = match target {
            // A server that is gone or out of reach takes its sessions with it.
            Target::Server(server) => vec![self.servers.find(principal, server.as_str())?],
            Target::All => self.servers.fleet().reachable(principal),
        };
        self.shared.find_session(caller, target, &servers)
    }

    /// Opens an event stream with a new session of this principal on one server.
    ///
    /// The session ends when the stream is dropped.
    pub fn open_stream(
        &self,
        server: &ServerId,
        principal: &Arc<Principal>,
    ) -> Result<EventStream, Fault> {
        self.refuse_in_drain()?;
        let server = self.servers.find(principal, server.as_str())?;
        let leased = server.lease(principal, None, None, None)?;
        let (sessions, held) = (&self.shared.sessions, server.instruments.stream());
        let stream = Sessions::open(sessions, &leased.hub, principal.id, held)?;
        Ok(stream.holding(leased))
    }

    fn refuse_in_drain(&self) -> Result<(), Fault> {
        if self.shared.draining.is_cancelled() {
            let fault = Fault::new(FaultKind::ShuttingDown, "the gateway is shutting down");
            return Err(fault.delivered(Delivered::No));
        }
        Ok(())
    }

    /// Refuses new messages with `shutting_down` and ends every event stream. Requests under way go on.
    pub fn drain(&self) {
        self.shared.draining.cancel();
        self.shared.sessions.end_all();
        self.shared.directory.end_all();
    }

    /// Ends every request that is not answered yet with `shutting_down`, because the drain is over.
    pub fn give_up_requests(&self) {
        self.servers.give_up_requests();
    }

    /// Stops every server and waits until no process of any is left; requests still under way end with
    /// `server_lost` or `shutting_down`.
    pub async fn shutdown(&self) {
        self.drain();
        self.servers.shutdown().await;
        self.shared.stop.cancel();
        self.shared.held.clear();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Makes every stop a SIGKILL at once, the present ones too.
    pub fn kill(&self) {
        self.servers.kill();
    }
}

/// The fault where something is asked of the processes of a server that has none.
pub fn no_process() -> Fault {
    let text = "no process of the server is running, because no client uses it";
    Fault::new(FaultKind::ServerStopped, text)
}
