//! One request to a legacy server about a subscription, for as long as it is in the table of requests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Hub;
use super::changes::SubscriptionChange;
use crate::fault::{Fault, FaultKind};
use crate::protocol::Era;
use crate::supervisor::{RequestEnd, RequestRecord};
use crate::types::PrincipalId;

/// When a client may subscribe again that has waited in vain.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request about a subscription. It is over when it leaves the table of requests, or is dropped before it was in it;
/// a client that hangs up changes nothing.
#[derive(Debug)]
pub(in crate::relay) struct SubscriptionRequest {
    hub: Weak<Hub>,
    pub(super) uri: Arc<str>,
    pub(super) change: SubscriptionChange,
    /// Whose place in the queue it takes.
    pub(super) principal: PrincipalId,
    /// One of those that the hub sends a few at a time, for no client.
    pub(super) is_counted: bool,
    is_over: AtomicBool,
}

impl SubscriptionRequest {
    pub(super) fn new(
        hub: &Hub,
        uri: &Arc<str>,
        change: SubscriptionChange,
        principal: PrincipalId,
        is_counted: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            hub: Weak::clone(&hub.this),
            uri: Arc::clone(uri),
            change,
            principal,
            is_counted,
            is_over: AtomicBool::new(false),
        })
    }

    /// Has nothing noted at its end, because that is noted already.
    pub(super) fn disarm(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn finish(&self, end: Option<&RequestEnd<'_>>) {
        if self.is_over.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(hub) = self.hub.upgrade() {
            hub.request_over(self, end);
        }
    }
}

impl RequestRecord for SubscriptionRequest {
    fn left(&self, end: &RequestEnd<'_>) {
        self.finish(Some(end));
    }
}

impl Drop for SubscriptionRequest {
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl Hub {
    /// Notes that a client asks a legacy server for a subscription, once no request to end it is under way. Its wish, if
    /// it has one, is noted before, so that no further one begins. Fails when that lasts longer than the server has
    /// for an answer. Cancel safe.
    pub(in crate::relay) async fn begin_subscribe(
        &self,
        uri: &str,
        principal: PrincipalId,
    ) -> Result<Arc<SubscriptionRequest>, Fault> {
        let (uri, change) = (Arc::from(uri), SubscriptionChange::Subscribe);
        let deadline = self.unsubscribe_deadline();
        loop {
            self.until_left(&uri, deadline).await?;
            if self.state().told.begin(&uri, change) {
                return Ok(SubscriptionRequest::new(
                    self, &uri, change, principal, false,
                ));
            }
        }
    }

    /// Notes that a client asks a legacy server to end a subscription. `None` where the server must not be asked: while
    /// somebody wants it, or where it has no such subscription, or is about to be asked.
    pub(in crate::relay) fn begin_unsubscribe(
        &self,
        uri: &str,
        principal: PrincipalId,
    ) -> Option<Arc<SubscriptionRequest>> {
        let change = SubscriptionChange::Unsubscribe;
        let mut state = self.state();
        if state.is_wanted(uri) || !state.told.is_due(uri, change) {
            return None;
        }
        let uri = Arc::from(uri);
        if state.told.begin(&uri, change) {
            return Some(SubscriptionRequest::new(
                self, &uri, change, principal, false,
            ));
        }
        // The hub asks when the server has answered whoever subscribes.
        state.told.block(&uri, principal);
        None
    }

    /// Until when a subscriber waits for the end of a subscription.
    pub(super) fn unsubscribe_deadline(&self) -> Instant {
        Instant::now() + self.request_timeout()
    }

    fn request_timeout(&self) -> Duration {
        let config = self.handle.get().map(super::ServerHandle::config);
        config.map_or(Duration::ZERO, |config| config.requests.timeout)
    }

    /// Waits until no request to unsubscribe from a resource is under way. Cancel safe.
    pub(super) async fn until_left(&self, uri: &str, deadline: Instant) -> Result<(), Fault> {
        let mut left = self.left.subscribe();
        let is_left = left.wait_for(|()| !self.state().told.is_unsubscribing(uri));
        // The sender is our own: it is not closed before.
        match timeout_at(deadline, is_left).await {
            Ok(_) => Ok(()),
            Err(_elapsed) => Err(self.still_unsubscribing()),
        }
    }

    fn still_unsubscribing(&self) -> Fault {
        let text = format!(
            "an earlier resources/unsubscribe of this resource was not answered within request_timeout_ms ({}); the \
             server was not asked to subscribe, try again later",
            self.request_timeout().as_millis()
        );
        Fault::new(FaultKind::ServerBusy, text).retry_after(RETRY_AFTER)
    }

    /// A request about a subscription is over: decides what the server is to be told next.
    fn request_over(&self, request: &SubscriptionRequest, end: Option<&RequestEnd<'_>>) {
        let SubscriptionRequest {
            uri,
            change,
            principal,
            ..
        } = request;
        let mut state = self.state();
        if request.is_counted {
            state.changes.finished();
            self.log_failure(*change, end);
        }
        let result = state.told.end(uri, *change, end);
        let is_asked_again = match change {
            // Others may count on it: it was lost, or withdrawn before it was written.
            SubscriptionChange::Subscribe => !result.was_told,
            // Whoever waits for the end of this asks by himself.
            SubscriptionChange::Unsubscribe => result.blocked.is_some(),
        };
        let principal = result.blocked.unwrap_or(*principal);
        match state.wanting_after(uri, principal) {
            Some(wanting) if is_asked_again => {
                let change = SubscriptionChange::Subscribe;
                state.changes.add(wanting, Arc::clone(uri), change);
            }
            Some(_) => {}
            None => {
                let change = SubscriptionChange::Unsubscribe;
                state.changes.add(principal, Arc::clone(uri), change);
            }
        }
        self.send_changes(&mut state);
        drop(state);
        self.left.send_replace(());
    }

    fn log_failure(&self, change: SubscriptionChange, end: Option<&RequestEnd<'_>>) {
        let fault = end.and_then(|end| super::child::verdict(change.method(), end.outcome).err());
        if let Some(fault) = fault {
            tracing::debug!(server_id = %self.server, error = %fault, "the server did not change a subscription");
        }
    }

    /// Has a legacy server told of a resource that nobody wants any more, where it may have a subscription.
    pub(in crate::relay) fn give_up_unwanted(&self, uri: &str, principal: PrincipalId) {
        let mut state = self.state();
        if state.life.is_some_and(|life| life.era == Era::Legacy) && !state.is_wanted(uri) {
            let change = SubscriptionChange::Unsubscribe;
            state.changes.add(principal, uri.into(), change);
            self.send_changes(&mut state);
        }
    }
}
