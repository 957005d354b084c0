//! The other side of one connection: what it told about itself, what runs for it, what it was asked.
//!
//! Over stdio there is one peer for the life of the process, which may be a gateway for many clients. What
//! the protocol ties to the connection (log level, resource subscriptions, capabilities of the legacy era)
//! is kept here; everything else belongs to one call.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::question::Question;
use crate::wire::Wire;

/// The levels of log messages, least severe first.
pub(crate) const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// How severe a level is; `None` for a word that is no level.
pub(crate) fn severity(level: &str) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// What a legacy client said in `initialize` and afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Legacy {
    pub(crate) capabilities: Value,
    /// An index into [`LEVELS`].
    pub(crate) level: usize,
    pub(crate) subscriptions: BTreeSet<String>,
}

/// A question on its way to the client, and the call that waits for its answer.
#[derive(Debug)]
struct Asked {
    call: String,
    answer: Sender<Value>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where messages go that belong to no request.
    pub(crate) wire: Wire,
    legacy: Mutex<Option<Legacy>>,
    asked: Mutex<HashMap<String, Asked>>,
    next_question: AtomicU64,
    running: Mutex<HashMap<String, Arc<AtomicBool>>>,
}

impl Peer {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            legacy: Mutex::default(),
            asked: Mutex::default(),
            next_question: AtomicU64::new(0),
            running: Mutex::default(),
        }
    }

    /// Notes what `initialize` said.
    pub(crate) fn initialized(&self, capabilities: Value) {
        *lock(&self.legacy) = Some(Legacy {
            capabilities,
            level: severity("info").unwrap_or_default(),
            subscriptions: BTreeSet::new(),
        });
    }

    /// What the client of the legacy era said; `None` before `initialize`.
    pub(crate) fn legacy(&self) -> Option<Legacy> {
        lock(&self.legacy).clone()
    }

    /// Changes what is known of the client of the legacy era.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Legacy)) {
        if let Some(legacy) = lock(&self.legacy).as_mut() {
            change(legacy);
        }
    }

    /// Notes a call, so that it can be cancelled; the flag is set when it is.
    pub(crate) fn begin(&self, id: &Value) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        lock(&self.running).insert(id.to_string(), Arc::clone(&flag));
        flag
    }

    pub(crate) fn end(&self, id: &Value) {
        lock(&self.running).remove(&id.to_string());
    }

    /// Cancels a call: whatever it waits for ends, and it is not answered.
    pub(crate) fn cancel(&self, id: &Value) {
        let id = id.to_string();
        if let Some(flag) = lock(&self.running).get(&id) {
            flag.store(true, Ordering::SeqCst);
        }
        lock(&self.asked).retain(|_, asked| asked.call != id);
    }

    /// Sends a request to the client over the wire of the call that needs it. The answer arrives as the
    /// whole response; the channel ends without one when the call is cancelled.
    pub(crate) fn ask(
        &self,
        call: &Value,
        wire: &Wire,
        key: &str,
        question: &Question,
    ) -> Receiver<Value> {
        let (answer, receiver) = channel();
        let call = call.to_string();
        let mut asked = lock(&self.asked);
        // The suite names the keys of questions, and an id is all that a legacy server has to name one by.
        // It is taken again once it was answered, which the era forbids within a session.
        let id = if asked.contains_key(key) {
            format!(
                "{key}-{}",
                self.next_question.fetch_add(1, Ordering::SeqCst)
            )
        } else {
            key.to_owned()
        };
        asked.insert(id.clone(), Asked { call, answer });
        drop(asked);
        let Question { method, params } = question;
        wire.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        receiver
    }

    /// Takes a response; `false` for an answer to nothing that was asked.
    pub(crate) fn answered(&self, response: Value) -> bool {
        let id = response.get("id").and_then(Value::as_str);
        let asked = id.and_then(|id| lock(&self.asked).remove(id));
        asked.is_some_and(|asked| asked.answer.send(response).is_ok())
    }
}

/// A lock whose holders never leave anything half done, so that a panic in one of them does no harm.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
