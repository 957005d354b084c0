//! Another config while the gateway runs: other servers, other bounds, and principals that are no more.

use std::sync::Arc;

use super::aggregate::servers_changed;
use super::api::Target;
use super::config::{Config, ServerConfig};
use super::servers::Changes;
use super::session::Session;
use super::{Relay, Shared};
use crate::types::{PrincipalId, ServerId};

/// What another config has changed about the servers, in the order of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// They are there now.
    pub added: Vec<ServerId>,
    /// They are found by nobody any more; their processes are being stopped.
    pub removed: Vec<ServerId>,
    /// They were there and are to be something else: where that needs another process, the running one is
    /// being replaced.
    pub changed: Vec<ServerId>,
}

impl Relay {
    /// Takes another config. Servers that it leaves as they were notice nothing of it.
    ///
    /// A server whose processes other clients share now (`instance`, `client_features`) counts as removed
    /// and added: nothing of the old one can go on in the new one. A session on a server that was removed
    /// ends; one on a server that has changed goes on, as over any restart.
    pub async fn reload(&self, config: Config, servers: Vec<ServerConfig>) -> Reloaded {
        self.shared.memory.set_limit(config.memory_bytes);
        self.shared.config.send_if_modified(|running| {
            let differs = *running != config;
            *running = config;
            differs
        });
        let Changes {
            added,
            removed,
            changed,
        } = self.servers.replace(servers);
        let reloaded = Reloaded {
            added: added.iter().map(|server| server.id.clone()).collect(),
            removed: removed.iter().map(|server| server.id.clone()).collect(),
            changed: changed
                .iter()
                .map(|(server, _)| server.id.clone())
                .collect(),
        };
        let mut came = added;
        for (server, config) in changed {
            let was_disabled = server.instances.config().supervisor.disabled;
            if was_disabled && !config.supervisor.disabled {
                came.push(Arc::clone(&server));
            }
            server.instances.configure(config).await;
        }
        let mut ending = take_out_sessions_on(&self.shared, &reloaded.removed);
        for session in self.shared.directory.on(&Target::All) {
            servers_changed(&session, &came, &reloaded.removed);
        }
        for server in removed {
            let (on, others) = ending
                .into_iter()
                .partition(|session| *session.target() == Target::Server(server.id.clone()));
            ending = others;
            self.shared.tasks.spawn(async move {
                server.retire().await;
                let on: Vec<Arc<Session>> = on;
                for session in on {
                    session.end();
                }
            });
        }
        reloaded
    }

    /// Ends what belongs to principals that are no more: their sessions and event streams, the processes
    /// that were theirs alone, and the calls that wait for them. What they have under way is answered.
    pub fn revoke(&self, gone: &[PrincipalId]) {
        let shared = &self.shared;
        let sessions = shared
            .directory
            .end_picked(|session| gone.contains(&session.principal().id));
        for session in sessions {
            self.servers.end_session(session.id());
        }
        shared
            .sessions
            .end_picked(|principal, _| gone.contains(&principal));
        shared.held.revoke(gone);
        self.servers.end_owned(gone);
    }
}

/// Takes out the sessions on servers that are no more, so that nobody finds them. Their calls under way go on: whoever
/// has stopped the server ends what is left of them.
fn take_out_sessions_on(shared: &Shared, servers: &[ServerId]) -> Vec<Arc<Session>> {
    let is_gone = |target: &Target| match target {
        Target::Server(id) => servers.contains(id),
        Target::All => false,
    };
    shared
        .sessions
        .end_picked(|_, server| servers.contains(server));
    shared
        .directory
        .take_out(|session| is_gone(session.target()))
}
