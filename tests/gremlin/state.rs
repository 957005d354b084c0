//! What the threads of one gremlin share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::journal::Journal;
use crate::orders::Orders;

/// One gremlin.
#[derive(Debug)]
pub(crate) struct Gremlin {
    pub(crate) orders: Orders,
    pub(crate) journal: Journal,
    /// `initialize` was answered.
    pub(crate) initialized: AtomicBool,
    frames: AtomicU64,
    next_ask: AtomicU64,
    asked: Mutex<HashMap<String, Sender<String>>>,
    cancelled: Mutex<HashSet<String>>,
    listens: Mutex<Vec<String>>,
    refused_at_eof: Mutex<Vec<String>>,
}

impl Gremlin {
    /// A gremlin that has read nothing yet.
    pub(crate) fn new(orders: Orders) -> Self {
        Self {
            orders,
            journal: Journal::from_env(),
            initialized: AtomicBool::new(false),
            frames: AtomicU64::new(0),
            next_ask: AtomicU64::new(0),
            asked: Mutex::default(),
            cancelled: Mutex::default(),
            listens: Mutex::default(),
            refused_at_eof: Mutex::default(),
        }
    }

    /// Counts a frame.
    pub(crate) fn count_frame(&self) {
        self.frames.fetch_add(1, Ordering::SeqCst);
    }

    /// How many frames were read so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::SeqCst)
    }

    /// An id for a request of our own, counted from 0, and where its answer will arrive as a whole frame.
    pub(crate) fn expect_answer(&self) -> (String, Receiver<String>) {
        let id = self.next_ask.fetch_add(1, Ordering::SeqCst).to_string();
        let (sender, receiver) = channel();
        lock(&self.asked).insert(id.clone(), sender);
        (id, receiver)
    }

    /// Hands a response to whoever asked; one that nobody asked for is dropped.
    pub(crate) fn answer_arrived(&self, id: &str, frame: &str) {
        if let Some(sender) = lock(&self.asked).remove(id) {
            let _ = sender.send(frame.to_owned());
        }
    }

    /// Notes that a request, named by the JSON text of its id, is not wanted any more.
    pub(crate) fn cancel(&self, id: &str) {
        lock(&self.cancelled).insert(id.to_owned());
        lock(&self.listens).retain(|listen| listen != id);
    }

    /// Whether a request was cancelled.
    pub(crate) fn is_cancelled(&self, id: &str) -> bool {
        lock(&self.cancelled).contains(id)
    }

    /// Remembers a `subscriptions/listen` request.
    pub(crate) fn listen(&self, id: &str) {
        lock(&self.listens).push(id.to_owned());
    }

    /// Has a call, named by the JSON text of its id, refused when stdin ends.
    pub(crate) fn refuse_at_eof(&self, id: &str) {
        lock(&self.refused_at_eof).push(id.to_owned());
    }

    /// The calls that are refused when stdin ends.
    pub(crate) fn refused_at_eof(&self) -> Vec<String> {
        lock(&self.refused_at_eof).clone()
    }

    /// The ids of the open `subscriptions/listen` requests, as JSON text.
    pub(crate) fn listens(&self) -> Vec<String> {
        lock(&self.listens).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
