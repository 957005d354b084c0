//! What the gateway answers itself where it stands for all servers. None of it waits for a bad one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::Request;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::{Era, Level, era::meta_key};
use crate::relay::aggregate::ask::Asker;
use crate::relay::aggregate::cursor::More;
use crate::relay::aggregate::gather;
use crate::relay::aggregate::hearing::{ServersAtOpening, hear, servers_changed};
use crate::relay::aggregate::names::Reach;
use crate::relay::aggregate::results::Renaming;
use crate::relay::aggregate::route::listened;
use crate::relay::aggregate::{Kind, identity};
use crate::relay::api::{Events, Target};
use crate::relay::hub::Filter;
use crate::relay::queue::Queue;
use crate::relay::{answers, call};

/// How long servers are waited for to take a level of logs.
const LEVEL_TAKEN: Duration = Duration::from_secs(1);

/// A response, and the session that was opened by it.
pub(super) type Answered = Result<(Vec<u8>, Option<Arc<str>>), Fault>;

impl Request {
    /// A page of a list.
    pub(super) async fn list(&self, kind: Kind, more: Option<Vec<More<'_>>>) -> Answered {
        let leased = self
            .all
            .leases_at_once(&self.caller, self.era, self.session.as_ref());
        let servers: Vec<_> = leased.iter().map(|leased| &***leased).collect();
        let asker = Asker {
            tasks: &self.all.shared.tasks,
            memory: &self.all.shared.memory,
            principal: Arc::clone(&self.caller.principal),
            quota: self.caller.quota.clone(),
            session: self
                .session
                .as_ref()
                .map(|session| Arc::clone(session.id())),
            client_id: self.client_id(),
        };
        let result = gather::list(&asker, kind, &servers, more.as_deref(), self.era).await;
        Ok((answers::response(&self.client_id(), &result), None))
    }

    pub(super) async fn own(&self) -> Answered {
        let id = self.client_id();
        match self.method.as_str() {
            "initialize" => return self.open_session().await,
            "server/discover" => {
                let leased = self.all.settled_leases(&self.caller, self.era, None).await;
                let handshake = self.all.handshake(&leased).await;
                return Ok((answers::discover(&id, &handshake), None));
            }
            "logging/setLevel" => self.set_level().await?,
            "subscriptions/listen" => {
                let text = "subscriptions/listen has no stream here, expected GET on this path for notifications";
                return Err(Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No));
            }
            _ => {}
        }
        Ok((answers::empty(&id), None))
    }

    /// Opens a session that hears every server.
    async fn open_session(&self) -> Answered {
        let params = self.message.params();
        let principal = &self.caller.principal;
        let directory = &self.all.shared.directory;
        let session = directory.prepare(principal, Target::All, call::agree(params))?;
        // What is started for it has nobody to serve where it is not opened.
        let mut unopened = call::Unopened {
            servers: self.all.servers.clone(),
            session: Arc::clone(&session),
            armed: true,
        };
        let before = ServersAtOpening::new(&self.all.servers);
        let leased = self
            .all
            .settled_leases(&self.caller, Era::Legacy, Some(&session))
            .await;
        let handshake = self.all.handshake(&leased).await;
        for leased in &leased {
            hear(&session, leased);
        }
        directory.admit(&session)?;
        unopened.armed = false;
        // A reload from now on finds the session. One that came before is told of here.
        let (came, gone) = before.compared_with(&self.all.current.reachable(principal));
        servers_changed(&session, &came, &gone);
        let response = answers::initialize(&self.client_id(), params, &handshake);
        Ok((response, Some(Arc::clone(session.id()))))
    }

    /// The session's level at every server. A server that does not take it in time is not waited for.
    async fn set_level(&self) -> Result<(), Fault> {
        let Some(level) = Level::of_params(self.message.params()) else {
            let text = "params.level is not a log level, expected debug, info, notice, warning, error, critical, alert or emergency";
            return Err(Fault::new(FaultKind::InvalidParams, text).delivered(Delivered::No));
        };
        let leased = self
            .all
            .leases_at_once(&self.caller, self.era, self.session.as_ref());
        let told = leased.iter().map(|leased| async {
            let session = self.session.as_ref();
            if let Some(ear) = session.and_then(|session| session.ear(&leased.hub)) {
                ear.set_level(level);
            }
            let handshake = leased.handle.handshake();
            if handshake.is_some_and(|handshake| handshake.era == Era::Legacy) {
                // One that cannot take it now is told when it is ready again.
                let _ = timeout(
                    LEVEL_TAKEN,
                    leased.hub.level_changed(self.caller.principal.id),
                )
                .await;
            }
        });
        join_all(told).await;
        Ok(())
    }

    /// Opens a stream of what every server says.
    pub(super) fn listen(&self) -> Result<Events, Fault> {
        let shared = &self.all.shared;
        let filter = Filter::of_params(self.message.params())?;
        let ids = self.all.ids();
        let wished = listened(&self.message.body, &self.message.envelope, Reach(&ids))?;
        let config = shared.config();
        let queue = Arc::new(Queue::new(
            config.stream_queue_events,
            config.stream_queue_bytes,
            shared.memory.account(self.caller.principal.id),
        ));
        let id = self.client_id();
        let text = String::from_utf8_lossy(&id).into_owned();
        let mark = format!(r#""{}":{text}"#, meta_key::SUBSCRIPTION_ID);
        let acknowledged = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{{mark}}},"notifications":{}}}}}"#,
            filter.to_json()
        );
        // The queue is empty: it has room.
        queue.push(acknowledged.into());
        let leased = self.all.leases_at_once(&self.caller, self.era, None);
        let listenings: Vec<_> = leased
            .iter()
            .map(|leased| {
                let server = leased.handle.id();
                let own = wished.iter().filter(|(of, _)| *of == server);
                let own: BTreeSet<Arc<str>> = own.map(|(_, uri)| uri.as_str().into()).collect();
                let sink = Renaming {
                    server: server.clone(),
                    sink: Arc::clone(&queue) as _,
                };
                let (id, filter) = (id.clone(), filter.with_resources(own));
                let principal = self.caller.principal.id;
                let hub = &leased.hub;
                hub.listen_at_once(principal, id, filter, Arc::new(sink))
            })
            .collect();
        let finish = move || {
            // The processes are in use as long as somebody listens to them.
            drop((listenings, leased));
            let result = format!(
                r#"{{"resultType":"complete","_meta":{{{mark},"{}":{}}}}}"#,
                meta_key::SERVER_INFO,
                identity()
            );
            answers::response(text.as_bytes(), &result).into()
        };
        Ok(call::heard(&self.all.replaced, queue, finish, None))
    }
}
