//! The servers as operators see them.

use std::sync::Arc;

use super::Relay;
use super::config::Instance;
use crate::supervisor::{self, ServerHandle};
use crate::types::Principal;

/// One server and the processes that serve it.
#[derive(Clone, Debug)]
pub struct Overview<'a> {
    /// What the server was configured to be.
    pub config: &'a supervisor::Config,
    /// Who shares a process.
    pub instance: Instance,
    /// The one process of a shared server; of another, those that the principal may know of.
    pub processes: Vec<Process>,
    /// Open sessions.
    pub sessions: usize,
}

/// One process of a server, running or not.
#[derive(Clone, Debug)]
pub struct Process {
    /// Whose it is where it is not shared by all: the name of its principal, or the beginning of its
    /// session's id.
    pub name: Option<Arc<str>>,
    /// The actor that runs it.
    pub handle: ServerHandle,
}

impl Relay {
    /// Every server that the principal may reach, in the order of the config file.
    pub fn overview<'a>(
        &'a self,
        principal: &'a Principal,
    ) -> impl Iterator<Item = Overview<'a>> + 'a {
        // All servers are shared until the calls are moved onto the pools.
        self.servers(principal).map(|handle| Overview {
            config: handle.config(),
            instance: Instance::Shared,
            processes: vec![Process {
                name: None,
                handle: handle.clone(),
            }],
            sessions: self.sessions.count(handle.id()),
        })
    }
}
