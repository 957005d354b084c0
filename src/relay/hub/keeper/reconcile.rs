//! What a modern child is asked so that it tells what the clients of one principal want: a listen, or several in turn
//! where it refuses a part of that.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::child::{answered, ask};
use super::super::{Filter, Hub, Life, Mark};
use crate::fault::{Fault, FaultKind};
use crate::supervisor::{Outcome, Owner, ServerHandle, Submission, claims};
use crate::types::{Incarnation, PrincipalId};

const METHOD: &str = "subscriptions/listen";

/// A listen that the child has acknowledged.
pub(super) struct Open {
    id: u64,
    incarnation: Incarnation,
    pub(super) filter: Filter,
    pub(super) ended: oneshot::Receiver<Outcome>,
}

/// What came of bringing a listen in line with what is wanted.
#[derive(Default)]
pub(super) struct ReconcileResult {
    pub(super) fault: Option<Fault>,
    pub(super) refused: Vec<(Arc<str>, Fault)>,
    /// Bytes that the child was sent for it.
    pub(super) bytes: usize,
}

/// Brings the listen of a principal in line with what its clients want.
pub(super) async fn reconcile(
    hub: &Arc<Hub>,
    principal: PrincipalId,
    open: &mut Option<Open>,
) -> ReconcileResult {
    let mut result = ReconcileResult::default();
    let Some((handle, life, wanted)) = hub.to_tell(principal) else {
        return result;
    };
    // What an earlier life was told went with it.
    if open
        .as_ref()
        .is_some_and(|open| open.incarnation != life.incarnation)
    {
        *open = None;
    }
    if wanted.is_empty() {
        if let Some(old) = open.take() {
            hub.no_current(principal);
            handle.mux().abandon(old.id);
        }
        return result;
    }
    if open.as_ref().is_some_and(|open| open.filter == wanted) {
        return result;
    }
    let child = ListenReconciler {
        hub,
        principal,
        handle: &handle,
        life,
    };
    let Err(fault) = child.replace(open, wanted, &mut result).await else {
        return result;
    };
    if is_refusal(&fault) {
        child.try_each(open, fault, &mut result).await;
    } else {
        result.fault = Some(fault);
    }
    result
}

/// The child has said no to what it was asked, and would say so again.
fn is_refusal(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::InvalidParams
            | FaultKind::InvalidRequest
            | FaultKind::MethodNotFound
            | FaultKind::InternalError
    )
}

/// A modern child, and the principal for whom it is told.
struct ListenReconciler<'a> {
    hub: &'a Arc<Hub>,
    principal: PrincipalId,
    handle: &'a ServerHandle,
    life: Life,
}

impl ListenReconciler<'_> {
    /// Opens a listen in the place of the present one, which stays where the new one fails.
    async fn replace(
        &self,
        open: &mut Option<Open>,
        filter: Filter,
        result: &mut ReconcileResult,
    ) -> Result<(), Fault> {
        let new = self.open_listen(filter, result).await?;
        if let Some(old) = open.replace(new) {
            self.handle.mux().abandon(old.id);
        }
        Ok(())
    }

    /// Adds the wishes that are not covered yet one by one, and takes those back that are refused.
    async fn try_each(&self, open: &mut Option<Open>, fault: Fault, result: &mut ReconcileResult) {
        let covered = |open: &Option<Open>| {
            let open = open.as_ref();
            open.map(|open| open.filter.clone()).unwrap_or_default()
        };
        let pending = self.pending(&covered(open));
        let alone = pending.len() < 2;
        for (key, wished) in pending {
            let mut together = covered(open);
            together.lists = together.lists.or(wished.lists);
            together.resources.extend(wished.resources.iter().cloned());
            let refusal = if alone {
                Some(fault.clone())
            } else {
                self.replace(open, together, result).await.err()
            };
            let Some(fault) = refusal else { continue };
            if !is_refusal(&fault) || wished.resources.is_empty() {
                result.fault = Some(fault);
                continue;
            }
            let mut state = self.hub.state();
            for uri in wished.resources {
                state.forget(key, &uri);
                result.refused.push((uri, fault.clone()));
            }
        }
    }

    /// What is wanted and not covered, in the parts that are granted or refused as a whole, with the keys of those who want
    /// them: a `subscriptions/listen` of a modern client, a resource of a legacy one.
    fn pending(&self, covered: &Filter) -> Vec<(u64, Filter)> {
        let state = self.hub.state();
        let mut pending = Vec::new();
        for (&key, hearer) in &state.hearers {
            if hearer.principal != self.principal {
                continue;
            }
            let own = state.wanted_of(self.principal, |other| other == key);
            let mut own = own.honoured(self.life.capabilities);
            own.resources.retain(|uri| !covered.resources.contains(uri));
            let lists_only = own.with_resources(BTreeSet::new());
            if own.resources.is_empty() {
                if own.lists.or(covered.lists) != covered.lists {
                    pending.push((key, own));
                }
            } else if let Mark::Modern { .. } = hearer.mark {
                pending.push((key, own));
            } else {
                let each = own.resources.into_iter();
                let each = each.map(|uri| (key, lists_only.with_resources(BTreeSet::from([uri]))));
                pending.extend(each);
            }
        }
        pending
    }

    /// Opens a listen; returns when the child has acknowledged it.
    async fn open_listen(
        &self,
        filter: Filter,
        result: &mut ReconcileResult,
    ) -> Result<Open, Fault> {
        let Self {
            hub,
            principal,
            handle,
            life,
        } = *self;
        let id = handle.mux().mint();
        let params = format!(
            r#"{{"_meta":{{{}}},"notifications":{}}}"#,
            claims(|_| false).join(","),
            filter.to_json()
        );
        result.bytes += params.len();
        if let Some(listen) = hub.state().listens.get_mut(&principal) {
            listen.opening = Some(id);
        }
        let submission = Submission::standing(Owner::Principal(principal));
        let mut acknowledged = hub.acknowledged.subscribe();
        let mut ended = ask(handle, id, METHOD, &params, submission)?;
        let acknowledged = acknowledged.wait_for(|()| hub.is_current(id));
        let waited = timeout(handle.config().requests.timeout, async {
            tokio::select! {
                biased;
                _ = acknowledged => Ok(()),
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
        if let Some(listen) = hub.state().listens.get_mut(&principal) {
            listen.opening = listen.opening.filter(|opening| *opening != id);
            // Acknowledged in the last moment, and given up already.
            listen.current = listen.current.filter(|current| *current != id);
        }
        Err(fault)
    }
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
