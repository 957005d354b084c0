//! One call of a tool or a prompt, written once for both eras.
//!
//! What a tool asks of the client's side is where the eras differ. A legacy call sends a request and waits. A
//! modern call runs from its beginning each time: a question whose answer the client brought along goes
//! on, one without an answer ends the round with an `input_required` result, and the answers of earlier
//! rounds come back in `requestState`.
//!
//! The server of both eras is written as one on the TypeScript SDK 2.4.0 is. Its tools for the modern era return
//! their questions, which the SDK turns into requests on a legacy connection; its older tools send theirs, which the
//! SDK lets fail on a modern connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::peer::{Peer, severity};
use crate::question::{Question, undeclared};
use crate::server::{CLIENT_CAPABILITIES, Era, LOG_LEVEL, MODERN_VERSION, Server};
use crate::wire::{INVALID_PARAMS, MISSING_CAPABILITY, Refusal, Wire};

/// How long a client may take to answer; a person may be behind it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a call ended without its result.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A JSON-RPC error.
    Refused(Refusal),
    /// The tool failed; the text is for the model.
    Failed(String),
    /// Nothing is sent.
    Cancelled,
    /// The round is over; these are the members of the result.
    InputRequired(Value),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A call and all it may use.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) wire: Wire,
    pub(crate) id: Value,
    pub(crate) modern: bool,
    params: Value,
    cancelled: Arc<AtomicBool>,
    /// Modern: whether the client brought a state along.
    has_state: bool,
    /// Modern: whether this call wants one.
    wants_state: bool,
    /// Modern: answers of this round.
    responses: Map<String, Value>,
    /// Modern: answers of earlier rounds, and those of this one that were used.
    answers: Map<String, Value>,
}

impl Call {
    /// A call with these params. It fails when what the client brought for another round is not what was given out.
    pub(crate) fn new(
        server: &Arc<Server>,
        peer: &Arc<Peer>,
        wire: &Wire,
        request: (Value, bool),
        params: Value,
    ) -> Result<Self, Refusal> {
        let (id, modern) = request;
        let mut call = Self {
            cancelled: peer.begin(&id),
            server: Arc::clone(server),
            peer: Arc::clone(peer),
            wire: wire.clone(),
            id,
            modern,
            has_state: false,
            wants_state: false,
            responses: Map::new(),
            answers: Map::new(),
            params,
        };
        if modern {
            call.take_round()?;
        }
        Ok(call)
    }

    fn take_round(&mut self) -> Result<(), Refusal> {
        let wrong = |what: &str| Refusal::new(INVALID_PARAMS, what);
        match self.params.get("inputResponses") {
            None => {}
            Some(Value::Object(responses)) => self.responses = responses.clone(),
            Some(_) => return Err(wrong("inputResponses is not an object")),
        }
        if let Some(state) = self.params.get("requestState") {
            let opened = state
                .as_str()
                .and_then(|state| self.server.seal.open(self.name(), state));
            self.answers =
                opened.ok_or_else(|| wrong("requestState is not one that this server gave out"))?;
            self.has_state = true;
        }
        Ok(())
    }

    /// The name of the tool or prompt.
    pub(crate) fn name(&self) -> &str {
        let name = self.params.get("name").and_then(Value::as_str);
        name.unwrap_or_default()
    }

    /// A text argument; absent is empty.
    pub(crate) fn text(&self, argument: &str) -> &str {
        let arguments = self.params.get("arguments");
        let text = arguments.and_then(|arguments| arguments.get(argument));
        text.and_then(Value::as_str).unwrap_or_default()
    }

    /// Makes the rounds of this call depend on the state that was given out: answers without it do not count.
    pub(crate) fn want_state(&mut self) {
        self.wants_state = true;
        if !self.has_state {
            self.responses.clear();
        }
    }

    /// The capabilities that the client declared, on the connection or with this request.
    pub(crate) fn capabilities(&self) -> Value {
        if self.modern {
            self.meta(CLIENT_CAPABILITIES).cloned().unwrap_or_default()
        } else {
            let legacy = self.peer.legacy();
            legacy.map(|legacy| legacy.capabilities).unwrap_or_default()
        }
    }

    fn meta(&self, key: &str) -> Option<&Value> {
        self.params.get("_meta").and_then(|meta| meta.get(key))
    }

    /// Whether the client cancelled the call.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Waits, as a tool does that has work to do.
    pub(crate) fn work(&self, milliseconds: u64) -> Result<(), Halt> {
        std::thread::sleep(Duration::from_millis(milliseconds));
        if self.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        Ok(())
    }

    /// Reports progress, if the client gave a token for it.
    pub(crate) fn progress(&self, done: u32, total: u32) {
        if let Some(token) = self.meta("progressToken") {
            let params = json!({"progressToken": token, "progress": done, "total": total});
            self.wire.notify("notifications/progress", &params);
        }
    }

    /// Sends a log message, if the client wants its level: the one set on a legacy connection, or the one
    /// that a modern request names.
    pub(crate) fn log(&self, level: &str, text: &str) {
        let wanted = if self.modern {
            self.meta(LOG_LEVEL)
                .and_then(Value::as_str)
                .and_then(severity)
        } else {
            self.peer.legacy().map(|legacy| legacy.level)
        };
        if wanted.is_some_and(|wanted| severity(level) >= Some(wanted)) {
            let params = json!({"level": level, "logger": "conformance_server", "data": text});
            self.wire.notify("notifications/message", &params);
        }
    }

    /// Asks one question.
    pub(crate) fn ask(&mut self, key: &str, question: Question) -> Result<Value, Halt> {
        let mut answers = self.ask_all(&[(key, question)])?;
        Ok(answers.remove(key).unwrap_or_default())
    }

    /// Asks questions, all at once; the answers come under the same keys.
    pub(crate) fn ask_all(
        &mut self,
        questions: &[(&str, Question)],
    ) -> Result<Map<String, Value>, Halt> {
        if self.modern && self.sends_its_questions() {
            return Err(Halt::Failed(no_push(questions)));
        }
        let needed = questions.iter().map(|(_, question)| question.capability());
        self.need(needed)?;
        if self.modern {
            self.ask_by_result(questions)
        } else {
            self.ask_by_request(questions)
        }
    }

    /// Whether this tool is one of those whose author knows nothing of results `input_required`.
    fn sends_its_questions(&self) -> bool {
        self.server.era == Era::Dual && !self.name().starts_with("test_input_required_result")
    }

    /// Ends the call unless the client declared these capabilities.
    pub(crate) fn need<'a>(&self, needed: impl IntoIterator<Item = &'a str>) -> Result<(), Halt> {
        let missing = undeclared(needed, &self.capabilities());
        let Some(first) = missing.keys().next() else {
            return Ok(());
        };
        let text = format!("this tool needs a client with {first}");
        if self.modern {
            let data = json!({"requiredCapabilities": missing});
            return Err(Refusal::new(MISSING_CAPABILITY, text).with(data).into());
        }
        Err(Halt::Failed(text))
    }

    fn ask_by_request(&self, questions: &[(&str, Question)]) -> Result<Map<String, Value>, Halt> {
        let mut waiting = Vec::new();
        for (key, question) in questions {
            let answer = self.peer.ask(&self.id, &self.wire, key, question);
            waiting.push((*key, question, answer));
        }
        // A question that was asked after the call was cancelled would wait in vain.
        if self.is_cancelled() {
            self.peer.cancel(&self.id);
        }
        // A refusal of one ends the call only when the others are answered: who is asked several things at
        // once is asked them whatever becomes of one.
        let mut answers = Map::new();
        let mut refused = None;
        for (key, question, answer) in waiting {
            let response = match answer.recv_timeout(PATIENCE) {
                Ok(response) => response,
                Err(_) if self.is_cancelled() => return Err(Halt::Cancelled),
                Err(_) => return Err(Halt::Failed(format!("no answer to {}", question.method))),
            };
            match response.get("result") {
                Some(answer) if question.fits(answer) => {
                    answers.insert(key.to_owned(), answer.clone());
                }
                _ => {
                    let text = format!("{} was answered with {response}", question.method);
                    refused = refused.or(Some(Halt::Failed(text)));
                }
            }
        }
        refused.map_or(Ok(answers), Err)
    }

    fn ask_by_result(
        &mut self,
        questions: &[(&str, Question)],
    ) -> Result<Map<String, Value>, Halt> {
        let mut answers = Map::new();
        let mut open = Map::new();
        for (key, question) in questions {
            let answer = self.answers.get(*key).or_else(|| self.responses.get(*key));
            match answer {
                Some(answer) if question.fits(answer) => {
                    answers.insert((*key).to_owned(), answer.clone());
                }
                Some(_) => {
                    let text = format!("inputResponses.{key} is no answer to {}", question.method);
                    return Err(Refusal::new(INVALID_PARAMS, text).into());
                }
                None => {
                    open.insert((*key).to_owned(), question.input_request());
                }
            }
        }
        self.answers.extend(answers.clone());
        if open.is_empty() {
            return Ok(answers);
        }
        let mut result = json!({"inputRequests": open});
        if self.wants_state || !self.answers.is_empty() {
            let state = self.server.seal.close(self.name(), &self.answers);
            if let Some(members) = result.as_object_mut() {
                members.insert("requestState".to_owned(), state.into());
            }
        }
        Err(Halt::InputRequired(result))
    }
}

/// The error of the SDK, as its `elicitInput`, `createMessage` and `listRoots` throw it.
fn no_push(questions: &[(&str, Question)]) -> String {
    let method = questions
        .first()
        .map_or("", |(_, question)| question.method);
    format!(
        "Server-to-client requests are not available on protocol revision {MODERN_VERSION}: '{method}' cannot be sent \
         while serving a request on that revision. Return inputRequired({{ ... }}) from the handler instead — the \
         client fulfils the embedded requests and retries the original request (multi round-trip requests)."
    )
}

impl Drop for Call {
    fn drop(&mut self) {
        self.peer.end(&self.id);
    }
}
