//! A modern client among the hearers: one `subscriptions/listen` of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::changes::{SentChange, SubscriptionChange, WINDOW};
use super::child::answered;
use super::{ClientSubscriptions, Filter, Hearer, Hub, Mark, Sink};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::Era;
use crate::protocol::era::meta_key;
use crate::supervisor::Outcome;
use crate::types::PrincipalId;

type Uris = BTreeSet<Arc<str>>;

/// A request to a legacy child to tell of a resource.
type Asked = (Arc<str>, oneshot::Receiver<Outcome>);

/// An open `subscriptions/listen` of a modern client: hears what it asked for and the child can give.
/// Dropping it leaves, and tells the child of what nobody wants any more.
#[derive(Debug)]
#[must_use = "dropping it leaves"]
pub(in crate::relay) struct Listening {
    hub: Arc<Hub>,
    key: u64,
    principal: PrincipalId,
    /// The client's id as it was written.
    id: Bytes,
}

impl Hub {
    /// Opens a `subscriptions/listen` whose JSON-RPC id is `id`, as it was written.
    ///
    /// Returns when the child was told what it takes; by then the acknowledgement is on the sink, and
    /// nothing was before it. Fails as a request fails that the child does not answer. Cancel safe: the
    /// client has left when the future is dropped.
    pub(in crate::relay) async fn listen(
        self: &Arc<Self>,
        principal: PrincipalId,
        id: Bytes,
        filter: Filter,
        sink: Arc<dyn Sink>,
    ) -> Result<Listening, Fault> {
        let handle = self.handle.get().ok_or_else(unattached)?;
        let handshake = handle.wait_for_handshake().await?;
        let honoured = filter.honoured(super::Capabilities::read(&handshake.capabilities));
        let Filter { lists, resources } = honoured;
        let wished = resources.clone();
        let key = self.enter(Hearer {
            principal,
            sink: Arc::clone(&sink),
            lists,
            resources: ClientSubscriptions::of(principal),
            mark: Mark::Modern {
                id: id.clone(),
                acknowledged: false,
            },
        });
        let listening = Listening {
            hub: Arc::clone(self),
            key,
            principal,
            id,
        };
        let granted = match handshake.era {
            Era::Legacy => listening.subscribe(wished).await?,
            Era::Modern => {
                listening.want(&wished)?;
                self.renew(principal, wished.iter().map(|uri| &**uri))
                    .await?;
                wished
            }
        };
        let honoured = Filter {
            lists,
            resources: granted,
        };
        listening.acknowledge(&honoured, &sink);
        Ok(listening)
    }
}

impl Hub {
    /// Has a modern client hear from now on what it asked for, for one that listens to several servers:
    /// nobody is waited for, nothing is acknowledged, and what the child cannot give is never heard.
    pub(in crate::relay) fn listen_at_once(
        self: &Arc<Self>,
        principal: PrincipalId,
        id: Bytes,
        filter: Filter,
        sink: Arc<dyn Sink>,
    ) -> Listening {
        let Filter { lists, resources } = filter;
        let key = self.enter(Hearer {
            principal,
            sink,
            lists,
            resources: ClientSubscriptions::of(principal),
            mark: Mark::Modern {
                id: id.clone(),
                acknowledged: true,
            },
        });
        let hub = Arc::clone(self);
        let listening = Listening {
            hub,
            key,
            principal,
            id,
        };
        // A legacy child is told, unless it has the subscription; whether it refuses makes no difference any more.
        let mut state = self.state();
        for uri in &resources {
            match state.want(key, uri) {
                Ok(_) => {
                    let change = SubscriptionChange::Subscribe;
                    state.changes.add(principal, Arc::clone(uri), change);
                }
                Err(fault) => {
                    tracing::debug!(server_id = %self.server, error = %fault, "a resource is not subscribed to");
                    break;
                }
            }
        }
        self.send_changes(&mut state);
        drop(state);
        self.wishes_changed();
        listening
    }
}

impl Listening {
    fn want(&self, uris: &Uris) -> Result<(), Fault> {
        let mut state = self.hub.state();
        for uri in uris {
            state.want(self.key, uri)?;
        }
        drop(state);
        self.hub.wishes_changed();
        Ok(())
    }

    /// Subscribes at a legacy child to what it has no subscription of, a few at a time; gives what of all was not refused.
    async fn subscribe(&self, uris: Uris) -> Result<Uris, Fault> {
        // Noted first: from here on nobody ends the subscriptions that this client wants.
        self.want(&uris)?;
        let deadline = self.hub.unsubscribe_deadline();
        let (mut granted, mut asked) = (Uris::new(), VecDeque::new());
        for uri in uris {
            loop {
                self.hub.until_left(&uri, deadline).await?;
                match self.ask_for(&uri) {
                    Some(SentChange::Sent(answer)) => asked.push_back((Arc::clone(&uri), answer)),
                    Some(SentChange::Blocked) => continue,
                    Some(SentChange::Refused(fault)) if asked.is_empty() => return Err(fault),
                    Some(SentChange::Refused(_no_room)) => {
                        // There may be room when those before are answered.
                        self.settle(&mut asked, &mut granted).await;
                        continue;
                    }
                    // A child that is not there is told when it is back.
                    Some(SentChange::NobodyThere) | None => {
                        granted.insert(Arc::clone(&uri));
                    }
                }
                break;
            }
            while asked.len() >= WINDOW {
                self.settle(&mut asked, &mut granted).await;
            }
        }
        while !asked.is_empty() {
            self.settle(&mut asked, &mut granted).await;
        }
        Ok(granted)
    }

    /// Awaits the first of the answers.
    async fn settle(&self, asked: &mut VecDeque<Asked>, granted: &mut Uris) {
        let Some((uri, answer)) = asked.pop_front() else {
            return;
        };
        let answer = answered("resources/subscribe", answer).await;
        // A child that ended is told again when it is back.
        if answer.is_err_and(|fault| fault.kind != FaultKind::ServerLost) {
            self.hub.state().forget(self.key, &uri);
            self.hub.give_up_unwanted(&uri, self.principal);
        } else {
            granted.insert(uri);
        }
    }

    /// Asks a legacy child for a subscription; `None` where it has that.
    fn ask_for(&self, uri: &Arc<str>) -> Option<SentChange> {
        let change = SubscriptionChange::Subscribe;
        let mut state = self.hub.state();
        let is_due = state.told.is_due(uri, change);
        is_due.then(|| {
            self.hub
                .send_change(&mut state, uri, change, self.principal, false)
        })
    }

    /// Tells the client what it will hear, and lets it hear.
    fn acknowledge(&self, honoured: &Filter, sink: &Arc<dyn Sink>) {
        let message = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{{}}},"notifications":{}}}}}"#,
            self.mark(),
            honoured.to_json()
        );
        // A reader that is gone already is found so with the next message.
        sink.push(message.into());
        let mut state = self.hub.state();
        if let Some(Hearer {
            mark: Mark::Modern { acknowledged, .. },
            ..
        }) = state.hearers.get_mut(&self.key)
        {
            *acknowledged = true;
        }
    }

    /// The member that every message for this client bears.
    fn mark(&self) -> String {
        let id = String::from_utf8_lossy(&self.id);
        format!("\"{}\":{id}", meta_key::SUBSCRIPTION_ID)
    }

    /// Leaves; gives the response by which a stream ends that the gateway ends (MCP 2026-07-28, schema:
    /// `SubscriptionsListenResult`).
    pub(in crate::relay) fn finish(&self) -> Bytes {
        self.hub.leave(self.key);
        let handshake = self
            .hub
            .handle
            .get()
            .and_then(super::ServerHandle::handshake);
        let server = handshake.map_or_else(String::new, |handshake| {
            format!(",\"{}\":{}", meta_key::SERVER_INFO, handshake.server_info)
        });
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"complete","_meta":{{{}{server}}}}}}}"#,
            String::from_utf8_lossy(&self.id),
            self.mark(),
        );
        message.into()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.leave(self.key);
    }
}

fn unattached() -> Fault {
    tracing::error!("bug: a hub is listened to that has no server");
    Fault::new(FaultKind::InternalError, "internal error").delivered(Delivered::No)
}
