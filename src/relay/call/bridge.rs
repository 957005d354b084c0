//! A request between the eras: what is different on its way down, and on its way back.
//!
//! | client | child | what is done |
//! | --- | --- | --- |
//! | legacy | legacy | nothing: what the child asks goes to the client's stream |
//! | any, at `/rpc`, and modern | modern | the state of a round is sealed for its principal |
//! | modern | legacy | what the child asks becomes a round, the child's call being held meanwhile |
//! | legacy | modern | a round becomes questions on the client's stream, and the call is made again |

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout_at};

use super::message::{Message, Read};
use super::request::{Answered, Request};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::Outcome;
use crate::protocol::Era;
use crate::protocol::message::Ending;
use crate::protocol::splice::{self, Patch};
use crate::relay::answers;
use crate::relay::bridge::request_state::Bound;
use crate::relay::bridge::rounds::{self, InputRequest, InputRequired, Retry};
use crate::relay::bridge::{legacy, modern};
use crate::relay::calls::{InvalidResponse, Questions, Voice};
use crate::relay::held::Held;
use crate::relay::session::{OpenQuestion, Response, Session};
use crate::spans::MessageSpan;
use crate::supervisor::{Answer, Handshake};
use crate::types::wall;

/// What a child asks in one go arrives in one go, give or take this much,
const TOGETHER: Duration = Duration::from_millis(20);
/// and a child that goes on asking is not listened to for longer than this before its client is asked.
const TOGETHER_AT_MOST: Duration = Duration::from_millis(200);
/// Rounds of one call, after which a server that always wants more is given up.
const MAX_ROUNDS: usize = 32;

impl Request {
    /// Has the child answer, by as many rounds as it takes.
    ///
    /// Between legacy and legacy, and modern and modern, that is one. Where the eras differ the way is longer, and
    /// boxed, so that the common one does not carry its size about.
    pub(super) async fn ask_child(&self, handshake: &Handshake, span: &MessageSpan) -> Answered {
        if self.is_modern_mcp() && handshake.era == Era::Legacy {
            let retry = self.retry()?;
            if let Some(state) = &retry.state {
                // Whatever becomes of this one, the rounds before it were made.
                let answered = Box::pin(self.go_on(handshake, state, &retry)).await;
                return answered.map_err(|fault| fault.delivered(Delivered::Unknown));
            }
            let round = self.for_legacy_child()?;
            let round = self.begin(handshake, span, &round)?;
            // What the client brings without a state may be what the child is about to ask for: a round
            // may be made again from its beginning.
            let brought = retry.responses;
            let held = Held::new(round, Arc::clone(&self.upstream), brought);
            return Box::pin(self.until_asked(handshake, held)).await;
        }
        if let Some(session) = self
            .session
            .as_ref()
            .filter(|_| handshake.era == Era::Modern)
        {
            return Box::pin(self.with_questions(handshake, span, session)).await;
        }
        let round = self.for_modern_child(handshake)?;
        let mut round = self.begin(handshake, span, &round)?;
        let outcome = round.outcome().await;
        let (answer, ended) = self.ended(handshake, &mut round, outcome)?;
        Ok((self.sealed(handshake, answer)?, ended))
    }

    fn retry(&self) -> Result<Retry, Fault> {
        Retry::read(&self.message.body, &self.message.envelope)
            .map_err(|bad| bad_params(bad.to_string()))
    }

    fn bound<'a>(&'a self, target: &'a str) -> Bound<'a> {
        Bound {
            token: &self.caller.principal.fingerprint,
            server: self.upstream.handle.id().as_str(),
            method: &self.method,
            target,
        }
    }

    fn open(&self, state: &str) -> Result<String, Fault> {
        let target = self.message.target();
        let sealer = self.shared.sealer()?;
        let opened = self.bound(&target).open(sealer, state, wall::now());
        opened.map_err(|error| bad_params(error.to_string()))
    }

    fn seal(&self, inner: &str) -> Result<String, Fault> {
        let life = self.upstream.handle.config().requests.max;
        let target = self.message.target();
        self.bound(&target).seal(self.shared.sealer()?, inner, life)
    }

    /// The request without what only the modern era knows.
    fn for_legacy_child(&self) -> Result<Message, Fault> {
        let Read { body, envelope } = &*self.message;
        patched(body, &modern::strip_claims(body, envelope))
    }

    /// The request with the state that the child gave in place of the one that we made of it.
    fn for_modern_child(&self, handshake: &Handshake) -> Result<Message, Fault> {
        let Read { body, envelope } = &*self.message;
        if handshake.era == Era::Legacy
            || envelope
                .params
                .is_none_or(|params| params.request_state.is_none())
        {
            return Ok(self.message.clone());
        }
        let Some(state) = self.retry()?.state else {
            return Ok(self.message.clone());
        };
        let state = self.open(&state)?;
        let responses = envelope.params.and_then(|params| params.input_responses);
        let responses = responses.and_then(|span| std::str::from_utf8(span.of(body)).ok());
        match rounds::with_retry(body, envelope, responses, Some(&state)) {
            Some(patches) => patched(body, &patches),
            None => Ok(self.message.clone()),
        }
    }

    /// The child's line for this client: where it is a round of a modern child, its state bound to whom it was given. The
    /// same on every endpoint, so that none lets anybody in who has come by a state.
    fn sealed(&self, handshake: &Handshake, answer: Answer) -> Result<Bytes, Fault> {
        let ending = answer.ending;
        let line = self.with_own_id(answer);
        if handshake.era == Era::Legacy || ending != Ending::InputRequired {
            return Ok(line);
        }
        let required = InputRequired::read(&line).map_err(|bad| bad_reply(&bad.to_string()))?;
        let state = required.state.map(|state| self.seal(&state)).transpose()?;
        let patch = state.and_then(|state| rounds::with_state(&line, &state));
        Ok(spliced(&line, patch.as_slice()))
    }

    /// Waits for the child's answer, or for what it asks the client first.
    async fn until_asked(&self, handshake: &Handshake, mut held: Held) -> Answered {
        loop {
            if let Some(outcome) = held.round.outcome_or_question().await {
                let (answer, ended) = self.ended(handshake, &mut held.round, outcome)?;
                let line = self.with_own_id(answer);
                let info = &handshake.server_info;
                let patches = modern::response(&line, &self.method, info, self.features());
                return Ok((spliced(&line, &patches), ended));
            }
            if let Some(questions) = &held.round.questions {
                gather(questions).await;
            }
            if held.has_questions() {
                return self.hold(handshake, held);
            }
        }
    }

    /// Answers with what the child asks, and holds the call until the client comes back.
    fn hold(&self, handshake: &Handshake, held: Held) -> Answered {
        let questions = held.round.questions.as_ref();
        let requests = questions.map(|questions| questions.requests());
        let requests = requests.unwrap_or_default();
        let handle = self.shared.held.put(self.caller.principal.id, held)?;
        let required = InputRequired {
            requests,
            state: Some(self.seal(&handle)?),
        };
        let result = required.to_result(&handshake.server_info);
        Ok((
            answers::response(self.client_id(), &result).into(),
            Outcome::Ok,
        ))
    }

    /// The client has come back with what the child asked for.
    async fn go_on(&self, handshake: &Handshake, state: &str, retry: &Retry) -> Answered {
        let handle = self.open(state)?;
        let gone = || {
            bad_params(
                "params.requestState was used or has expired, expected to be asked from the start"
                    .to_owned(),
            )
        };
        let mut held = self
            .shared
            .held
            .take(self.caller.principal.id, &handle)
            .ok_or_else(gone)?;
        // What the child has withdrawn meanwhile needs no answer.
        let answered = match &held.round.questions {
            Some(questions) => questions.answer(&retry.responses),
            None => Ok(()),
        };
        if let Err(InvalidResponse { key, why }) = answered {
            // Nothing was taken over: the client may try again with the same state.
            self.shared
                .held
                .put_back(self.caller.principal.id, handle, held);
            return Err(bad_params(format!("params.inputResponses[{key:?}] {why}")));
        }
        if held.has_questions() {
            return self.hold(handshake, held);
        }
        if let Some(call) = &held.round.call {
            let token = self.message.meta().and_then(|meta| meta.progress_token);
            call.speak_to(Voice {
                token: token.map(|token| self.message.text(token)),
                outlet: self.outlet.clone(),
            });
        }
        self.until_asked(handshake, held).await
    }

    /// Asks a legacy client what a modern child wants to know, and the child again with the answers.
    async fn with_questions(
        &self,
        handshake: &Handshake,
        span: &MessageSpan,
        session: &Arc<Session>,
    ) -> Answered {
        let until = Instant::now() + self.upstream.handle.config().requests.max;
        let mut message = self.message.clone();
        for number in 0..MAX_ROUNDS {
            // From the second round on the call has run in part, whatever becomes of this round.
            let honest = |fault: Fault| match number {
                0 => fault,
                _ => fault.delivered(Delivered::Unknown),
            };
            let round = self.begin(handshake, span, &message);
            let mut round = round.map_err(honest)?;
            let outcome = round.outcome().await;
            let ended = self.ended(handshake, &mut round, outcome);
            let (answer, ended) = ended.map_err(honest)?;
            if answer.ending != Ending::InputRequired {
                let line = self.with_own_id(answer);
                let patch = legacy::response(&line, &self.method);
                return Ok((spliced(&line, patch.as_slice()), ended));
            }
            let required =
                InputRequired::read(&answer.line).map_err(|bad| bad_reply(&bad.to_string()))?;
            let mut responses = Retry {
                state: required.state,
                ..Retry::default()
            };
            let mut asked = Vec::with_capacity(required.requests.len());
            for request in required.requests {
                asked.push(self.question(session, request)?);
            }
            // Those that are not answered when this ends, for whatever reason, are withdrawn.
            for (key, question, waits) in asked {
                let response = timeout_at(until, waits).await;
                drop(question);
                let response = response.ok().and_then(Result::ok).ok_or_else(unanswered)?;
                responses.responses.push((key, result_of(&response)?));
            }
            let json = responses.responses_to_json();
            let json = (!responses.responses.is_empty()).then_some(json.as_str());
            let Read { body, envelope } = &*self.message;
            let patches = rounds::with_retry(body, envelope, json, responses.state.as_deref())
                .ok_or_else(|| bad_params("params is not an object with members".to_owned()));
            // The child has seen the first round by now.
            message = patches
                .and_then(|patches| patched(body, &patches))
                .map_err(|fault| fault.delivered(Delivered::Unknown))?;
        }
        Err(bad_reply("it asks for input again and again"))
    }

    /// Puts one question to the client, on the stream of this call or else on the session's own.
    fn question(
        &self,
        session: &Arc<Session>,
        request: InputRequest,
    ) -> Result<(String, OpenQuestion, oneshot::Receiver<Response>), Fault> {
        let InputRequest {
            key,
            method,
            params,
        } = request;
        let params = params.unwrap_or_else(|| Bytes::from_static(b"{}"));
        session
            .agreed()
            .features
            .allow(&method, &params)
            .map_err(|refusal| {
                Fault::new(FaultKind::MissingCapability, refusal.message)
                    .delivered(Delivered::Unknown)
            })?;
        let (answer, waits) = oneshot::channel();
        let question = OpenQuestion::note(session, answer, self.outlet.clone());
        let question = question.ok_or_else(unanswered)?;
        let id = question.id();
        let text = serde_json::json!(method);
        let start = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{text},"params":"#);
        let message: Bytes = [start.as_bytes(), &params, b"}"].concat().into();
        if !session.tell(self.outlet.as_ref(), message) {
            return Err(unanswered());
        }
        Ok((key, question, waits))
    }
}

/// Waits until a child has asked what it asks in one go.
async fn gather(questions: &Questions) {
    let latest = Instant::now() + TOGETHER_AT_MOST;
    while !questions.is_full() {
        let until = latest.min(Instant::now() + TOGETHER);
        if timeout_at(until, questions.another()).await.is_err() {
            return;
        }
    }
}

/// What a client gave back; its error is its refusal to answer.
fn result_of(response: &Response) -> Result<Bytes, Fault> {
    let result = response
        .result
        .map(|span| response.body.slice(span.start..span.end));
    result.ok_or_else(|| {
        let text = "the client refused to give the input that the server needs";
        Fault::new(FaultKind::RequestCancelled, text).delivered(Delivered::Unknown)
    })
}

fn unanswered() -> Fault {
    let text = "the client did not give the input that the server needs";
    Fault::new(FaultKind::RequestCancelled, text).delivered(Delivered::Unknown)
}

fn bad_params(text: String) -> Fault {
    Fault::new(FaultKind::InvalidParams, text).delivered(Delivered::No)
}

fn bad_reply(why: &str) -> Fault {
    let text = format!("the server's answer is no round that could be gone through: {why}");
    Fault::new(FaultKind::BadReply, text).delivered(Delivered::Unknown)
}

fn patched(body: &Bytes, patches: &[Patch]) -> Result<Message, Fault> {
    Message::of_json(spliced(body, patches))
}

fn spliced(text: &Bytes, patches: &[Patch]) -> Bytes {
    if patches.is_empty() {
        text.clone()
    } else {
        splice::patched(text, patches).into()
    }
}
