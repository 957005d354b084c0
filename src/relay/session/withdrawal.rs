//! The withdrawal of questions to the client of a session: who asked is gone, or has taken the question back.
//!
//! The client is told with `notifications/cancelled` on the stream on which it was asked (MCP 2025-11-25,
//! basic/utilities/cancellation), so that no prompt stays on a screen for nothing.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::asks::{Question, Waiting};
use super::{Response, Session};
use crate::relay::outlet::Outlet;
use crate::types::{Incarnation, ServerId};

impl Session {
    /// Withdraws the questions that are picked; gives who waits for their answers.
    fn withdraw(
        &self,
        which: impl Fn(u64, &Waiting) -> bool,
        reason: &str,
    ) -> impl Iterator<Item = Waiting> {
        let taken = self.asks.take(which);
        for Question { id, outlet, .. } in &taken {
            let params = serde_json::json!({"requestId": id, "reason": reason});
            let message = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#
            );
            // A stream that takes no more has a client that does not read.
            let _ = match outlet {
                Some(outlet) => outlet.require(message.into()),
                None => self.tell_later(message.into()),
            };
        }
        taken.into_iter().map(|question| question.waiting)
    }

    /// A child takes one of its questions back; `false` where that is not open here.
    pub(in crate::relay) fn withdraw_question(
        &self,
        server: &ServerId,
        incarnation: Incarnation,
        child_id: &[u8],
        reason: &str,
    ) -> bool {
        let is_it = |_, waiting: &Waiting| {
            let ask = waiting.child();
            ask.is_some_and(|ask| ask.is(server, incarnation, child_id))
        };
        let mut any = false;
        for waiting in self.withdraw(is_it, reason) {
            any = true;
            if let Waiting::Child(ask) = waiting {
                ask.withdraw();
            }
        }
        any
    }

    /// Withdraws what was asked in the course of a call that is over; the child is answered with an error.
    pub(in crate::relay) fn withdraw_questions_for(&self, call: u64) {
        let of_call = |_, waiting: &Waiting| {
            let ask = waiting.child();
            ask.and_then(super::ChildAsk::call) == Some(call)
        };
        self.withdraw(of_call, "the request that has caused it is over")
            .for_each(drop);
    }

    /// Withdraws what a life of a server has asked that is over.
    pub(in crate::relay) fn withdraw_questions_of(
        &self,
        server: &ServerId,
        incarnation: Incarnation,
    ) {
        let of_life = |_, waiting: &Waiting| {
            let ask = waiting.child();
            ask.is_some_and(|ask| ask.is_of(server, incarnation))
        };
        self.withdraw(of_life, "the server has ended")
            .for_each(drop);
    }

    /// Withdraws what belongs to no call and was not answered in time.
    pub(super) fn withdraw_expired_questions(&self, now: Instant) {
        let expired = |_, waiting: &Waiting| waiting.is_expired(now);
        self.withdraw(expired, "it was not answered in time")
            .for_each(drop);
    }
}

/// A question of the gateway's own. Dropped before it is answered, it is withdrawn.
#[derive(Debug)]
#[must_use = "dropping it withdraws the question"]
pub(in crate::relay) struct OpenQuestion {
    session: Arc<Session>,
    id: u64,
}

impl OpenQuestion {
    /// Notes a question that is put on a stream; `None` where the session has ended, or where its client owes too many
    /// answers.
    pub(in crate::relay) fn note(
        session: &Arc<Session>,
        answer: oneshot::Sender<Response>,
        outlet: Option<Arc<Outlet>>,
    ) -> Option<Self> {
        let id = session.asks.note(Waiting::Gateway(answer), outlet)?;
        Some(Self {
            session: Arc::clone(session),
            id,
        })
    }

    /// The id by which the client is asked.
    pub(in crate::relay) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        let is_it = |id, _: &Waiting| id == self.id;
        self.session
            .withdraw(is_it, "the request that has caused it is over")
            .for_each(drop);
    }
}
