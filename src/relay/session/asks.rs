//! What a client of the legacy era was asked and has not answered yet.
//!
//! Requests to clients bear ids of the gateway's own, so that two children, or two lives of one, cannot
//! be taken for each other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::protocol::Span;
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, into_frame, spliced_frame};
use crate::relay::outlet::Outlet;
use crate::supervisor::{Owner, ServerHandle};
use crate::types::{Incarnation, PrincipalId, ServerId};

/// JSON-RPC: an error of ours.
const INTERNAL_ERROR: i32 = -32603;
/// Questions that may wait for one client.
const MAX_WAITING: usize = 256;
/// Withdrawn questions to which a response may be under way.
const MAX_WITHDRAWN: usize = 64;
/// How long a child waits for what it asked on behalf of no call: longer than a client takes to open
/// its stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests to the client of one session.
#[derive(Debug, Default)]
pub(in crate::relay) struct Asks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    waiting: HashMap<u64, Question>,
    /// Those that were withdrawn last: a response to one crosses with its withdrawal and is no mistake.
    withdrawn: VecDeque<u64>,
    closed: bool,
}

/// A question that the client has not answered.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: u64,
    pub(super) waiting: Waiting,
    /// The stream on which it was put; `None` where that is the session's own.
    pub(super) outlet: Option<Arc<Outlet>>,
}

/// Who waits for a client's answer.
#[derive(Debug)]
pub(in crate::relay) enum Waiting {
    /// A child that has asked by a request of its own.
    Child(ChildAsk),
    /// The gateway, which asks because a child of the modern era wants input.
    Gateway(oneshot::Sender<Response>),
}

/// A client's response.
#[derive(Debug)]
pub(in crate::relay) struct Response {
    /// The whole message.
    pub(in crate::relay) body: Bytes,
    /// Its id.
    pub(in crate::relay) id: Span,
    /// Its result; `None` where it is an error.
    pub(in crate::relay) result: Option<Span>,
}

/// A request of a child's that waits for its answer. Whatever happens, it gets one: dropped, it is
/// answered with an error, because a child that waits may not even end when its stdin does.
#[derive(Debug)]
pub(in crate::relay) struct ChildAsk {
    handle: ServerHandle,
    incarnation: Incarnation,
    /// The child's id as it was written.
    child_id: Bytes,
    /// The call that has caused it, whose deadline does not run meanwhile.
    call: Option<u64>,
    /// Whose client is asked, and so who answers.
    principal: PrincipalId,
    asked: Instant,
    answered: bool,
}

impl Asks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question and gives the id to ask it by; `None` where the session has ended, or where its
    /// client owes too many answers.
    pub(in crate::relay) fn note(
        &self,
        waiting: Waiting,
        outlet: Option<Arc<Outlet>>,
    ) -> Option<u64> {
        let mut state = self.state();
        if state.closed || state.waiting.len() >= MAX_WAITING {
            return None;
        }
        state.last_id += 1;
        let id = state.last_id;
        let question = Question {
            id,
            waiting,
            outlet,
        };
        state.waiting.insert(id, question);
        Some(id)
    }

    /// Takes a client's response to where it is waited for; `false` where it is not.
    pub(in crate::relay) fn answer(&self, response: Response) -> bool {
        let id = number(response.id.of(&response.body));
        let Some(id) = id else {
            return false;
        };
        let mut state = self.state();
        let Some(question) = state.waiting.remove(&id) else {
            return state.withdrawn.contains(&id);
        };
        drop(state);
        match question.waiting {
            Waiting::Child(ask) => ask.answer(&response.body, response.id),
            Waiting::Gateway(waits) => {
                // Whoever asked may have given up meanwhile.
                let _ = waits.send(response);
            }
        }
        true
    }

    /// Takes out the questions that are picked, which nobody waits for any more.
    pub(super) fn take(&self, which: impl Fn(u64, &Waiting) -> bool) -> Vec<Question> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return Vec::new();
        }
        let picked = state
            .waiting
            .extract_if(|id, question| which(*id, &question.waiting));
        let picked: Vec<_> = picked.map(|(_, question)| question).collect();
        state
            .withdrawn
            .extend(picked.iter().map(|question| question.id));
        let over = state.withdrawn.len().saturating_sub(MAX_WITHDRAWN);
        state.withdrawn.drain(..over);
        picked
    }

    /// Takes out one question that was never put to the client.
    pub(in crate::relay) fn forget(&self, id: u64) {
        let gone = self.state().waiting.remove(&id);
        drop(gone);
    }

    /// Answers every question with an error, and all that come later.
    pub(in crate::relay) fn refuse_all(&self, why: &str) {
        let mut state = self.state();
        state.closed = true;
        let gone = std::mem::take(&mut state.waiting);
        drop(state);
        for question in gone.into_values() {
            if let Waiting::Child(ask) = question.waiting {
                ask.refuse(INTERNAL_ERROR, why);
            }
        }
    }
}

impl Waiting {
    /// Nobody has answered for too long what belongs to no call, or nobody waits for it any more. What a call has caused
    /// is bounded by the call.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        match self {
            Self::Child(ask) => ask.call.is_none() && ask.asked + PATIENCE <= now,
            Self::Gateway(answer) => answer.is_closed(),
        }
    }

    /// The question of a child's, where it is one.
    pub(super) fn child(&self) -> Option<&ChildAsk> {
        match self {
            Self::Child(ask) => Some(ask),
            Self::Gateway(_) => None,
        }
    }
}

/// An id of ours as a client gives it back: an integer, or the same digits as a string.
fn number(json: &[u8]) -> Option<u64> {
    match string(json) {
        Some(text) => text.parse().ok(),
        None => std::str::from_utf8(json).ok()?.parse().ok(),
    }
}

impl ChildAsk {
    pub(in crate::relay) fn new(
        handle: ServerHandle,
        incarnation: Incarnation,
        child_id: Bytes,
        call: Option<u64>,
        principal: PrincipalId,
    ) -> Self {
        if let Some(call) = call {
            handle.mux().suspend(call);
        }
        Self {
            handle,
            incarnation,
            child_id,
            call,
            principal,
            asked: Instant::now(),
            answered: false,
        }
    }

    /// The child's id as it was written.
    pub(in crate::relay) fn child_id(&self) -> &Bytes {
        &self.child_id
    }

    /// The call that has caused it.
    pub(super) fn call(&self) -> Option<u64> {
        self.call
    }

    /// It is of this life of this server.
    pub(super) fn is_of(&self, server: &ServerId, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation && self.handle.id() == server
    }

    /// It is the question of this id, of this life of this server.
    pub(in crate::relay) fn is(
        &self,
        server: &ServerId,
        incarnation: Incarnation,
        child_id: &[u8],
    ) -> bool {
        self.child_id == child_id && self.is_of(server, incarnation)
    }

    /// The child has taken it back and waits for no answer.
    pub(in crate::relay) fn withdraw(mut self) {
        self.answered = true;
        if let Some(call) = self.call {
            self.handle.mux().resume(call);
        }
    }

    /// Hands a client's response on, the child's id in it.
    pub(in crate::relay) fn answer(mut self, body: &[u8], id: Span) {
        let edit = Edit {
            span: id,
            with: &self.child_id,
        };
        let frame = spliced_frame(body, &mut [edit]);
        self.send(frame);
    }

    /// Answers with a result.
    pub(in crate::relay) fn result(mut self, result: &[u8]) {
        let answer = [
            br#"{"jsonrpc":"2.0","id":"#.as_slice(),
            &self.child_id,
            br#","result":"#,
            result,
            b"}",
        ];
        let frame = into_frame(answer.concat());
        self.send(frame);
    }

    /// Answers with an error.
    pub(in crate::relay) fn refuse(mut self, code: i32, message: &str) {
        self.error(code, message);
    }

    fn error(&mut self, code: i32, message: &str) {
        let frame = refusal(&self.child_id, code, message);
        self.send(frame);
    }

    fn send(&mut self, frame: Vec<u8>) {
        self.answered = true;
        let mux = self.handle.mux();
        let owner = Owner::Principal(self.principal);
        if !mux.reply(self.incarnation, owner, frame.into()) {
            tracing::debug!(server_id = %self.handle.id(), "dropped an answer to a request of an earlier life of the server");
        }
        if let Some(call) = self.call {
            mux.resume(call);
        }
    }
}

impl Drop for ChildAsk {
    fn drop(&mut self) {
        if !self.answered {
            self.error(INTERNAL_ERROR, "the client that was asked is gone");
        }
    }
}

/// The frame by which a child's request is refused.
pub(in crate::relay) fn refusal(child_id: &[u8], code: i32, message: &str) -> Vec<u8> {
    let error = serde_json::json!({"code": code, "message": message});
    let start = [
        br#"{"jsonrpc":"2.0","id":"#.as_slice(),
        child_id,
        br#","error":"#,
    ];
    into_frame(
        [
            start.concat(),
            error.to_string().into_bytes(),
            b"}".to_vec(),
        ]
        .concat(),
    )
}
