//! Sessions that are not in memory any more, because the gateway was restarted or nobody has used them for a while: a
//! genuine id brings one back, so that the client goes on as if nothing had happened.
//!
//! Subscriptions, the level of logs and what was kept for replay are lost; the client is told to look at the lists again.
//! Where the session had a process of its own its state is lost too, and the id is unknown, unless the config of the
//! server says that its sessions are revived all the same (`revive_sessions`).

use std::sync::Arc;

use super::aggregate;
use super::api::{Caller, Target};
use super::call;
use super::config::Instance;
use super::servers::{Leased, Server};
use super::session::{OwnStream, Session, unknown};
use super::{Fault, FaultKind, Shared};
use crate::protocol::Era;

impl Shared {
    /// The session that a message names, revived where that is needed. `servers` are those that the session reaches, in the
    /// order of the config.
    pub(super) fn find_session(
        &self,
        caller: &Caller,
        target: &Target,
        servers: &[Arc<Server>],
    ) -> Result<Arc<Session>, Fault> {
        let find = || {
            let id = caller.session.as_deref();
            self.directory.named(id, caller.principal.id, target)
        };
        match (find(), caller.session.as_deref()) {
            (Err(fault), Some(id)) if fault.kind == FaultKind::SessionNotFound => {
                // One at a time: of several requests of a client one revives its session, and the others find it.
                let _turn = self.directory.begin_revival();
                find().or_else(|_unknown| self.revive(id, caller, target, servers))
            }
            (found, _) => found,
        }
    }

    fn revive(
        &self,
        id: &str,
        caller: &Caller,
        target: &Target,
        servers: &[Arc<Server>],
    ) -> Result<Arc<Session>, Fault> {
        let session = self.directory.unseal(id, &caller.principal, target);
        let session = session.ok_or_else(unknown)?;
        if servers.iter().any(|server| loses_state(server)) {
            return Err(unknown());
        }
        for server in servers {
            if let Err(fault) = attach(&session, server) {
                if *target != Target::All {
                    return Err(fault);
                }
                let omissions = &server.omissions;
                omissions.note(&server.id, &caller.principal, &fault.message);
            }
        }
        if *target == Target::All {
            aggregate::announce_lists(&session);
        }
        if let Err(fault) = self.directory.admit(&session) {
            for server in servers {
                // A process that was started for it has nobody to serve.
                server.instances.end_session(session.id());
            }
            return Err(fault);
        }
        let principal = &*caller.principal.name;
        tracing::info!(
            principal,
            "a session that was not in memory goes on; its subscriptions and its log level are lost"
        );
        Ok(session)
    }
}

/// Has a session listen to one of its servers, and tells its client to look at the lists again.
fn attach(session: &Arc<Session>, server: &Server) -> Result<(), Fault> {
    if server.instances.config().supervisor.disabled {
        return Ok(());
    }
    let leased = call::lease(
        server,
        session.principal(),
        Some(session),
        Some(Era::Legacy),
    )?;
    subscribe(session, &leased);
    Ok(())
}

/// Subscribes a session to a process, and tells its client to look at the lists again.
fn subscribe(session: &Arc<Session>, leased: &Leased) {
    if *session.target() == Target::All {
        leased.hub.may_be_missing();
        aggregate::hear(session, leased);
    } else {
        let sink = Arc::new(OwnStream(Arc::clone(session.streams())));
        session.hear(leased, sink);
        leased.hub.announce_lists(|message| {
            session.tell_later(message);
        });
    }
}

/// Moves a session from a process that was dismissed to the one that serves its client now. Its subscriptions and its
/// level of logs are lost.
pub(super) fn move_session(session: &Arc<Session>, gone: &Leased, leased: &Leased) -> Leased {
    let leased = leased.at_once();
    // One of several requests at a time moves it.
    if session.leave(&gone.hub) {
        subscribe(session, &leased);
        if *session.target() == Target::All {
            aggregate::announce_lists(session);
        }
    }
    leased
}

/// A process of the session's own would be a new one, which knows nothing of what the client has done.
fn loses_state(server: &Server) -> bool {
    let config = server.instances.config();
    let own = config.instance == Instance::Session && !config.supervisor.disabled;
    own && !config.revive_sessions
}
