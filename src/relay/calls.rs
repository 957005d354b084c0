//! The calls that a child works on, as the child's own messages find them.
//!
//! A legacy child's request says nothing of the call that has caused it, though there must be one
//! (SEP-2260). It is put to a client only where exactly one party has a call under way that can have
//! caused it; a prompt on a stranger's screen is worse than a refusal (design D4). A call that was given
//! up keeps its party in question for a while: the child may be at it still.

mod asking;
mod attribution;
mod questions;
mod subjects;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use attribution::Ghosts;
pub(super) use questions::{InvalidResponse, Questions};
use subjects::Subjects;

use super::bridge::features::Features;
use super::outlet::Outlet;
use super::session::Session;
use crate::protocol::level::Level;
use crate::protocol::message::Ending;
use crate::protocol::splice::{Edit, splice};
use crate::protocol::{Envelope, Span, scan};
use crate::supervisor::{Answer, Observer, RequestEnd, RequestRecord, ServerHandle};
use crate::types::{Incarnation, PrincipalId, ServerId};

/// The calls of clients that are under way at one child.
#[derive(Debug)]
pub(super) struct Calls {
    server: ServerId,
    /// Set once, right after the supervisor was started.
    handle: OnceLock<ServerHandle>,
    /// The one session whose child this is, where it is one's own.
    owner: Mutex<Weak<Session>>,
    open: Mutex<Open>,
    subjects: Subjects,
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
    /// Where it is listed.
    pub(super) calls: Weak<Calls>,
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
            subjects: Subjects::default(),
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

    /// Lists a call before the child hears of it, until it leaves the table of requests.
    pub(super) fn enter(&self, call: Call) -> Arc<Call> {
        let call = Arc::new(call);
        self.open().calls.insert(call.id, Arc::clone(&call));
        call
    }

    /// Tells a log message of the child's to the one call that it can be attributed to, if that call
    /// wants it. `false` where it cannot be attributed to one call.
    pub(super) fn log(&self, incarnation: Incarnation, line: &Bytes, envelope: &Envelope) -> bool {
        let Cause::One(call) = self.cause(incarnation, "notifications/message") else {
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

    /// Notes what the answer to a call of a session names and the child may speak of later. `is_task`: the call asked to
    /// be made a task of.
    pub(super) fn answered(&self, answer: &Answer, session: &Arc<Session>, is_task: bool) {
        match answer.ending {
            Ending::Error(error) => self.subjects.refused(error.of(&answer.line), session),
            Ending::Result if is_task => {
                let result = scan(&answer.line).ok().and_then(|answer| answer.result);
                if let Some(result) = result {
                    self.subjects.task_created(result.of(&answer.line), session);
                }
            }
            Ending::Result | Ending::ToolError | Ending::InputRequired => {}
        }
    }

    /// The session that a notification of the child's is about, where it names what came up in a call of one.
    pub(super) fn session_of(&self, method: &str, params: &[u8]) -> Option<Arc<Session>> {
        self.subjects.session(method, params)
    }

    /// The child has answered a call that was given up: it is at that no more.
    pub(super) fn answered_late(&self, incarnation: Incarnation, id: u64) {
        self.open().ghosts.remove(incarnation, id);
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
        if let Some(owner) = self.owner() {
            owner.withdraw_questions_of(&self.server, incarnation);
        }
    }

    /// The call that has caused a message of this life of the child.
    fn cause(&self, incarnation: Incarnation, method: &str) -> Cause {
        let written = |id| {
            let handle = self.handle.get();
            handle.is_some_and(|handle| handle.mux().is_written(id))
        };
        self.open().cause(incarnation, method, written)
    }
}

fn params_or_empty<'a>(line: &'a [u8], envelope: &Envelope) -> &'a [u8] {
    envelope.params.map_or(&[], |params| params.span.of(line))
}

/// Who has caused a message of the child's.
#[derive(Debug)]
enum Cause {
    One(Arc<Call>),
    Nobody,
    Several,
}

impl RequestRecord for Call {
    fn left(&self, end: &RequestEnd<'_>) {
        self.leave(end.running());
    }
}

impl Call {
    /// Takes it off the list. `running` is the life of the child that may still be at it, where there is one.
    pub(super) fn leave(&self, running: Option<Incarnation>) {
        let Some(calls) = self.calls.upgrade() else {
            return;
        };
        let mut open = calls.open();
        open.calls.remove(&self.id);
        if let Some(incarnation) = running {
            open.ghosts.add(self.principal, incarnation, self.id);
        }
        drop(open);
        match &self.reach {
            Reach::Session(session) => session.withdraw_questions_for(self.id),
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
