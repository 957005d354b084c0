//! The subscriptions of one legacy server as it was told of them, and the requests about them that are under way.
//!
//! The frames of two principals may be written in another order than the one in which they were let in. So a resource
//! is not subscribed to while a request to unsubscribe from it is under way, queued or written, and the other way
//! round. A request is under way until it leaves the table of requests, whatever becomes of its client and of the
//! server's life: one that is queued when the server ends is written to the next life.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::changes::SubscriptionChange;
use crate::supervisor::RequestEnd;
use crate::types::{Incarnation, PrincipalId};

/// Whether the present life of the server has a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Subscribed {
    #[default]
    No,
    /// It was asked for one, and did not answer.
    Maybe,
    Yes,
}

/// One resource at the server.
#[derive(Debug, Default)]
struct ToldResource {
    subscribed: Subscribed,
    /// Requests to subscribe that are under way.
    subscribing: usize,
    /// A request to unsubscribe is under way: there is never a second one.
    unsubscribing: bool,
    /// The principal of a change that is to be made when these are over.
    blocked: Option<PrincipalId>,
}

/// The resources of which one server was told, or is about to be.
#[derive(Debug, Default)]
pub(super) struct ToldResources {
    life: Incarnation,
    resources: BTreeMap<Arc<str>, ToldResource>,
}

/// A request about a subscription that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestResult {
    /// It was written to the present life of the server.
    pub(super) was_told: bool,
    /// A change of this principal had to wait for it.
    pub(super) blocked: Option<PrincipalId>,
}

impl ToldResources {
    /// A new life knows of no subscription. What is under way stays so.
    pub(super) fn begin_life(&mut self, life: Incarnation) {
        self.life = life;
        for resource in self.resources.values_mut() {
            resource.subscribed = Subscribed::No;
        }
        self.resources.retain(|_, resource| resource.is_kept());
    }

    /// A request to unsubscribe is under way.
    pub(super) fn is_unsubscribing(&self, uri: &str) -> bool {
        let resource = self.resources.get(uri);
        resource.is_some_and(|resource| resource.unsubscribing)
    }

    /// The server has said that it has the subscription, and was not asked to end it.
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        let resource = self.resources.get(uri);
        resource.is_some_and(|one| one.subscribed == Subscribed::Yes && !one.unsubscribing)
    }

    /// Whether the server has still to be told of a resource that somebody wants, or that nobody does.
    pub(super) fn is_due(&self, uri: &str, change: SubscriptionChange) -> bool {
        match change {
            SubscriptionChange::Subscribe => !self.is_subscribed(uri),
            SubscriptionChange::Unsubscribe => self.resources.get(uri).is_some_and(|one| {
                let may_be = one.subscribed != Subscribed::No || one.subscribing > 0;
                may_be && !one.unsubscribing
            }),
        }
    }

    /// Notes that a request is about to be sent; `false`, and it must not be, while one to the contrary is under way.
    pub(super) fn begin(&mut self, uri: &Arc<str>, change: SubscriptionChange) -> bool {
        let resource = self.resources.entry(Arc::clone(uri)).or_default();
        let is_free = match change {
            SubscriptionChange::Subscribe => !resource.unsubscribing,
            SubscriptionChange::Unsubscribe => resource.subscribing == 0 && !resource.unsubscribing,
        };
        match change {
            _ if !is_free => {}
            SubscriptionChange::Subscribe => resource.subscribing += 1,
            SubscriptionChange::Unsubscribe => resource.unsubscribing = true,
        }
        is_free
    }

    /// Notes whose change waits for the requests that are under way.
    pub(super) fn block(&mut self, uri: &str, principal: PrincipalId) {
        if let Some(resource) = self.resources.get_mut(uri) {
            resource.blocked = Some(principal);
        }
    }

    /// Notes that a request is under way no more; nothing came of one without an end, which never was in the table.
    pub(super) fn end(
        &mut self,
        uri: &str,
        change: SubscriptionChange,
        end: Option<&RequestEnd<'_>>,
    ) -> RequestResult {
        let Some(resource) = self.resources.get_mut(uri) else {
            return RequestResult::default();
        };
        // What another life was told is nothing to this one.
        let told = end.filter(|end| end.written == Some(self.life));
        let answer = told.map(|told| told.outcome.as_ref());
        match change {
            SubscriptionChange::Subscribe => {
                resource.subscribing = resource.subscribing.saturating_sub(1);
                match answer {
                    Some(Ok(answer)) if !answer.is_error() => resource.subscribed = Subscribed::Yes,
                    Some(Err(_)) if resource.subscribed == Subscribed::No => {
                        resource.subscribed = Subscribed::Maybe;
                    }
                    Some(_) | None => {}
                }
            }
            SubscriptionChange::Unsubscribe => {
                resource.unsubscribing = false;
                if told.is_some() {
                    resource.subscribed = Subscribed::No;
                }
            }
        }
        let (was_told, is_idle) = (told.is_some(), resource.is_idle());
        let blocked = resource.blocked.take_if(|_| is_idle);
        if !resource.is_kept() {
            self.resources.remove(uri);
        }
        RequestResult { was_told, blocked }
    }
}

impl ToldResource {
    fn is_idle(&self) -> bool {
        self.subscribing == 0 && !self.unsubscribing
    }

    fn is_kept(&self) -> bool {
        !self.is_idle() || self.subscribed != Subscribed::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind};
    use SubscriptionChange::{Subscribe, Unsubscribe};

    fn lost(told: &mut ToldResources, change: SubscriptionChange, life: u64) -> RequestResult {
        let end = RequestEnd {
            written: (life > 0).then_some(Incarnation(life)),
            answered: false,
            outcome: &Err(Fault::new(FaultKind::ServerLost, "")),
        };
        told.end("a:", change, Some(&end))
    }

    /// What an earlier life was asked says nothing of the present one, and what was never written nothing at all.
    #[test]
    fn only_what_was_written_to_the_present_life_counts() {
        let (mut told, uri) = (ToldResources::default(), Arc::from("a:"));
        told.begin_life(Incarnation(2));
        for life in [0, 1] {
            assert!(told.begin(&uri, Subscribe));
            assert!(!lost(&mut told, Subscribe, life).was_told);
            assert!(!told.is_due("a:", Unsubscribe) && told.resources.is_empty());
        }
        assert!(told.begin(&uri, Subscribe));
        assert!(lost(&mut told, Subscribe, 2).was_told);
        assert!(told.is_due("a:", Unsubscribe) && told.is_due("a:", Subscribe));
        assert!(told.begin(&uri, Unsubscribe) && !told.is_due("a:", Unsubscribe));
        lost(&mut told, Unsubscribe, 0);
        assert!(told.is_due("a:", Unsubscribe), "it was not told");
        assert!(told.begin(&uri, Unsubscribe));
        lost(&mut told, Unsubscribe, 2);
        assert!(told.resources.is_empty());
    }

    /// A request waits for those to the contrary, also over the end of a life, and is decided anew after the last.
    #[test]
    fn requests_to_the_contrary_are_not_under_way_together() {
        let (mut told, uri) = (ToldResources::default(), Arc::from("a:"));
        assert!(told.begin(&uri, Subscribe) && told.begin(&uri, Subscribe));
        assert!(!told.begin(&uri, Unsubscribe));
        told.block("a:", PrincipalId(1));
        told.begin_life(Incarnation(1));
        assert_eq!(lost(&mut told, Subscribe, 0).blocked, None);
        assert!(!told.begin(&uri, Unsubscribe));
        assert_eq!(lost(&mut told, Subscribe, 1).blocked, Some(PrincipalId(1)));
        assert!(told.begin(&uri, Unsubscribe) && !told.begin(&uri, Subscribe));
        assert!(told.is_unsubscribing("a:"));
    }
}
