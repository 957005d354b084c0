//! The configured servers: which there are, who may reach them, and the processes of each.

use std::collections::HashMap;
use std::sync::Arc;

use super::aggregate::Gap;
use super::config::ServerConfig;
use super::instances::{InstanceKey, Instances, Kept, Lease};
use super::overview::Process;
use super::upstream::{Parts, Upstream};
use crate::fault::{Fault, FaultKind};
use crate::instruments::{Instruments, ServerInstruments};
use crate::supervisor::{Listener, ServerHandle, State, Supervisor};
use crate::types::{Principal, ServerId};

/// All servers, in the order of the config file.
#[derive(Debug)]
pub(super) struct Servers {
    supervisor: Arc<Supervisor>,
    list: Vec<Arc<Server>>,
    by_id: HashMap<ServerId, usize>,
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) instances: Instances<Upstream>,
    pub(super) instruments: ServerInstruments,
}

/// A process of a server, in use by one request, stream or session.
pub(super) type Leased = Arc<Lease<Upstream>>;

impl Kept for Upstream {
    fn handle(&self) -> &ServerHandle {
        &self.handle
    }
}

impl Servers {
    /// Starts the actor of every server that is shared. Must be called within a tokio runtime.
    pub(super) fn start(servers: Vec<ServerConfig>, instruments: &Instruments) -> Self {
        let supervisor = Arc::new(Supervisor::start(Vec::new(), instruments));
        let list: Vec<_> = servers
            .into_iter()
            .map(|config| Arc::new(Server::new(config, &supervisor, instruments)))
            .collect();
        let ids = list.iter().enumerate();
        let by_id = ids.map(|(at, server)| (server.id.clone(), at)).collect();
        Self {
            supervisor,
            list,
            by_id,
        }
    }

    /// The server with this id, where it exists and the principal may reach it; both other cases are
    /// the same fault.
    pub(super) fn find(&self, principal: &Principal, id: &str) -> Result<&Arc<Server>, Fault> {
        let found = self.by_id.get(id).and_then(|&at| self.list.get(at));
        found
            .filter(|server| principal.may_reach(&server.id))
            .ok_or_else(|| Fault::new(FaultKind::ServerNotFound, "unknown server_id"))
    }

    /// Every server that the principal may reach.
    pub(super) fn reachable<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> impl Iterator<Item = &'a Arc<Server>> {
        let servers = self.list.iter();
        servers.filter(|server| principal.may_reach(&server.id))
    }

    /// Every process is ready, or asleep because nobody has asked for it, or disabled.
    pub(super) fn are_healthy(&self) -> bool {
        self.list.iter().all(|server| {
            server.instances.all().iter().all(|upstream| {
                let status = upstream.handle.status();
                let disabled = upstream.handle.config().disabled;
                status.state == State::Ready || status.asleep || disabled
            })
        })
    }

    /// Ends the processes that a session had for itself.
    pub(super) fn end_session(&self, session: &Arc<str>) {
        for server in &self.list {
            server.instances.end_session(session);
        }
    }

    /// Ends every request that is not answered yet with `shutting_down`.
    pub(super) fn give_up_requests(&self) {
        self.supervisor.give_up_requests();
    }

    /// Stops every process and waits until none is left.
    pub(super) async fn shutdown(&self) {
        self.supervisor.shutdown().await;
        for server in &self.list {
            server.instances.close().await;
        }
    }

    /// Makes every stop a SIGKILL at once, the present ones too.
    pub(super) fn kill(&self) {
        self.supervisor.kill();
    }
}

impl Server {
    fn new(config: ServerConfig, supervisor: &Arc<Supervisor>, instruments: &Instruments) -> Self {
        let id = config.supervisor.id.clone();
        let labels = instruments.for_server(&id);
        let (supervisor, features) = (Arc::clone(supervisor), config.client_features);
        let own_labels = labels.clone();
        let make = move |key: &InstanceKey, config: crate::supervisor::Config| {
            let parts = Parts::new(&config.id, own_labels.clone(), features, key.clone());
            let listener: Arc<dyn Listener> = Arc::clone(&parts.hub) as _;
            parts.attach(supervisor.add(config, listener))
        };
        Self {
            id,
            instances: Instances::new(config, Box::new(make)),
            instruments: labels,
        }
    }

    /// A shared server whose process is there already.
    #[cfg(test)]
    pub(super) fn of(upstream: Upstream) -> Self {
        let (id, labels) = (upstream.handle.id().clone(), upstream.instruments.clone());
        let config = ServerConfig {
            supervisor: upstream.handle.config().clone(),
            instance: super::config::Instance::Shared,
            client_features: super::config::ClientFeatures::Attribute,
            client_capabilities: super::config::ClientCapabilities::default(),
            max_instances: 1,
            instance_idle: std::time::Duration::from_mins(1),
        };
        let only = std::sync::Mutex::new(Some(upstream));
        let make = move |_: &InstanceKey, _| only.lock().unwrap().take().unwrap();
        Self {
            id,
            instances: Instances::new(config, Box::new(make)),
            instruments: labels,
        }
    }

    /// The process that serves this caller, started if there is none; `session` is the caller's own, if
    /// it speaks in one.
    pub(super) fn lease(
        &self,
        principal: &Principal,
        session: Option<&Arc<str>>,
        capabilities: Option<Arc<str>>,
    ) -> Result<Leased, Fault> {
        let leased = self.instances.lease(principal, session, capabilities)?;
        Ok(Arc::new(leased))
    }

    /// The lists that are not shown at the endpoint of all servers as this one would tell them now: those
    /// of the process that all share, or of the principal's own.
    pub(super) fn list_gaps(&self, principal: &Principal) -> Vec<Gap> {
        let known = self.instances.known_to(principal);
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
