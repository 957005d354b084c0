//! What a legacy child asks the client of a modern call, until the client has answered.
//!
//! The questions belong to the call, not to the future that waits for it: the child may ask, and withdraw what it asked,
//! while the call is held and nobody waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::relay::bridge::rounds::{InputRequest, check_response, key_of};
use crate::relay::session::ChildAsk;
use crate::types::{Incarnation, ServerId};

/// Questions of one call that may be open at the same time, and bytes of their params.
const MAX_QUESTIONS: usize = 64;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The open questions of one call.
#[derive(Debug, Default)]
pub(in crate::relay) struct Questions {
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Question>,
    bytes: usize,
    /// The call is over.
    closed: bool,
}

#[derive(Debug)]
struct Question {
    key: String,
    method: String,
    /// Its params as JSON text.
    params: Bytes,
    ask: ChildAsk,
}

/// A response that cannot be that to its question.
#[derive(Debug)]
pub(in crate::relay) struct InvalidResponse {
    pub(in crate::relay) key: String,
    /// Goes on after the name of the response.
    pub(in crate::relay) why: &'static str,
}

impl Questions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a question; gives it back where too many are open, or the call is over.
    pub(in crate::relay) fn add(
        &self,
        ask: ChildAsk,
        method: &str,
        params: &[u8],
    ) -> Result<(), ChildAsk> {
        let mut state = self.state();
        let fits = state.open.is_empty() || state.bytes + params.len() <= MAX_BYTES;
        if state.closed || !fits || state.open.len() >= MAX_QUESTIONS {
            return Err(ask);
        }
        let taken = |key: &str| state.open.iter().any(|other| other.key == key);
        let question = Question {
            key: key_of(ask.child_id(), taken),
            method: method.to_owned(),
            // A copy, because a part of what was read from the child keeps all of it.
            params: Bytes::copy_from_slice(params),
            ask,
        };
        state.bytes += params.len();
        state.open.push(question);
        drop(state);
        self.asked.notify_one();
        Ok(())
    }

    /// Waits until a question is open. Cancel safe.
    pub(in crate::relay) async fn first(&self) {
        loop {
            let asked = self.asked.notified();
            if !self.is_empty() {
                return;
            }
            asked.await;
        }
    }

    /// Waits for another question. Cancel safe.
    pub(in crate::relay) async fn another(&self) {
        self.asked.notified().await;
    }

    /// No question is open.
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.state().open.is_empty()
    }

    /// No further question would be taken.
    pub(in crate::relay) fn is_full(&self) -> bool {
        let state = self.state();
        state.open.len() >= MAX_QUESTIONS || state.bytes >= MAX_BYTES
    }

    /// Bytes of what is open.
    pub(in crate::relay) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// What is open, as the client is asked for it.
    pub(in crate::relay) fn requests(&self) -> Vec<InputRequest> {
        let state = self.state();
        let requests = state.open.iter().map(|question| InputRequest {
            key: question.key.clone(),
            method: question.method.clone(),
            params: Some(question.params.clone()).filter(|params| !params.is_empty()),
        });
        requests.collect()
    }

    /// Answers the questions that a client has responses for; none where one of these is invalid.
    pub(in crate::relay) fn answer(
        &self,
        responses: &[(String, Bytes)],
    ) -> Result<(), InvalidResponse> {
        let mut state = self.state();
        for question in &state.open {
            let Some(response) = response_to(question, responses) else {
                continue;
            };
            check_response(&question.method, response).map_err(|why| InvalidResponse {
                key: question.key.clone(),
                why,
            })?;
        }
        let answered = state.take(|question| response_to(question, responses).is_some());
        drop(state);
        for question in answered {
            if let Some(response) = response_to(&question, responses) {
                question.ask.result(response);
            }
        }
        Ok(())
    }

    /// Answers the questions to which a client has brought a valid response before it was asked, each by one of them.
    pub(in crate::relay) fn answer_by(&self, brought: &mut Vec<(String, Bytes)>) {
        let mut answers = Vec::new();
        let mut state = self.state();
        let answered = state.take(|question| {
            let at = brought.iter().position(|(key, response)| {
                *key == question.key && check_response(&question.method, response).is_ok()
            });
            let answer = at.map(|at| brought.swap_remove(at).1);
            let is_some = answer.is_some();
            answers.extend(answer);
            is_some
        });
        drop(state);
        for (question, answer) in answered.into_iter().zip(answers) {
            question.ask.result(&answer);
        }
    }

    /// The child takes a question back; `false` where it is none of these.
    pub(in crate::relay) fn withdraw(
        &self,
        server: &ServerId,
        incarnation: Incarnation,
        child_id: &[u8],
    ) -> bool {
        let mut state = self.state();
        let withdrawn = state.take(|question| question.ask.is(server, incarnation, child_id));
        drop(state);
        let any = !withdrawn.is_empty();
        for question in withdrawn {
            question.ask.withdraw();
        }
        any
    }

    /// The call is over: what is open is refused, and what comes.
    pub(in crate::relay) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let open = state.take(|_| true);
        drop(state);
        drop(open);
    }
}

impl State {
    fn take(&mut self, which: impl FnMut(&Question) -> bool) -> Vec<Question> {
        let mut which = which;
        let taken: Vec<_> = self
            .open
            .extract_if(.., |question| which(question))
            .collect();
        let bytes: usize = taken.iter().map(|question| question.params.len()).sum();
        self.bytes -= bytes;
        taken
    }
}

fn response_to<'a>(question: &Question, responses: &'a [(String, Bytes)]) -> Option<&'a Bytes> {
    let found = responses.iter().find(|(key, _)| *key == question.key);
    found.map(|(_, response)| response)
}
