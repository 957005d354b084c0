//! A modern client among the hearers: one `subscriptions/listen` of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::child::answered;
use super::{Filter, Hearer, Hub, Mark, Sink};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::Era;
use crate::protocol::era::meta_key;
use crate::supervisor::Outcome;
use crate::types::PrincipalId;

type Uris = BTreeSet<Box<str>>;

/// An open `subscriptions/listen` of a modern client: hears what it asked for and the child can give.
/// Dropping it leaves, and tells the child of what nobody wants any more.
#[derive(Debug)]
#[must_use = "dropping it leaves"]
pub(in crate::relay) struct Listening {
    hub: Arc<Hub>,
    key: u64,
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
            resources: BTreeSet::new(),
            mark: Mark::Modern {
                id: id.clone(),
                acknowledged: false,
            },
        });
        let listening = Listening {
            hub: Arc::clone(self),
            key,
            id,
        };
        let granted = match handshake.era {
            Era::Legacy => listening.subscribe(wished).await,
            Era::Modern => {
                listening.want(&wished);
                self.renew().await?;
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
            resources: BTreeSet::new(),
            mark: Mark::Modern {
                id: id.clone(),
                acknowledged: true,
            },
        });
        let hub = Arc::clone(self);
        let listening = Listening { hub, key, id };
        // A legacy child is told; whether it refuses makes no difference any more.
        drop(listening.ask_for(&resources));
        self.wishes_changed();
        listening
    }
}

impl Listening {
    fn want(&self, uris: &Uris) {
        let mut state = self.hub.state();
        if let Some(hearer) = state.hearers.get_mut(&self.key) {
            hearer.resources.extend(uris.iter().cloned());
        }
        drop(state);
        self.hub.wishes_changed();
    }

    /// Subscribes at a legacy child to what nobody wanted before; gives what of all was not refused.
    async fn subscribe(&self, uris: Uris) -> Uris {
        let asked = self.ask_for(&uris);
        let mut granted = uris;
        for (uri, answer) in asked {
            let answer = answered("resources/subscribe", answer).await;
            // A child that ended is told again when it is back.
            let refused = answer.is_err_and(|fault| fault.kind != FaultKind::ServerLost);
            if refused && let Some(hearer) = self.hub.state().hearers.get_mut(&self.key) {
                hearer.resources.remove(&uri);
                granted.remove(&uri);
            }
        }
        granted
    }

    /// Notes wishes, and tells a legacy child of those that nobody had; gives where its answers arrive.
    fn ask_for(&self, uris: &Uris) -> Vec<(Box<str>, oneshot::Receiver<Outcome>)> {
        let mut state = self.hub.state();
        let new = uris.iter().filter(|uri| !state.is_wanted(uri));
        let asked = new.filter_map(|uri| {
            let answer = self
                .hub
                .tell_of_resource(&state, "resources/subscribe", uri)?;
            Some((uri.clone(), answer))
        });
        let asked = asked.collect();
        if let Some(hearer) = state.hearers.get_mut(&self.key) {
            hearer.resources.extend(uris.iter().cloned());
        }
        asked
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
