//! One running server, and what the relay keeps beside its handle.

mod tools;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::aggregate::LastLists;
use super::calls::Calls;
use super::config::ClientFeatures;
use super::hub::Hub;
use super::instances::InstanceKey;
use super::tasks::TaskOwners;
use crate::instruments::ServerInstruments;
use crate::supervisor::ServerHandle;
use crate::types::ServerId;
use tools::ToolList;

/// One server.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) handle: ServerHandle,
    pub(super) hub: Arc<Hub>,
    pub(super) calls: Arc<Calls>,
    pub(super) instruments: ServerInstruments,
    /// What is kept of it for the lists of all servers.
    pub(super) last_lists: Arc<LastLists>,
    /// Calls in the course of which the server may ask are made one by one.
    pub(super) serializes: bool,
    /// Who has created which task, where all share the server.
    pub(super) tasks: TaskOwners,
    /// Whose the child is.
    pub(super) key: InstanceKey,
    /// The server is no more: streams of it that never end by themselves end now.
    pub(super) ended: CancellationToken,
    tools: ToolList,
}

/// What must be there before the server is: it hears it from its first word.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) hub: Arc<Hub>,
    calls: Arc<Calls>,
    instruments: ServerInstruments,
    features: ClientFeatures,
    key: InstanceKey,
    ended: CancellationToken,
}

impl Parts {
    pub(super) fn new(
        server: &ServerId,
        instruments: ServerInstruments,
        features: ClientFeatures,
        key: InstanceKey,
        ended: CancellationToken,
    ) -> Self {
        let calls = Arc::new(Calls::new(server.clone()));
        Self {
            hub: Hub::new(
                server.clone(),
                Arc::clone(&calls),
                instruments.clone(),
                key != InstanceKey::Shared,
            ),
            calls,
            instruments,
            features,
            key,
            ended,
        }
    }

    pub(super) fn attach(self, handle: ServerHandle) -> Upstream {
        let Self {
            hub,
            calls,
            instruments,
            features,
            key,
            ended,
        } = self;
        hub.attach(handle.clone());
        calls.attach(handle.clone());
        Upstream {
            handle,
            hub,
            calls,
            instruments,
            last_lists: Arc::default(),
            serializes: features == ClientFeatures::Serialize,
            tasks: TaskOwners::default(),
            key,
            ended,
            tools: ToolList::default(),
        }
    }
}

impl Upstream {
    /// It is one session's own.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self.key, InstanceKey::Session(_))
    }

    /// All clients share it.
    pub(super) fn is_shared(&self) -> bool {
        self.key == InstanceKey::Shared
    }
}
