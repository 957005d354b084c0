//! The `subscriptions/listen` that is open at a modern child for each principal, on behalf of all its clients.
//!
//! Its filter is what the hearers of the principal want together. When that changes, a new listen is opened, and the
//! old one is cancelled once the child has acknowledged the new: notifications are taken from the old one up
//! to the acknowledgement and from the new one after it, so none is missed and none comes twice. A new
//! life of the child knows of no listen and is told anew (MCP 2026-07-28, basic/patterns/subscriptions).
//!
//! One listen for all principals would let one of them decide for the others: a resource that the child refuses
//! fails the whole listen, and a long list is sent again for every small change. Within a principal, the wishes that
//! a child refuses are found by trying those of each client by themselves, and are taken back.

mod reconcile;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use reconcile::{Open, ReconcileResult, reconcile};

use super::{Filter, Hub, Life, State};
use crate::fault::{Fault, FaultKind};
use crate::protocol::Era;
use crate::supervisor::ServerHandle;
use crate::types::PrincipalId;

/// A child that ends a listen of its own accord is asked again after this time: not at once, or a child
/// that takes none would be asked without end.
const REOPEN_PAUSE: Duration = Duration::from_secs(5);
/// Bytes of listens that a child is sent in a second for one principal, where they are not small.
const LISTEN_RATE: usize = 1024 * 1024;
const SMALL_LISTEN: usize = 8 * 1024;
/// Refused resources of one principal that are remembered for those who wait to be told.
const MAX_REFUSED: usize = 4096;

/// What the child was told last of the wishes of one principal.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    /// It covers the wishes up to this one, or they failed.
    wish: u64,
    fault: Option<Fault>,
    /// Resources that the child has refused since.
    refused: BTreeMap<Arc<str>, Fault>,
}

/// The listens of one principal at the child.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UpstreamListen {
    /// The one whose notifications are passed on.
    pub(super) current: Option<u64>,
    /// The one that will take its place.
    pub(super) opening: Option<u64>,
}

impl Hub {
    /// Has a modern child told what the clients of a principal want by now; returns when it has acknowledged that, with
    /// its error about any of these resources as the fault. A child that is not running is told when it is. Cancel safe.
    pub(in crate::relay) async fn renew<'u>(
        &self,
        principal: PrincipalId,
        uris: impl IntoIterator<Item = &'u str>,
    ) -> Result<(), Fault> {
        self.wishes_changed();
        let wish = *self.wishes.borrow();
        let mut settled = self.settled.subscribe();
        // A principal of whom nobody listens has nothing to be told.
        let settled = settled.wait_for(|settled| {
            let own = settled.get(&principal);
            own.is_none_or(|own| own.wish >= wish)
        });
        // The sender is our own.
        let Ok(settled) = settled.await else {
            return Ok(());
        };
        let Some(own) = settled.get(&principal) else {
            return Ok(());
        };
        let mut refusals = uris.into_iter().filter_map(|uri| own.refused.get(uri));
        let fault = own.fault.as_ref().or_else(|| refusals.next());
        fault.map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Notes that somebody wants other things than before.
    pub(super) fn wishes_changed(&self) {
        self.wishes.send_modify(|wish| *wish += 1);
    }

    /// What a modern child has to be told for a principal, and whom that is; `None` where there is none to tell.
    fn to_tell(&self, principal: PrincipalId) -> Option<(ServerHandle, Life, Filter)> {
        let state = self.state();
        let (handle, life) = self.alive(&state)?;
        if life.era != Era::Modern {
            return None;
        }
        let wanted = state.wanted_of(principal, |_| true);
        Some((handle.clone(), life, wanted.honoured(life.capabilities)))
    }

    /// The child has acknowledged a listen: it takes the place of the one before.
    pub(super) fn acknowledged(&self, id: u64) {
        let mut state = self.state();
        let mut listens = state.listens.values_mut();
        let Some(listen) = listens.find(|listen| listen.opening == Some(id)) else {
            return;
        };
        *listen = UpstreamListen {
            current: Some(id),
            opening: None,
        };
        drop(state);
        self.acknowledged.send_replace(());
    }

    fn is_current(&self, id: u64) -> bool {
        let state = self.state();
        let mut listens = state.listens.values();
        listens.any(|listen| listen.current == Some(id))
    }

    fn settle(
        &self,
        principal: PrincipalId,
        wish: u64,
        result: &ReconcileResult,
        open: Option<&Open>,
    ) {
        self.settled.send_modify(|settled| {
            let Some(own) = settled.get_mut(&principal) else {
                return;
            };
            own.wish = wish;
            own.fault.clone_from(&result.fault);
            if own.refused.len() + result.refused.len() > MAX_REFUSED {
                own.refused.clear();
            }
            own.refused.extend(result.refused.iter().cloned());
            if let Some(open) = open {
                own.refused
                    .retain(|uri, _| !open.filter.resources.contains(uri));
            }
        });
    }

    /// Whether nobody of a principal listens any more: then its wishes are not kept, until somebody does.
    fn is_done_with(&self, principal: PrincipalId) -> bool {
        let mut state = self.state();
        let mut hearers = state.hearers.values();
        if hearers.any(|hearer| hearer.principal == principal) {
            return false;
        }
        state.listens.remove(&principal);
        self.settled.send_modify(|settled| {
            settled.remove(&principal);
        });
        true
    }
}

impl State {
    /// What those hearers of a principal want together that are picked by their keys.
    fn wanted_of(&self, principal: PrincipalId, pick: impl Fn(u64) -> bool) -> Filter {
        let mut wanted = Filter::default();
        for (&key, hearer) in &self.hearers {
            if hearer.principal == principal && pick(key) {
                wanted.lists = wanted.lists.or(hearer.lists);
                wanted.resources.extend(hearer.resources.iter().cloned());
            }
        }
        wanted
    }
}

/// Keeps the listen of a principal at one hub, until nobody of it listens, or the hub is gone.
pub(super) async fn keep(hub: Weak<Hub>, principal: PrincipalId, mut wishes: watch::Receiver<u64>) {
    let mut open = None;
    loop {
        let wish = *wishes.borrow_and_update();
        let Some(here) = hub.upgrade() else { return };
        let result = reconcile(&here, principal, &mut open).await;
        if let Some(fault) = &result.fault
            && fault.kind != FaultKind::ServerLost
        {
            tracing::warn!(server_id = %here.server, error = %fault, "the server was not subscribed to");
        }
        if !wishes.has_changed().unwrap_or(false) {
            // The child was told everything: what it says from now on is heard.
            here.announce_new_life(|one| one == principal);
        }
        here.settle(principal, wish, &result, open.as_ref());
        // One that is open is closed first: nobody may have been left while it was being opened.
        if open.is_none() && here.is_done_with(principal) {
            return;
        }
        drop(here);
        if result.bytes > SMALL_LISTEN {
            // What is wished for meanwhile goes into one change.
            let millis = result.bytes.saturating_mul(1000) / LISTEN_RATE;
            sleep(Duration::from_millis(
                u64::try_from(millis).unwrap_or(u64::MAX),
            ))
            .await;
        }
        tokio::select! {
            changed = wishes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = to_reopen(&hub, principal, &mut open) => {}
        }
    }
}

/// Resolves when a listen that the child has ended of its own accord is to be opened again. Cancel safe.
async fn to_reopen(hub: &Weak<Hub>, principal: PrincipalId, open: &mut Option<Open>) {
    let lost = match open {
        Some(open) => match (&mut open.ended).await {
            Ok(Err(fault)) => fault.kind == FaultKind::ServerLost,
            Ok(Ok(_)) | Err(_) => false,
        },
        None => return std::future::pending().await,
    };
    *open = None;
    if let Some(hub) = hub.upgrade() {
        hub.no_current(principal);
    }
    if lost {
        // The next life is told when it is ready.
        return std::future::pending().await;
    }
    sleep(REOPEN_PAUSE).await;
}

impl Hub {
    fn no_current(&self, principal: PrincipalId) {
        if let Some(listen) = self.state().listens.get_mut(&principal) {
            listen.current = None;
        }
    }
}
