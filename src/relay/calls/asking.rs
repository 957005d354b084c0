//! What a child asks the client that has caused it, and takes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Call, Calls, Cause, Reach, params_or_empty};
use crate::protocol::splice::{Edit, splice};
use crate::protocol::{Envelope, Span};
use crate::relay::call::reason;
use crate::relay::session::{ChildAsk, Session, Waiting, refusal};
use crate::types::Incarnation;

/// JSON-RPC: the method does not exist here.
const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: a request that is not one, and an error of ours.
const INVALID_REQUEST: i32 = -32600;
const INTERNAL_ERROR: i32 = -32603;
/// The longest id of a question, in bytes: it is kept until the question is answered.
const MAX_ID: usize = 1024;
/// The longest reason of a withdrawal that is passed on, in characters.
const MAX_REASON: usize = 200;

impl Calls {
    /// Puts a request of the child's to the one client that has caused it. `Some` is the answer where
    /// there is no such client, or where the client cannot be asked; `None` means that the client was
    /// asked and the answer follows.
    pub(in crate::relay) fn ask(
        &self,
        incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) -> Option<Bytes> {
        let (Some(handle), Some(id)) = (self.handle.get(), envelope.id) else {
            return None;
        };
        // A copy, because a part of what was read from the child keeps all of it.
        let child_id = Bytes::copy_from_slice(id.of(line));
        let refuse = |code, message: &str| {
            tracing::debug!(server_id = %self.server, reason = message, "refused a request of the server");
            Some(refusal(&child_id, code, message).into())
        };
        if child_id.len() > MAX_ID {
            return refuse(
                INVALID_REQUEST,
                "the id is too long, expected 1024 bytes at most",
            );
        }
        let params = envelope
            .params
            .map_or(&b"{}"[..], |params| params.span.of(line));
        let caused_by = self.cause(incarnation, method);
        let (call, session) = match caused_by {
            Cause::One(call) => (Some(call), None),
            Cause::Nobody => (None, self.owner()),
            Cause::Several => (None, None),
        };
        let new_ask = |call, principal| {
            let child_id = child_id.clone();
            ChildAsk::new(handle.clone(), incarnation, child_id, call, principal)
        };
        let to_session = |session: &Arc<Session>, call: Option<&Call>| {
            if let Err(refusal) = session.agreed().features.allow(method, params) {
                return refuse(refusal.code, &refusal.message);
            }
            if method == "elicitation/create" {
                self.subjects.asked(params, session);
            }
            let ask = new_ask(call.map(|call| call.id), session.principal().id);
            put(session, call, ask, line, id);
            None
        };
        match (call.as_deref(), session) {
            (Some(call), _) => match &call.reach {
                Reach::Session(session) => to_session(session, Some(call)),
                Reach::Rounds {
                    features,
                    questions,
                } => {
                    if let Err(refusal) = features.allow(method, params) {
                        return refuse(refusal.code, &refusal.message);
                    }
                    let params = params_or_empty(line, envelope);
                    if let Err(ask) =
                        questions.add(new_ask(Some(call.id), call.principal), method, params)
                    {
                        ask.refuse(INTERNAL_ERROR, "too many questions of this call are open");
                    }
                    None
                }
                Reach::None => refuse(
                    METHOD_NOT_FOUND,
                    "the client whose request is under way cannot be asked",
                ),
            },
            (None, Some(session)) => to_session(&session, None),
            (None, None) => refuse(
                METHOD_NOT_FOUND,
                "no single client has caused this request, and it is put to nobody else",
            ),
        }
    }

    /// The child takes back what it asked (`notifications/cancelled`): the client is told, and the time of the call runs
    /// again. `false` where no such question is open.
    pub(in crate::relay) fn withdraw(
        &self,
        incarnation: Incarnation,
        child_id: &[u8],
        params: &[u8],
    ) -> bool {
        let reason = reason(params);
        let reason = reason.as_deref().unwrap_or("withdrawn by the server");
        let reason: String = reason.chars().take(MAX_REASON).collect();
        let calls: Vec<_> = self.open().calls.values().cloned().collect();
        let mut sessions: Vec<_> = self.owner().into_iter().collect();
        for call in &calls {
            match &call.reach {
                Reach::Session(session) => sessions.push(Arc::clone(session)),
                Reach::Rounds { questions, .. } => {
                    if questions.withdraw(&self.server, incarnation, child_id) {
                        // The child works on it again.
                        let waits = !questions.is_empty() && call.waits.load(Ordering::Relaxed);
                        call.waits.store(waits, Ordering::Relaxed);
                        return true;
                    }
                }
                Reach::None => {}
            }
        }
        sessions.sort_unstable_by_key(|session| Arc::as_ptr(session).addr());
        sessions.dedup_by(|one, other| Arc::ptr_eq(one, other));
        sessions
            .iter()
            .any(|session| session.withdraw_question(&self.server, incarnation, child_id, &reason))
    }
}

/// Puts a child's request to the client of a session: on the stream of the call that has caused it, else
/// on the session's own. `cause` is `None` where no call has.
fn put(session: &Session, cause: Option<&Call>, ask: ChildAsk, line: &Bytes, id: Span) {
    let outlet = cause.and_then(|call| call.voice().outlet);
    let noted = session.asks().note(Waiting::Child(ask), outlet.clone());
    let Some(minted) = noted else {
        return;
    };
    let with = minted.to_string();
    let edit = Edit {
        span: id,
        with: with.as_bytes(),
    };
    let message: Bytes = splice(line, &mut [edit]).into();
    let told = match cause {
        Some(_) => session.tell(outlet.as_ref(), message),
        None => session.tell_later(message),
    };
    if !told {
        // Taken back, it is refused to the child.
        session.asks().forget(minted);
    }
}
