//! The calls that a child works on, as the child's own messages find them.
//!
//! A legacy child's request says nothing of the call that has caused it, though there must be one
//! (SEP-2260). It is put to a client only where exactly one party has a call under way that can have
//! caused it; a prompt on a stranger's screen is worse than a refusal (design D4). A call that was given
//! up keeps its party in question for a while: the child may be at it still.

mod attribution;
mod questions;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use attribution::Ghosts;
pub(super) use questions::{InvalidResponse, Questions};

use super::bridge::features::Features;
use super::outlet::Outlet;
use super::session::{ChildAsk, Session, Waiting};
use crate::protocol::level::Level;
use crate::protocol::splice::{Edit, splice};
use crate::protocol::{Envelope, Span};
use crate::supervisor::{Observer, ServerHandle};
use crate::types::{Incarnation, PrincipalId, ServerId};

/// JSON-RPC: the method does not exist here.
const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: a request that is not one, and an error of ours.
const INVALID_REQUEST: i32 = -32600;
const INTERNAL_ERROR: i32 = -32603;
/// The longest id of a question, in bytes: it is kept until the question is answered.
const MAX_ID: usize = 1024;
/// The longest reason of a withdrawal that is passed on, in characters.
const MAX_REASON: usize = 200;

/// The calls of clients that are under way at one child.
#[derive(Debug)]
pub(super) struct Calls {
    server: ServerId,
    /// Set once, right after the supervisor was started.
    handle: OnceLock<ServerHandle>,
    /// The one session whose child this is, where it is one's own.
    owner: Mutex<Weak<Session>>,
    open: Mutex<Open>,
    tool_changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    /// By ids that we mint.
    calls: FxHashMap<u64, Arc<Call>>,
    ghosts: Ghosts,
}

/// Who can have caused something: all calls of a session are one party, every other call is one of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Party {
    Session(Arc<str>),
    Call(u64),
}

/// One request that a child works on.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) party: Party,
    pub(super) principal: PrincipalId,
    /// Its method is one in the course of which servers ask clients.
    pub(super) asks: bool,
    /// The least severe log message that it wants; `None` wants none.
    pub(super) level: Option<Level>,
    pub(super) reach: Reach,
    pub(super) voice: Mutex<Voice>,
    /// The child waits for its client to come back: it does nothing for this call meanwhile.
    pub(super) waits: AtomicBool,
}

/// Where a call speaks to its client, which is another place when the client makes it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Voice {
    /// The client's own progress token, as it was written.
    pub(super) token: Option<Bytes>,
    /// Where what comes before the response goes; `None` where the client takes no stream.
    pub(super) outlet: Option<Arc<Outlet>>,
}

impl Call {
    pub(super) fn voice(&self) -> Voice {
        self.voice
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The client has made the call again: what comes from now on goes there.
    pub(super) fn speak_to(&self, voice: Voice) {
        *self.voice.lock().unwrap_or_else(PoisonError::into_inner) = voice;
    }
}

/// How the client of a call can be asked something.
#[derive(Debug)]
pub(super) enum Reach {
    /// Not at all.
    None,
    /// By a request on a stream.
    Session(Arc<Session>),
    /// By a result that says what is wanted.
    Rounds {
        features: Features,
        questions: Arc<Questions>,
    },
}

impl Calls {
    pub(super) fn new(server: ServerId) -> Self {
        Self {
            server,
            handle: OnceLock::new(),
            owner: Mutex::default(),
            open: Mutex::default(),
            tool_changes: AtomicU64::new(0),
        }
    }

    pub(super) fn attach(&self, handle: ServerHandle) {
        // Called once, where the calls were made.
        let _ = self.handle.set(handle);
    }

    /// Says whose child this is: what it asks while nothing is under way can only be meant for that one.
    pub(super) fn owned_by(&self, session: &Arc<Session>) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(session);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The child says that its tools have changed.
    pub(super) fn tools_changed(&self) {
        self.tool_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has said so.
    pub(super) fn tool_changes(&self) -> u64 {
        self.tool_changes.load(Ordering::Relaxed)
    }

    /// Notes a call before the child hears of it.
    pub(super) fn enter(self: &Arc<Self>, call: Call) -> Entered {
        let call = Arc::new(call);
        self.open().calls.insert(call.id, Arc::clone(&call));
        Entered {
            calls: Arc::clone(self),
            call,
            answered: false,
        }
    }

    /// Puts a request of the child's to the one client that has caused it. `Some` is the answer where
    /// there is no such client, or where the client cannot be asked; `None` means that the client was
    /// asked and the answer follows.
    pub(super) fn ask(
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
            Some(super::session::refusal(&child_id, code, message).into())
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
        let caused_by = self.open().cause(method);
        let (call, session) = match caused_by {
            Cause::One(call) => (Some(call), None),
            Cause::Nobody => (None, self.owner()),
            Cause::Several => (None, None),
        };
        let new_ask = |call| ChildAsk::new(handle.clone(), incarnation, child_id.clone(), call);
        let to_session = |session: &Arc<Session>, call: Option<&Call>| {
            if let Err(refusal) = session.agreed().features.allow(method, params) {
                return refuse(refusal.code, &refusal.message);
            }
            let ask = new_ask(call.map(|call| call.id));
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
                    if let Err(ask) = questions.add(new_ask(Some(call.id)), method, params) {
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

    /// Tells a log message of the child's to the one call that it can be attributed to, if that call
    /// wants it. `false` where it cannot be attributed to one call.
    pub(super) fn log(&self, line: &Bytes, envelope: &Envelope) -> bool {
        let Cause::One(call) = self.open().cause("notifications/message") else {
            return false;
        };
        let Some(outlet) = call.voice().outlet else {
            return false;
        };
        let level = Level::of_params(params_or_empty(line, envelope));
        if call
            .level
            .zip(level)
            .is_some_and(|(wanted, level)| level >= wanted)
        {
            outlet.offer(line.clone());
        }
        true
    }

    /// The child takes back what it asked (`notifications/cancelled`): the client is told, and the time of the call runs
    /// again. `false` where no such question is open.
    pub(super) fn withdraw(
        &self,
        incarnation: Incarnation,
        child_id: &[u8],
        params: &[u8],
    ) -> bool {
        let reason = super::call::reason(params);
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

    fn owner(&self) -> Option<Arc<Session>> {
        self.owner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()
    }

    /// A life of the child has ended: nothing of it can cause anything any more, or waits for an answer. What it asked
    /// in the course of a call is withdrawn with the call.
    pub(super) fn lost(&self, incarnation: Incarnation) {
        self.open().ghosts = Ghosts::default();
        if let Some(owner) = self.owner() {
            owner.withdraw_questions_of(&self.server, incarnation);
        }
    }
}

fn params_or_empty<'a>(line: &'a [u8], envelope: &Envelope) -> &'a [u8] {
    envelope.params.map_or(&[], |params| params.span.of(line))
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

/// Who has caused a message of the child's.
#[derive(Debug)]
enum Cause {
    One(Arc<Call>),
    Nobody,
    Several,
}

/// A call in the list. Dropped without an answer, it leaves a ghost: the child may go on with it.
#[derive(Debug)]
pub(super) struct Entered {
    calls: Arc<Calls>,
    call: Arc<Call>,
    answered: bool,
}

impl Entered {
    pub(super) fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// The child has answered, or is gone: it does nothing for this call any more.
    pub(super) fn settle(&mut self) {
        self.answered = true;
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.calls.open();
        open.calls.remove(&self.call.id);
        if !self.answered {
            open.ghosts.add(self.call.principal);
        }
        drop(open);
        match &self.call.reach {
            Reach::Session(session) => session.withdraw_questions_for(self.call.id),
            Reach::Rounds { questions, .. } => questions.close(),
            Reach::None => {}
        }
    }
}

impl Observer for Call {
    fn progress(&self, line: &Bytes, token: Span) {
        let Voice { token: own, outlet } = self.voice();
        let (Some(own), Some(outlet)) = (own, outlet) else {
            return;
        };
        let edit = Edit {
            span: token,
            with: &own,
        };
        outlet.offer(splice(line, &mut [edit]).into());
    }
}
