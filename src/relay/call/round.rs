//! One round of a request at the child.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::fault::{Fault, FaultKind};
use crate::relay::calls::{Call, Questions};
use crate::relay::hub::Raised;
use crate::spans::MessageSpan;
use crate::supervisor::{self, ServerHandle};

/// One round of a request at the child. Dropped before its answer, it is cancelled where the client's
/// era takes a client that goes away for that.
pub(in crate::relay) struct Round {
    pub(super) receiver: oneshot::Receiver<supervisor::Outcome>,
    pub(super) call: Option<Arc<Call>>,
    /// What the child asks a modern client, where it is a legacy one.
    pub(in crate::relay) questions: Option<Arc<Questions>>,
    pub(super) span: MessageSpan,
    pub(super) written: Instant,
    /// A legacy child logs for it as long as it runs.
    pub(super) _raised: Option<Raised>,
    pub(super) abandon: Abandon,
}

impl Round {
    /// Notes whether the child waits for the client to come back.
    pub(in crate::relay) fn waits(&self, waits: bool) {
        if let Some(call) = &self.call {
            call.waits.store(waits, Ordering::Relaxed);
        }
    }

    /// The child's answer. Cancel safe.
    pub(super) async fn outcome(&mut self) -> supervisor::Outcome {
        let outcome = (&mut self.receiver).await;
        outcome.unwrap_or_else(|_closed| self.lost())
    }

    fn lost(&self) -> supervisor::Outcome {
        tracing::error!(server_id = %self.abandon.handle.id(), "a request left the table without an outcome");
        Err(Fault::new(FaultKind::InternalError, "internal error"))
    }

    /// The child's answer; `None` where it asks something first. Cancel safe.
    pub(super) async fn outcome_or_question(&mut self) -> Option<supervisor::Outcome> {
        let questions = &self.questions;
        let asked = async {
            match questions {
                Some(questions) => questions.first().await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = &mut self.receiver => outcome,
            () = asked => return None,
        };
        Some(outcome.unwrap_or_else(|_closed| self.lost()))
    }

    /// Bytes of what the child asks and the client has not answered.
    pub(in crate::relay) fn asked_bytes(&self) -> usize {
        self.questions
            .as_ref()
            .map_or(0, |questions| questions.bytes())
    }
}

/// Cancels a request whose future was dropped, where the client's revision takes that for a cancellation.
pub(super) struct Abandon {
    pub(super) handle: ServerHandle,
    pub(super) id: u64,
    pub(super) armed: bool,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        if self.armed {
            self.handle.mux().abandon(self.id);
        }
    }
}
