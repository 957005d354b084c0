//! Files that are to be written soon: the last version of each, and one writer at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Versions that are not on the disk yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queue: Mutex<Queue>,
    /// Held while a file is being written, so that an older version never replaces a newer one.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Queue {
    files: BTreeMap<String, Vec<u8>>,
    /// A thread takes files out of the queue until it is empty.
    has_writer: bool,
}

impl Pending {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of a file that is not written yet.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.queue().files.get(name).cloned()
    }

    /// Queues a version; `true` where a writer must be started.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) -> bool {
        let mut queue = self.queue();
        queue.files.insert(name.to_owned(), bytes);
        !std::mem::replace(&mut queue.has_writer, true)
    }

    /// The writer could not be started.
    pub(super) fn writer_ended(&self) {
        self.queue().has_writer = false;
    }

    /// The right to write a file now; what is queued for it is older and dropped.
    pub(super) fn begin_write(&self, name: &str) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue().files.remove(name);
        turn
    }

    /// Writes every queued version by `write`, until none is left.
    pub(super) fn write_all(&self, write: impl Fn(&str, &[u8])) {
        loop {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let mut queue = self.queue();
            // It stays in the queue while it is written, so that a reader finds it in one place or the other.
            let Some((name, bytes)) = queue.files.first_key_value() else {
                queue.has_writer = false;
                return;
            };
            let (name, bytes) = (name.clone(), bytes.clone());
            drop(queue);
            write(&name, &bytes);
            let mut queue = self.queue();
            if queue.files.get(&name) == Some(&bytes) {
                queue.files.remove(&name);
            }
        }
    }
}
