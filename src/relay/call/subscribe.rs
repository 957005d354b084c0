//! Subscriptions to resources at the wish of a client: a server has one for all who want the same resource.

use std::sync::Arc;

use super::request::{Answered, Request};
use crate::fault::Fault;
use crate::instruments::Outcome;
use crate::protocol::Era;
use crate::relay::answers;
use crate::relay::calls::Call;
use crate::relay::hub::{Hub, SubscriptionRequest};
use crate::spans::MessageSpan;
use crate::supervisor::{Handshake, RequestEnd, RequestRecord};

/// What is kept of a client's request about a subscription while it is in the table of requests.
#[derive(Debug)]
struct SubscriptionCall {
    subscription: Arc<SubscriptionRequest>,
    call: Option<Arc<Call>>,
}

impl RequestRecord for SubscriptionCall {
    fn left(&self, end: &RequestEnd<'_>) {
        self.subscription.left(end);
        if let Some(call) = &self.call {
            call.left(end);
        }
    }
}

impl Request {
    /// Noted before the child hears of it, so that its first update finds the client, and nobody ends the subscription
    /// meanwhile; unless the child refuses, of course.
    pub(super) async fn subscribe(&self, handshake: &Handshake, span: &MessageSpan) -> Answered {
        let Some(uri) = self.message.uri() else {
            return self.ask_child(handshake, span).await;
        };
        let is_noted = self.wants(&uri)?;
        let answered = if is_noted && Hub::subscribes_by_listen(handshake) {
            self.renewed(&uri).await
        } else {
            self.ask_to_subscribe(&uri, handshake, span).await
        };
        if is_noted && !matches!(answered, Ok((_, Outcome::Ok))) {
            self.forgets(&uri);
            let principal = self.caller.principal.id;
            self.upstream.hub.give_up_unwanted(&uri, principal);
        }
        answered
    }

    async fn ask_to_subscribe(
        &self,
        uri: &str,
        handshake: &Handshake,
        span: &MessageSpan,
    ) -> Answered {
        if handshake.era == Era::Legacy {
            let principal = self.caller.principal.id;
            let begun = self.upstream.hub.begin_subscribe(uri, principal).await?;
            // Set here alone, once.
            let _ = self.subscription.set(begun);
        }
        self.ask_child(handshake, span).await
    }

    /// The child has one subscription for all: it stays while anybody wants it.
    pub(super) async fn unsubscribe(&self, handshake: &Handshake, span: &MessageSpan) -> Answered {
        let Some(uri) = self.message.uri() else {
            return self.ask_child(handshake, span).await;
        };
        let is_unwanted = self.forgets(&uri);
        let is_asked = match handshake.era {
            // What a modern child is listened to for changes with the wish.
            Era::Modern => is_unwanted && !Hub::subscribes_by_listen(handshake),
            Era::Legacy => {
                let principal = self.caller.principal.id;
                let begun = self.upstream.hub.begin_unsubscribe(&uri, principal);
                begun.is_some_and(|begun| self.subscription.set(begun).is_ok())
            }
        };
        if is_asked {
            self.ask_child(handshake, span).await
        } else {
            Ok((answers::empty(self.client_id()).into(), Outcome::Ok))
        }
    }

    /// What is kept of this request while it is in the table of requests.
    pub(super) fn record(&self, call: Option<Arc<Call>>) -> Option<Arc<dyn RequestRecord>> {
        let Some(subscription) = self.subscription.get() else {
            return call.map(|call| call as _);
        };
        let subscription = Arc::clone(subscription);
        Some(Arc::new(SubscriptionCall { subscription, call }))
    }

    /// Notes that the client wants updates of a resource; `false` where it has no way to hear of them.
    fn wants(&self, uri: &str) -> Result<bool, Fault> {
        if let Some(ear) = self.ear() {
            ear.wants(uri)?;
            return Ok(true);
        }
        if let Some(plain) = &self.plain {
            self.shared.sessions.subscribe(&plain.id, uri)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Notes that it wants none any more; `true` where nobody does.
    fn forgets(&self, uri: &str) -> bool {
        if let Some(ear) = self.ear() {
            return ear.forgets(uri);
        }
        if let Some(plain) = &self.plain {
            self.shared.sessions.unsubscribe(&plain.id, uri);
        }
        !self.upstream.hub.is_wanted(uri)
    }

    /// Has a modern child tell of what its clients want as of now.
    async fn renewed(&self, uri: &str) -> Answered {
        let principal = self.caller.principal.id;
        self.upstream.hub.renew(principal, [uri]).await?;
        Ok((answers::empty(self.client_id()).into(), Outcome::Ok))
    }
}
