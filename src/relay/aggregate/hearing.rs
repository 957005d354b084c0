//! What a session at the endpoint of all servers hears of them, also of those that come later.

use std::sync::Arc;

use super::results::Renaming;
use crate::relay::call;
use crate::relay::servers::{Leased, Server};
use crate::relay::session::{OwnStream, Session};
use crate::types::ServerId;

/// Has a session hear a server, under the names that its client knows.
pub(super) fn hear(session: &Session, leased: &Leased) {
    let sink = Renaming {
        server: leased.handle.id().clone(),
        sink: Arc::new(OwnStream(Arc::clone(session.streams()))),
    };
    session.hear(leased, Arc::new(sink));
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
        let leased = call::lease(server, principal, Some(session));
        let unheard = |leased: &Leased| session.ear(&leased.hub).is_none();
        if let Some(leased) = leased.ok().filter(unheard) {
            leased.hub.may_be_missing();
            hear(session, &leased);
        }
    }
    for list in ["tools", "prompts", "resources"] {
        let told = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
        session.tell_later(told.into());
    }
}
