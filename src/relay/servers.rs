//! The configured servers: which there are, who may reach them, and the processes of each.
//!
//! The list is a value that never changes: a reload puts another in its place, and whoever works with the
//! old one goes on with it to the end of what it does.

#[cfg(test)]
mod fixture;
mod omission_log;

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use omission_log::OmissionLog;

use super::aggregate::Gap;
use super::config::ServerConfig;
use super::instances::{InstanceKey, Instances, Kept as _};
use super::overview::Process;
use super::process_pair::{LeasedProcess, MakeProcess, ProcessPair};
use super::upstream::{Parts, Upstream};
use crate::fault::{Fault, FaultKind};
use crate::instruments::{Instruments, ServerInstruments};
use crate::protocol::Era;
use crate::shards::{Shard, Shards};
use crate::supervisor::{Config, EraMemory, Listener, ServerHandle, State, Supervisor};
use crate::types::{Principal, PrincipalId, ServerId};

/// All servers.
#[derive(Debug)]
pub(super) struct Servers {
    supervisor: Arc<Supervisor>,
    instruments: Instruments,
    /// Streams that never end by themselves end now.
    draining: CancellationToken,
    /// Where servers that come find a home.
    shards: Shards,
    fleet: watch::Sender<Arc<Fleet>>,
    /// Servers that were taken out and may still run: when no process of them is left.
    leaving: Mutex<FxHashMap<ServerId, CancellationToken>>,
}

/// The servers of one config, in the order of its file.
#[derive(Debug)]
pub(super) struct Fleet {
    list: Vec<Arc<Server>>,
    by_id: FxHashMap<ServerId, usize>,
    /// Another one has servers that this one has not, or the other way round.
    pub(super) replaced: CancellationToken,
}

/// What another config makes of the servers.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) added: Vec<Arc<Server>>,
    pub(super) removed: Vec<Arc<Server>>,
    /// The same servers with another config, which they do not have yet.
    pub(super) changed: Vec<(Arc<Server>, ServerConfig)>,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) instances: Instances<ProcessPair>,
    pub(super) instruments: ServerInstruments,
    /// Where the pipes of its processes are read and written.
    pub(super) home: Shard,
    /// It is no more: streams of it that never end by themselves end now.
    pub(super) ended: CancellationToken,
    /// Lines of the log about its being left out of lists.
    pub(super) omissions: OmissionLog,
    /// No process of it is left, nor of the one before it.
    gone: CancellationToken,
    /// The one of this id that was there before is gone.
    predecessor: Option<CancellationToken>,
}

/// A process of a server, in use by one request, stream or session.
pub(super) type Leased = Arc<LeasedProcess>;

impl Servers {
    /// Starts the actor of every server that is shared. `draining` ends the streams that never end by
    /// themselves. Must be called within a tokio runtime.
    pub(super) fn start(
        servers: Vec<ServerConfig>,
        instruments: &Instruments,
        draining: CancellationToken,
        shards: Shards,
        eras: EraMemory,
    ) -> Self {
        let none = Fleet::new(Vec::new(), draining.child_token());
        let this = Self {
            supervisor: Arc::new(Supervisor::new(instruments, eras)),
            instruments: instruments.clone(),
            draining,
            shards,
            fleet: watch::Sender::new(Arc::new(none)),
            leaving: Mutex::default(),
        };
        this.replace(servers);
        this
    }

    /// Puts the servers of another config in the place of these.
    ///
    /// A server of the same id stays what it is, unless other clients share its processes now: then it is
    /// taken out and another is put in. What was taken out is found by nobody any more and still runs; one of the same id
    /// starts no process before that is gone.
    pub(super) fn replace(&self, servers: Vec<ServerConfig>) -> Changes {
        let before = self.fleet();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|_, gone| !gone.is_cancelled());
        for server in &before.list {
            let mut same = servers.iter();
            if !same.any(|config| config.supervisor.id == server.id && server.is_shared_as(config))
            {
                leaving.insert(server.id.clone(), server.gone.clone());
            }
        }
        let mut changes = Changes::default();
        let mut list = Vec::with_capacity(servers.len());
        for config in servers {
            let known = before.get(config.supervisor.id.as_str());
            let known = known.filter(|known| known.is_shared_as(&config));
            let Some(known) = known.cloned() else {
                let predecessor = leaving.get(config.supervisor.id.as_str()).cloned();
                let server = Arc::new(self.server(config, predecessor));
                changes.added.push(Arc::clone(&server));
                list.push(server);
                continue;
            };
            if *known.instances.config() != config {
                changes.changed.push((Arc::clone(&known), config));
            }
            list.push(known);
        }
        let stays = |server: &&Arc<Server>| list.iter().any(|kept| Arc::ptr_eq(kept, server));
        let removed = before.list.iter().filter(|server| !stays(server));
        changes.removed.extend(removed.cloned());
        drop(leaving);
        let others = !changes.added.is_empty() || !changes.removed.is_empty();
        let replaced = if others {
            self.draining.child_token()
        } else {
            before.replaced.clone()
        };
        self.fleet
            .send_replace(Arc::new(Fleet::new(list, replaced)));
        if others {
            before.replaced.cancel();
        }
        changes
    }

    fn server(&self, config: ServerConfig, predecessor: Option<CancellationToken>) -> Server {
        let place = Place {
            ended: self.draining.child_token(),
            home: self.shards.next(),
            predecessor,
        };
        Server::new(config, &self.supervisor, &self.instruments, place)
    }

    /// The servers of the config in force.
    pub(super) fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet.borrow())
    }

    /// The server with this id, where it exists and the principal may reach it; both other cases are
    /// the same fault.
    pub(super) fn find(&self, principal: &Principal, id: &str) -> Result<Arc<Server>, Fault> {
        let fleet = self.fleet();
        fleet
            .get(id)
            .filter(|server| principal.may_reach(&server.id))
            .cloned()
            .ok_or_else(|| Fault::new(FaultKind::ServerNotFound, "unknown server_id"))
    }

    /// Every server that the principal may reach.
    pub(super) fn reachable(&self, principal: &Principal) -> Vec<Arc<Server>> {
        self.fleet().reachable(principal)
    }

    /// The home of the server with this id, where the principal may reach it.
    pub(super) fn home(&self, principal: &Principal, id: &str) -> Option<Shard> {
        let fleet = self.fleet.borrow();
        let server = fleet.get(id)?;
        principal.may_reach(&server.id).then(|| server.home.clone())
    }

    /// Every process of the servers that the principal may reach is ready, or asleep because nobody has asked for it, or
    /// disabled.
    pub(super) fn are_healthy(&self, principal: &Principal) -> bool {
        self.reachable(principal).iter().all(|server| {
            if server.instances.config().supervisor.refused.is_some()
                || server.instances.is_stopped()
            {
                return false;
            }
            server.handles().iter().all(|handle| {
                let status = handle.status();
                let disabled = handle.config().disabled;
                status.state == State::Ready || status.asleep || disabled
            })
        })
    }

    /// Ends the processes that a session had for itself.
    pub(super) fn end_session(&self, session: &Arc<str>) {
        for server in &self.fleet().list {
            server.instances.end_session(session);
        }
    }

    /// Ends the processes of principals that are no more.
    pub(super) fn end_owned(&self, gone: &[PrincipalId]) {
        for server in &self.fleet().list {
            server.instances.end_owned(gone);
        }
    }

    /// Ends every request that is not answered yet with `shutting_down`.
    pub(super) fn give_up_requests(&self) {
        self.supervisor.give_up_requests();
    }

    /// Stops every process and waits until none is left.
    pub(super) async fn shutdown(&self) {
        self.supervisor.shutdown().await;
        for server in &self.fleet().list {
            server.instances.close().await;
        }
    }

    /// Makes every stop a SIGKILL at once, the present ones too.
    pub(super) fn kill(&self) {
        self.supervisor.kill();
    }
}

impl Fleet {
    fn new(list: Vec<Arc<Server>>, replaced: CancellationToken) -> Self {
        let ids = list.iter().enumerate();
        let by_id = ids.map(|(at, server)| (server.id.clone(), at)).collect();
        Self {
            list,
            by_id,
            replaced,
        }
    }

    fn get(&self, id: &str) -> Option<&Arc<Server>> {
        self.by_id.get(id).and_then(|&at| self.list.get(at))
    }

    /// Every server that the principal may reach.
    pub(super) fn reachable(&self, principal: &Principal) -> Vec<Arc<Server>> {
        let servers = self.list.iter();
        let reachable = servers.filter(|server| principal.may_reach(&server.id));
        reachable.cloned().collect()
    }
}

/// The surroundings of a server: the event loop that it runs on, and what its beginning and its end depend on.
struct Place {
    ended: CancellationToken,
    home: Shard,
    predecessor: Option<CancellationToken>,
}

impl Server {
    fn new(
        config: ServerConfig,
        supervisor: &Arc<Supervisor>,
        instruments: &Instruments,
        place: Place,
    ) -> Self {
        let Place {
            ended,
            home,
            predecessor,
        } = place;
        let id = config.supervisor.id.clone();
        let labels = instruments.for_server(&id);
        let (supervisor, features) = (Arc::clone(supervisor), config.client_features);
        let (own_labels, own_end, shard) = (labels.clone(), ended.clone(), home.clone());
        let of_server = predecessor.clone();
        let start = Arc::new(move |key: &InstanceKey, config: Config, before: Vec<_>| {
            // A process may end before its server does.
            let (labels, ended) = (own_labels.clone(), own_end.child_token());
            let parts = Parts::new(&config.id, labels, features, key.clone(), ended);
            let listener: Arc<dyn Listener> = Arc::clone(&parts.hub) as _;
            parts.attach(supervisor.add(config, listener, &shard, before))
        });
        let make = move |key: &InstanceKey, config, of_key: Option<CancellationToken>| {
            let (again, own_key) = (Arc::clone(&start), key.clone());
            let before: Vec<_> = of_server.iter().cloned().chain(of_key).collect();
            let first = start(key, config, before.clone());
            let second: MakeProcess =
                Box::new(move |config| again(&own_key, config, before.clone()));
            ProcessPair::new(first, second)
        };
        Self {
            id,
            instances: Instances::new(config, Box::new(make)),
            instruments: labels,
            home,
            ended,
            omissions: OmissionLog::default(),
            gone: CancellationToken::new(),
            predecessor,
        }
    }

    /// Whether the same clients share a process of it by another config, in the same way.
    fn is_shared_as(&self, config: &ServerConfig) -> bool {
        let of = |config: &ServerConfig| {
            let era = config.supervisor.era;
            (config.instance, config.client_features, era)
        };
        of(&self.instances.config()) == of(config)
    }

    /// Ends what never ends by itself, stops every process and waits until none is left, nor of the predecessor.
    pub(super) async fn retire(&self) {
        // Also where this is given up: whoever follows must not wait for ever.
        let _gone = self.gone.clone().drop_guard();
        self.ended.cancel();
        self.instances.retire().await;
        if let Some(predecessor) = &self.predecessor {
            predecessor.cancelled().await;
        }
    }

    /// The process that serves this caller, started if there is none; `session` is the caller's own, if
    /// it speaks in one, and `era` the one that it speaks in, where it has one.
    pub(super) fn lease(
        &self,
        principal: &Principal,
        session: Option<&Arc<str>>,
        capabilities: Option<Arc<str>>,
        era: Option<Era>,
    ) -> Result<Leased, Fault> {
        let lease = self.instances.lease(principal, session, capabilities)?;
        Ok(Arc::new(LeasedProcess::new(lease, era)))
    }

    /// The actors of all its processes, whoever uses them.
    fn handles(&self) -> Vec<ServerHandle> {
        let pairs = self.instances.all().into_iter();
        pairs.flat_map(|pair| pair.handles()).collect()
    }

    /// The processes that a principal may know of, with what is kept of them.
    pub(super) fn upstreams(&self, principal: &Principal) -> Vec<Arc<Upstream>> {
        let pairs = self.instances.known_to(principal).into_iter();
        pairs.flat_map(|pair| pair.upstreams()).collect()
    }

    /// The lists that are not shown at the endpoint of all servers as this one would tell them now: those
    /// of the process that all share, or of the principal's own.
    pub(super) fn list_gaps(&self, principal: &Principal) -> Vec<Gap> {
        let known = self.upstreams(principal);
        known
            .iter()
            .flat_map(|upstream| upstream.last_lists.gaps())
            .collect()
    }

    /// The processes that a principal may know of.
    pub(super) fn processes(&self, principal: &Principal) -> Vec<Process> {
        self.instances.processes(principal)
    }
}
