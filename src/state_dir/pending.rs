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
    files: BTreeMap<String, Version>,
    /// Of the next version.
    number: u64,
    /// A thread takes files out of the queue until it is empty.
    has_writer: bool,
}

/// A version of a file.
#[derive(Clone, Debug)]
struct Version {
    number: u64,
    bytes: Vec<u8>,
}

impl Pending {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of a file that is not written yet.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let queue = self.queue();
        Some(queue.files.get(name)?.bytes.clone())
    }

    /// Queues a version; `true` where a writer must be started.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) -> bool {
        let mut queue = self.queue();
        let number = queue.number;
        queue.number += 1;
        let version = Version { number, bytes };
        queue.files.insert(name.to_owned(), version);
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

    /// Writes every queued version by `write`, which tells if it could. What could not be written stays in the queue.
    pub(super) fn write_all(&self, write: impl Fn(&str, &[u8]) -> bool) {
        let mut failed = BTreeMap::new();
        loop {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let mut queue = self.queue();
            let is_untried =
                |(name, version): &(&String, &Version)| failed.get(*name) != Some(&version.number);
            // It stays in the queue while it is written, so that a reader finds it in one place or the other.
            let Some((name, version)) = queue.files.iter().find(is_untried) else {
                queue.has_writer = false;
                return;
            };
            let (name, version) = (name.clone(), version.clone());
            drop(queue);
            if !write(&name, &version.bytes) {
                failed.insert(name, version.number);
                continue;
            }
            let mut queue = self.queue();
            let left = queue.files.get(&name);
            if left.is_some_and(|left| left.number == version.number) {
                queue.files.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Such as on a full disk.
    #[test]
    fn what_could_not_be_written_is_written_with_the_next_file() {
        let pending = Pending::default();
        assert!(pending.put("one", vec![1]));
        pending.write_all(|_, _| false);
        assert_eq!(pending.get("one"), Some(vec![1]));
        assert!(pending.put("two", vec![2]), "nobody writes");
        let written = RefCell::new(Vec::new());
        pending.write_all(|name, bytes| {
            written.borrow_mut().push((name.to_owned(), bytes.to_vec()));
            true
        });
        let expected = [("one".to_owned(), vec![1]), ("two".to_owned(), vec![2])];
        assert_eq!(*written.borrow(), expected);
        assert_eq!(pending.get("one"), None);
    }

    #[test]
    fn a_version_that_comes_while_another_fails_is_tried_at_once() {
        let pending = Pending::default();
        pending.put("one", vec![1]);
        pending.write_all(|_, bytes| {
            let is_first = bytes == [1];
            if is_first {
                assert!(!pending.put("one", vec![2]), "somebody writes");
            }
            !is_first
        });
        assert_eq!(pending.get("one"), None);
    }
}
