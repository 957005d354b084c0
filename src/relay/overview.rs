//! The servers as operators see them.

use std::sync::Arc;

use super::Relay;
use super::aggregate::Gap;
use super::api::Target;
use super::config::{Instance, ServerConfig};
use crate::supervisor::{ServerHandle, Status};
use crate::types::Principal;

/// One server and the processes that serve it.
#[derive(Clone, Debug)]
pub struct Overview {
    /// What the server is configured to be.
    pub config: Arc<ServerConfig>,
    /// The process of a shared server, or both where it is spoken to in two eras; of another, those that the principal may know of.
    pub processes: Vec<Process>,
    /// An operator has stopped it, for the clients that have no process of it, too.
    pub stopped: bool,
    /// Open sessions.
    pub sessions: usize,
    /// The lists that are not shown at the endpoint of all servers as the server would tell them now.
    pub list_gaps: Vec<Gap>,
}

/// One process of a server, running or not.
#[derive(Clone, Debug)]
pub struct Process {
    /// Whose it is where it is not shared by all: the name of its principal, or the beginning of its
    /// session's id.
    pub name: Option<Arc<str>>,
    /// The same clients have another process, in which the server is spoken to in the other era.
    pub is_paired: bool,
    /// The actor that runs it.
    pub handle: ServerHandle,
}

impl Overview {
    /// The status of a shared server; of another, that of the process that is worst off.
    pub fn status(&self) -> Status {
        if let Some(reason) = &self.config.supervisor.refused {
            return Status::refused(reason);
        }
        let all = self.processes.iter().map(|process| process.handle.status());
        let all: Vec<_> = all.collect();
        self.status_of(all.iter().map(AsRef::as_ref))
    }

    /// The same, of what is known of its processes.
    pub fn status_of<'a>(&self, all: impl Iterator<Item = &'a Status> + Clone) -> Status {
        let mut some = all.clone();
        match (self.config.instance, some.next(), some.next()) {
            (Instance::Shared, Some(only), None) => return only.clone(),
            (_, None, _) if self.stopped => return Status::stopped(),
            _ => {}
        }
        let refused = self.config.supervisor.refused.as_deref();
        refused.map_or_else(|| Status::of_all(all), Status::refused)
    }
}

impl Relay {
    /// Every server that the principal may reach, in the order of the config file.
    pub fn overview(&self, principal: &Principal) -> Vec<Overview> {
        let servers = self.servers.reachable(principal).into_iter();
        let overview = servers.map(|server| {
            let of_server = Target::Server(server.id.clone());
            let streams = self.shared.sessions.count(&server.id);
            Overview {
                config: server.instances.config(),
                processes: server.processes(principal),
                stopped: server.instances.is_stopped(),
                sessions: streams + self.shared.directory.count(&of_server),
                list_gaps: server.list_gaps(principal),
            }
        });
        overview.collect()
    }
}
