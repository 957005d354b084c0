//! Changes of subscriptions at a legacy server that no client waits for: after a restart, and when a client is gone.
//!
//! Few are sent at a time, those of all principals in turn, so that they do not fill what others share of the server.
//! One that has to wait for a request to the contrary is decided anew when that is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::subscription_request::SubscriptionRequest;
use super::{Hub, State};
use crate::fault::Fault;
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
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
        }
    }
}

/// A change that was to be sent.
#[derive(Debug)]
pub(super) enum SentChange {
    /// It was, and its answer arrives here.
    Sent(oneshot::Receiver<Outcome>),
    /// It must not be while a request to the contrary is under way.
    Blocked,
    /// There is no room for it.
    Refused(Fault),
    /// There is no legacy server that can be told.
    NobodyThere,
}

/// The changes that one server is still to be told of.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    waiting: BTreeMap<PrincipalId, BTreeMap<Arc<str>, SubscriptionChange>>,
    /// The principal that was served last.
    last: Option<PrincipalId>,
    /// Changes that were sent and not answered.
    under_way: usize,
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
    }

    /// One that was sent has left the table of requests.
    pub(super) fn finished(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
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
            let is_wanted = state.subscriptions.contains(&uri);
            if is_wanted != (change == SubscriptionChange::Subscribe)
                || !state.told.is_due(&uri, change)
            {
                continue;
            }
            match self.send_change(state, &uri, change, principal, true) {
                SentChange::Blocked => state.told.block(&uri, principal),
                SentChange::Sent(_) => state.changes.under_way += 1,
                SentChange::Refused(_no_room) => {
                    // Another may have room for what both want.
                    let next = state.wanting_after(&uri, principal).unwrap_or(principal);
                    state.changes.add(next, uri, change);
                    return;
                }
                SentChange::NobodyThere => {}
            }
        }
    }

    /// Sends one change for a principal, unless a request to the contrary is under way. Called under the lock, so that
    /// none crosses a change of wishes.
    pub(super) fn send_change(
        &self,
        state: &mut State,
        uri: &Arc<str>,
        change: SubscriptionChange,
        principal: PrincipalId,
        is_counted: bool,
    ) -> SentChange {
        if !state.told.begin(uri, change) {
            return SentChange::Blocked;
        }
        let request = SubscriptionRequest::new(self, uri, change, principal, is_counted);
        let record = Arc::clone(&request) as _;
        let told = self.tell_of_resource(state, change.method(), uri, principal, record);
        if let Some(Ok(answer)) = told {
            return SentChange::Sent(answer);
        }
        // Its own end would take the lock again.
        request.disarm();
        state.told.end(uri, change, None);
        match told {
            Some(Err(fault)) => SentChange::Refused(fault),
            _ => SentChange::NobodyThere,
        }
    }

    /// Sends what may be sent; `true` where more waits.
    fn send_waiting(&self) -> bool {
        let mut state = self.state();
        self.send_changes(&mut state);
        !state.changes.waiting.is_empty()
    }
}

/// Sends the changes of one hub that wait for room at the server, until the hub is gone.
pub(super) async fn run(
    hub: Weak<Hub>,
    mut wishes: watch::Receiver<u64>,
    mut left: watch::Receiver<()>,
) {
    loop {
        let Some(is_blocked) = hub.upgrade().map(|here| here.send_waiting()) else {
            return;
        };
        let changed = tokio::select! {
            changed = wishes.changed() => changed,
            changed = left.changed() => changed,
            () = sleep(RETRY_PAUSE), if is_blocked => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
