//! The one `subscriptions/listen` that is open at a modern child, on behalf of everybody.
//!
//! Its filter is what all hearers want together. When that changes, a new listen is opened, and the old
//! one is cancelled once the child has acknowledged the new: notifications are taken from the old one up
//! to the acknowledgement and from the new one after it, so none is missed and none comes twice. A new
//! life of the child knows of no listen and is told anew (MCP 2026-07-28, basic/patterns/subscriptions).

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::child::{answered, ask};
use super::{Filter, Hub, Life};
use crate::fault::{Fault, FaultKind};
use crate::protocol::Era;
use crate::supervisor::{Outcome, ServerHandle, Submission, claims};
use crate::types::Incarnation;

const METHOD: &str = "subscriptions/listen";
/// A child that ends a listen of its own accord is asked again after this time: not at once, or a child
/// that takes none would be asked without end.
const REOPEN_PAUSE: Duration = Duration::from_secs(5);

/// What the child was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    /// It covers the wishes up to this one, or they failed.
    wish: u64,
    fault: Option<Fault>,
}

/// A listen that the child has acknowledged.
struct Open {
    id: u64,
    incarnation: Incarnation,
    filter: Filter,
    ended: oneshot::Receiver<Outcome>,
}

impl Hub {
    /// Has a modern child told what everybody wants by now; returns when it has acknowledged that, with
    /// its error as the fault. A child that is not running is told when it is. Cancel safe.
    pub(in crate::relay) async fn renew(&self) -> Result<(), Fault> {
        self.wishes_changed();
        let wish = *self.wishes.borrow();
        let mut settled = self.settled.subscribe();
        let settled = settled.wait_for(|settled| settled.wish >= wish).await;
        // The sender is our own.
        let fault = settled.ok().and_then(|settled| settled.fault.clone());
        fault.map_or(Ok(()), Err)
    }

    /// Notes that somebody wants other things than before.
    pub(super) fn wishes_changed(&self) {
        self.wishes.send_modify(|wish| *wish += 1);
    }

    /// What a modern child has to be told, and whom that is; `None` where there is none to tell.
    fn to_tell(&self) -> Option<(ServerHandle, Life, Filter)> {
        let state = self.state();
        let (handle, life) = self.alive(&state)?;
        let wanted = state.wanted().honoured(life.capabilities);
        (life.era == Era::Modern).then(|| (handle.clone(), life, wanted))
    }

    /// The child has acknowledged a listen: it takes the place of the one before.
    pub(super) fn acknowledged(&self, id: u64) {
        let mut state = self.state();
        if state.opening == Some(id) {
            state.opening = None;
            state.current = Some(id);
            self.acknowledged.notify_one();
        }
    }

    fn is_current(&self, id: u64) -> bool {
        self.state().current == Some(id)
    }
}

/// Keeps the listen of one hub, until the hub is gone.
pub(super) async fn keep(hub: Weak<Hub>, mut wishes: watch::Receiver<u64>) {
    let mut open = None;
    loop {
        let wish = *wishes.borrow_and_update();
        let Some(here) = hub.upgrade() else { return };
        let fault = follow(&here, &mut open).await.err();
        if let Some(fault) = fault
            .as_ref()
            .filter(|fault| fault.kind != FaultKind::ServerLost)
        {
            tracing::warn!(server_id = %here.server, error = %fault, "the server was not subscribed to");
        }
        if !wishes.has_changed().unwrap_or(false) {
            // The child was told everything: what it says from now on is heard.
            here.announce_new_life();
        }
        here.settled.send_replace(Settled { wish, fault });
        drop(here);
        tokio::select! {
            changed = wishes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = to_reopen(&hub, &mut open) => {}
        }
    }
}

/// Resolves when a listen that the child has ended of its own accord is to be opened again. Cancel safe.
async fn to_reopen(hub: &Weak<Hub>, open: &mut Option<Open>) {
    let lost = match open {
        Some(open) => match (&mut open.ended).await {
            Ok(Err(fault)) => fault.kind == FaultKind::ServerLost,
            Ok(Ok(_)) | Err(_) => false,
        },
        None => return std::future::pending().await,
    };
    *open = None;
    if let Some(hub) = hub.upgrade() {
        hub.state().current = None;
    }
    if lost {
        // The next life is told when it is ready.
        return std::future::pending().await;
    }
    sleep(REOPEN_PAUSE).await;
}

/// Brings the listen in line with what is wanted.
async fn follow(hub: &Arc<Hub>, open: &mut Option<Open>) -> Result<(), Fault> {
    let Some((handle, life, wanted)) = hub.to_tell() else {
        return Ok(());
    };
    // What an earlier life was told went with it.
    let present = open
        .take()
        .filter(|open| open.incarnation == life.incarnation);
    if wanted.is_empty() {
        if let Some(old) = present {
            hub.state().current = None;
            handle.mux().abandon(old.id);
        }
        return Ok(());
    }
    if let Some(same) = present.as_ref()
        && same.filter == wanted
    {
        *open = present;
        return Ok(());
    }
    match open_listen(hub, &handle, life, wanted).await {
        Ok(new) => {
            if let Some(old) = present {
                handle.mux().abandon(old.id);
            }
            *open = Some(new);
            Ok(())
        }
        Err(fault) => {
            // What was covered before is covered still.
            *open = present;
            Err(fault)
        }
    }
}

/// Opens a listen; returns when the child has acknowledged it.
async fn open_listen(
    hub: &Arc<Hub>,
    handle: &ServerHandle,
    life: Life,
    filter: Filter,
) -> Result<Open, Fault> {
    let id = handle.mux().mint();
    let params = format!(
        r#"{{"_meta":{{{}}},"notifications":{}}}"#,
        claims(|_| false).join(","),
        filter.to_json()
    );
    hub.state().opening = Some(id);
    let sent = ask(handle, id, METHOD, &params, Submission::standing());
    let mut ended = sent.ok_or_else(|| unheard(FaultKind::ServerStopped))?;
    let acknowledged = async {
        while !hub.is_current(id) {
            hub.acknowledged.notified().await;
        }
    };
    let waited = timeout(handle.config().requests.timeout, async {
        tokio::select! {
            biased;
            () = acknowledged => Ok(()),
            answer = answered_early(&mut ended) => Err(answer),
        }
    });
    let fault = match waited.await {
        Ok(Ok(())) => {
            return Ok(Open {
                id,
                incarnation: life.incarnation,
                filter,
                ended,
            });
        }
        Ok(Err(fault)) => fault,
        Err(_elapsed) => unheard(FaultKind::ServerTimeout),
    };
    handle.mux().abandon(id);
    let mut state = hub.state();
    state.opening = state.opening.filter(|opening| *opening != id);
    // Acknowledged in the last moment, and given up already.
    state.current = state.current.filter(|current| *current != id);
    Err(fault)
}

/// The fault of a listen that ended before it was acknowledged.
async fn answered_early(ended: &mut oneshot::Receiver<Outcome>) -> Fault {
    let (sender, receiver) = oneshot::channel();
    if let Ok(outcome) = ended.await {
        // Its receiver stands right below.
        let _ = sender.send(outcome);
    }
    match answered(METHOD, receiver).await {
        Ok(()) => unheard(FaultKind::BadReply),
        Err(fault) => fault,
    }
}

fn unheard(kind: FaultKind) -> Fault {
    Fault::new(kind, "the server did not acknowledge subscriptions/listen")
}
