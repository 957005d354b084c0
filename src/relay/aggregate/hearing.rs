//! What a session at the endpoint of all servers hears of them, also of those that come later.

use std::sync::Arc;

use super::results::Renaming;
use crate::protocol::Era;
use crate::relay::call;
use crate::relay::servers::{Leased, Server};
use crate::relay::session::{OwnStream, Session};
use crate::types::ServerId;

/// Has a session hear a server, under the names that its client knows.
pub(in crate::relay) fn hear(session: &Session, leased: &Leased) {
    let sink = Renaming {
        server: leased.handle.id().clone(),
        sink: Arc::new(OwnStream(Arc::clone(session.streams()))),
    };
    session.hear(leased, Arc::new(sink));
}

/// The servers when the opening of a session began, and which of them were disabled.
pub(super) struct ServersAtOpening(Vec<(Arc<Server>, bool)>);

impl ServersAtOpening {
    pub(super) fn new(servers: &[Arc<Server>]) -> Self {
        let servers = servers.iter();
        Self(
            servers
                .map(|server| (Arc::clone(server), is_disabled(server)))
                .collect(),
        )
    }

    /// The servers that have come since, or are not disabled any more, and those that are gone.
    pub(super) fn compared_with(&self, now: &[Arc<Server>]) -> (Vec<Arc<Server>>, Vec<ServerId>) {
        let was_there = |server: &Arc<Server>| {
            let mut before = self.0.iter();
            before.any(|(known, disabled)| Arc::ptr_eq(known, server) && !disabled)
        };
        let came = now
            .iter()
            .filter(|server| !was_there(server) && !is_disabled(server));
        let is_gone = |known: &Arc<Server>| !now.iter().any(|server| Arc::ptr_eq(known, server));
        let gone = self.0.iter().filter(|(known, _)| is_gone(known));
        (
            came.cloned().collect(),
            gone.map(|(known, _)| known.id.clone()).collect(),
        )
    }
}

fn is_disabled(server: &Server) -> bool {
    server.instances.config().supervisor.disabled
}

/// Tells a session that there are other servers: it hears those that came, and its client is told to look
/// at every list again.
pub(in crate::relay) fn servers_changed(
    session: &Arc<Session>,
    came: &[Arc<Server>],
    gone: &[ServerId],
) {
    let principal = session.principal();
    let came: Vec<_> = came
        .iter()
        .filter(|server| principal.may_reach(&server.id))
        .collect();
    let gone: Vec<_> = gone.iter().filter(|id| principal.may_reach(id)).collect();
    if came.is_empty() && gone.is_empty() {
        return;
    }
    for id in gone {
        session.forget(id);
    }
    for server in came {
        // One that has no place for another process is left out of the lists, too.
        let leased = call::lease(server, principal, Some(session), Some(Era::Legacy));
        let leased = leased.map(|leased| leased.at_once());
        let unheard = |leased: &Leased| session.ear(&leased.hub).is_none();
        if let Some(leased) = leased.ok().filter(unheard) {
            leased.hub.may_be_missing();
            hear(session, &leased);
        }
    }
    announce_lists(session);
}

/// Tells a client to look at every list again.
pub(in crate::relay) fn announce_lists(session: &Session) {
    for list in ["tools", "prompts", "resources"] {
        let told = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
        session.tell_later(told.into());
    }
}
