//! Changes of subscriptions at a legacy server that no client waits for: after a restart, and when a client is gone.
//!
//! Few are sent at a time, those of all principals in turn, so that they do not fill what others share of the server.
//! A subscription that is being given up is not taken again before the server has said so: the frames of two
//! principals may be written in another order than the one in which they were let in.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::child::answered;
use super::{Hub, State};
use crate::protocol::Era;
use crate::supervisor::Outcome;
use crate::types::PrincipalId;

/// Requests about subscriptions that are under way at a time, for one cause.
pub(super) const WINDOW: usize = 16;
/// Changes that wait for one principal; what is beyond is left as it is at the server.
const MAX_WAITING: usize = 8192;
/// When it is tried again where the server takes nothing more.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A change of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionChange {
    Subscribe,
    Unsubscribe,
}

impl SubscriptionChange {
    fn method(self) -> &'static str {
        match self {
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
        }
    }
}

/// A change that was sent.
#[derive(Debug)]
struct SentChange {
    uri: Arc<str>,
    change: SubscriptionChange,
    /// The mark of the subscription, where it is being given up.
    leaving: Option<LeavingMark>,
    answer: oneshot::Receiver<Outcome>,
}

/// A mark of a subscription that is being given up, in one life of the server.
#[derive(Clone, Copy, Debug)]
struct LeavingMark(u64);

/// The changes that one server is still to be told of.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    waiting: BTreeMap<PrincipalId, BTreeMap<Arc<str>, SubscriptionChange>>,
    /// The principal that was served last.
    last: Option<PrincipalId>,
    sent: Vec<SentChange>,
    /// Changes that were sent and not answered.
    under_way: usize,
    /// Subscriptions that are being given up, and by how many: each takes its own mark away.
    leaving: BTreeMap<Arc<str>, usize>,
    /// How many lives of the server there were.
    lives: u64,
}

impl PendingChanges {
    /// Notes a change for a principal, in place of an earlier one of the same resource.
    pub(super) fn add(
        &mut self,
        principal: PrincipalId,
        uri: Arc<str>,
        change: SubscriptionChange,
    ) {
        let waiting = self.waiting.entry(principal).or_default();
        if waiting.len() < MAX_WAITING || waiting.contains_key(&uri) {
            waiting.insert(uri, change);
        }
    }

    /// Forgets what an earlier life of the server was to be told.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.leaving.clear();
        self.lives += 1;
    }

    /// A subscription that is being given up.
    pub(super) fn is_leaving(&self, uri: &str) -> bool {
        self.leaving.contains_key(uri)
    }

    fn begin_leaving(&mut self, uri: Arc<str>) -> LeavingMark {
        *self.leaving.entry(uri).or_default() += 1;
        LeavingMark(self.lives)
    }

    /// Takes a mark away; one of an earlier life is gone with that.
    fn end_leaving(&mut self, uri: &str, LeavingMark(life): LeavingMark) {
        let marks = self.leaving.get_mut(uri).filter(|_| life == self.lives);
        if let Some(marks) = marks {
            *marks -= 1;
            if *marks == 0 {
                self.leaving.remove(uri);
            }
        }
    }

    /// The next change, of the principal that follows the one served last.
    fn next(&mut self) -> Option<(PrincipalId, Arc<str>, SubscriptionChange)> {
        let after = self.last.map_or(PrincipalId(0), |PrincipalId(last)| {
            PrincipalId(last.saturating_add(1))
        });
        let mut turns = self.waiting.range(after..).chain(self.waiting.iter());
        let principal = *turns.next()?.0;
        self.last = Some(principal);
        let waiting = self.waiting.get_mut(&principal)?;
        let (uri, change) = waiting.pop_first()?;
        if waiting.is_empty() {
            self.waiting.remove(&principal);
        }
        Some((principal, uri, change))
    }
}

impl Hub {
    /// Sends as many changes as may be under way. Called under the lock, so that none crosses a change of wishes.
    pub(super) fn send_changes(&self, state: &mut State) {
        let is_legacy = self.alive(state).map(|(_, life)| life.era == Era::Legacy);
        if is_legacy != Some(true) {
            // A new life is told of everything, and a modern one by its listens.
            state.changes.clear();
            return;
        }
        while state.changes.under_way < WINDOW {
            let Some((principal, uri, change)) = state.changes.next() else {
                return;
            };
            // Whoever has changed the wishes meanwhile has told the server, or noted another change.
            if state.subscriptions.contains(&uri) != (change == SubscriptionChange::Subscribe) {
                continue;
            }
            match self.tell_of_resource(state, change.method(), &uri, principal) {
                Some(Ok(answer)) => {
                    let is_end = change == SubscriptionChange::Unsubscribe;
                    let leaving = is_end.then(|| state.changes.begin_leaving(Arc::clone(&uri)));
                    state.changes.under_way += 1;
                    state.changes.sent.push(SentChange {
                        uri,
                        change,
                        leaving,
                        answer,
                    });
                }
                Some(Err(_no_room)) => {
                    state.changes.add(principal, uri, change);
                    return;
                }
                None => {}
            }
        }
    }

    /// Sends what may be sent, and gives what was sent and whether more waits.
    fn take_sent(&self) -> (Vec<SentChange>, bool) {
        let mut state = self.state();
        self.send_changes(&mut state);
        let sent = std::mem::take(&mut state.changes.sent);
        (sent, !state.changes.waiting.is_empty())
    }

    /// The server has answered a change.
    fn changed(&self, uri: &str, leaving: Option<LeavingMark>) {
        let mut state = self.state();
        state.changes.under_way = state.changes.under_way.saturating_sub(1);
        if let Some(mark) = leaving {
            state.changes.end_leaving(uri, mark);
        }
        self.send_changes(&mut state);
        drop(state);
        self.left.send_replace(());
    }

    /// Waits until a resource is not being unsubscribed from. Cancel safe.
    pub(in crate::relay) async fn until_left(&self, uri: &str) {
        let mut left = self.left.subscribe();
        // The sender is our own.
        let _ = left
            .wait_for(|()| !self.state().changes.is_leaving(uri))
            .await;
    }
}

/// A subscription that is being given up at the request of a client. Dropped when the server has answered, or the client
/// waits for that no more: then the hub tells the server of what is wanted by then.
#[must_use = "dropping it lets others subscribe"]
pub(in crate::relay) struct UnsubscribeGuard<'a> {
    hub: &'a Hub,
    uri: &'a str,
    principal: PrincipalId,
    mark: LeavingMark,
    answered: bool,
}

impl UnsubscribeGuard<'_> {
    /// The server has answered, or was not asked.
    pub(in crate::relay) fn set_answered(&mut self) {
        self.answered = true;
    }
}

impl Hub {
    /// Notes that a client asks a legacy server to give a subscription up. Called before the client's wish is taken out:
    /// whoever wants the resource afterwards waits.
    pub(in crate::relay) fn leaving<'a>(
        &'a self,
        uri: &'a str,
        principal: PrincipalId,
    ) -> UnsubscribeGuard<'a> {
        UnsubscribeGuard {
            hub: self,
            uri,
            principal,
            mark: self.state().changes.begin_leaving(uri.into()),
            answered: false,
        }
    }
}

impl Drop for UnsubscribeGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.changes.end_leaving(self.uri, self.mark);
        if !self.answered {
            // What the client has asked may be written later, and then this comes after it: both wait in one queue.
            let change = if state.subscriptions.contains(self.uri) {
                SubscriptionChange::Subscribe
            } else {
                SubscriptionChange::Unsubscribe
            };
            state.changes.add(self.principal, self.uri.into(), change);
            self.hub.send_changes(&mut state);
        }
        drop(state);
        self.hub.left.send_replace(());
        if !self.answered {
            // Wakes the task that awaits the answer.
            self.hub.wishes_changed();
        }
    }
}

/// Awaits what the server says to changes of one hub and sends those that wait, until the hub is gone.
pub(super) async fn run(hub: Weak<Hub>, mut wishes: watch::Receiver<u64>) {
    loop {
        let Some((sent, blocked)) = hub.upgrade().map(|here| here.take_sent()) else {
            return;
        };
        if sent.is_empty() {
            tokio::select! {
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(RETRY_PAUSE), if blocked => {}
            }
            continue;
        }
        for SentChange {
            uri,
            change,
            leaving,
            answer,
        } in sent
        {
            let told = answered(change.method(), answer).await;
            let Some(here) = hub.upgrade() else { return };
            if let Err(fault) = told {
                tracing::debug!(server_id = %here.server, error = %fault, "the server did not change a subscription");
            }
            here.changed(&uri, leaving);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of several that give one subscription up takes its own mark away, and none that of a later life.
    #[test]
    fn a_subscription_is_being_given_up_until_all_who_do_are_answered() {
        let mut changes = PendingChanges::default();
        let marks = ["a:", "a:"].map(|uri| changes.begin_leaving(uri.into()));
        changes.end_leaving("a:", marks[0]);
        assert!(changes.is_leaving("a:"));
        changes.clear();
        assert!(!changes.is_leaving("a:"));
        let later = changes.begin_leaving("a:".into());
        changes.end_leaving("a:", marks[1]);
        assert!(changes.is_leaving("a:"));
        changes.end_leaving("a:", later);
        assert!(!changes.is_leaving("a:"));
    }

    /// RD01: the changes of a principal that has many do not come before those of one that has few.
    #[test]
    fn principals_are_served_in_turn() {
        let mut changes = PendingChanges::default();
        let (many, few) = (PrincipalId(1), PrincipalId(2));
        for number in 0..2 * MAX_WAITING {
            changes.add(
                many,
                number.to_string().into(),
                SubscriptionChange::Subscribe,
            );
        }
        for number in 0..3 {
            changes.add(
                few,
                number.to_string().into(),
                SubscriptionChange::Subscribe,
            );
        }
        changes.add(few, "0".into(), SubscriptionChange::Unsubscribe);
        let first: Vec<_> = (0..6).filter_map(|_| changes.next()).collect();
        let of_few: Vec<_> = first.iter().filter(|(of, ..)| *of == few).collect();
        assert_eq!(of_few.len(), 3, "{first:?}");
        assert_eq!(
            of_few[0].2,
            SubscriptionChange::Unsubscribe,
            "the newest wish counts"
        );
        assert_eq!(
            std::iter::from_fn(|| changes.next()).count(),
            MAX_WAITING - 3
        );
    }
}
