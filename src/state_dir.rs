//! The state directory: files of the gateway's own that outlive it, such as the key of its seals.
//!
//! The directory is opened once, and every file in it is reached through that descriptor, so that nobody can put another
//! directory in its place. It must belong to the gateway's user and be closed to writers of any other: a file in it is as
//! trusted as the config. A file is replaced as a whole or not at all (a temporary file, fsync, rename), or has whole lines
//! added at its end.
//!
//! Where there is no usable directory the state lives in memory: everything works until the gateway ends, and then is
//! forgotten. That is logged once, with the remedy.

mod disk;
mod drafts;
mod lock;
mod pending;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use disk::Directory;
pub use disk::FileMark;
pub use drafts::{draft_name, sweep_drafts};
use pending::Pending;

/// No file of the state directory is longer.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// The bytes that all files of a state in memory may have together.
const MAX_MEMORY_BYTES: usize = 4 * MAX_FILE_BYTES;

/// Why a file of the state was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The name cannot be that of a file in the directory; a mistake of ours.
    #[error(
        "{0:?} is not the name of a state file, expected 1 to 128 letters, digits, \".\", \"-\" or \"_\""
    )]
    BadName(String),
    /// The bytes are more than a state file may have.
    #[error("{0:?} is longer than {MAX_FILE_BYTES} bytes")]
    TooLong(String),
    /// Another user can change the file, or it is not a regular one.
    #[error("{0:?} in the state directory {1}; delete it")]
    Untrusted(String, &'static str),
    /// Another gateway with the same directory has the lock and does not give it back.
    #[error(
        "the state directory is locked by another gateway for more than {0:?}; end or resume that one"
    )]
    Locked(Duration),
    /// The system refused.
    #[error("{0:?} in the state directory: {1}")]
    Io(String, #[source] std::io::Error),
}

/// Files of the gateway's own that outlive it; cheap to clone.
#[derive(Clone, Debug)]
pub struct StateDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` where the state lives in memory.
    directory: Option<Directory>,
    memory: Mutex<BTreeMap<String, Vec<u8>>>,
    pending: Pending,
}

impl StateDir {
    /// Opens the directory and creates it, with mode 0700, where it does not exist.
    ///
    /// Where that fails the state lives in memory, and a warning says why and what to do.
    pub fn open(path: &Path) -> Self {
        match Directory::open(path) {
            Ok(directory) => Self::with(Some(directory)),
            Err(reason) => {
                tracing::warn!(
                    state_dir = %path.display(),
                    "the state directory cannot be used, so sessions and what is known of servers end with this process: {reason}; name another one with the key state_dir"
                );
                Self::in_memory()
            }
        }
    }

    /// A state that ends with the process.
    pub fn in_memory() -> Self {
        Self::with(None)
    }

    fn with(directory: Option<Directory>) -> Self {
        Self(Arc::new(Inner {
            directory,
            memory: Mutex::default(),
            pending: Pending::default(),
        }))
    }

    /// The directory, unless the state lives in memory.
    pub fn path(&self) -> Option<PathBuf> {
        let directory = self.0.directory.as_ref()?;
        Some(directory.path().to_owned())
    }

    /// Reads a file; `None` where there is none of this name. Blocks.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        check(name, 0)?;
        if let Some(bytes) = self.0.pending.get(name) {
            return Ok(Some(bytes));
        }
        match &self.0.directory {
            Some(directory) => directory.read(name),
            None => Ok(self.memory().get(name).cloned()),
        }
    }

    /// Replaces a file as a whole, or creates it. Returns once it is on the disk: blocks.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        check(name, bytes.len())?;
        match &self.0.directory {
            Some(directory) => {
                let _turn = self.0.pending.begin_write(name);
                directory.write(name, bytes)
            }
            None => self.remember(name, bytes),
        }
    }

    /// Replaces a file by what is made of its content, which no other gateway changes meanwhile; a file that cannot be read
    /// has none. What an earlier [`save`](Self::save) could not write is written too. Returns once it is on the disk: blocks.
    pub fn update(
        &self,
        name: &str,
        change: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> Result<(), StateError> {
        let lock = self.0.directory.as_ref().map(Directory::lock).transpose()?;
        let before = self.read(name).unwrap_or_else(|error| {
            tracing::warn!(%error, "a file of the state directory cannot be read and is replaced: {error}");
            None
        });
        let before = before.unwrap_or_default();
        self.write(name, &change(before))?;
        drop(lock);
        self.flush();
        Ok(())
    }

    /// Adds lines to the end of a file that is the one of the mark and has all that it had then. `None`, and nothing is
    /// changed, where it is not, where it cannot be written, or where nothing keeps other gateways from it: then
    /// [`update`](Self::update) writes it as a whole. A last line that was not finished is ended first; lines of which only a
    /// part can be written are taken back. Returns once they are on the disk: blocks.
    pub fn append(&self, name: &str, lines: &[u8], mark: &FileMark) -> Option<FileMark> {
        check(name, lines.len()).ok()?;
        let directory = self.0.directory.as_ref()?;
        let lock = directory.lock().ok()?;
        if !lock.excludes_others || self.0.pending.get(name).is_some() {
            return None;
        }
        let _turn = self.0.pending.begin_write(name);
        directory.append(name, lines, mark)
    }

    /// What a file is now, to be [added to](Self::append) later; `None` where it is not believed, or there is none.
    pub fn mark(&self, name: &str) -> Option<FileMark> {
        self.0.directory.as_ref()?.mark(name)
    }

    /// Takes the lock of the directory for as long as `work` takes: no other gateway changes meanwhile what they share.
    /// Blocks.
    pub fn locked<T>(&self, work: impl FnOnce(&Path) -> T) -> Option<Result<T, StateError>> {
        let directory = self.0.directory.as_ref()?;
        let lock = directory.lock();
        Some(lock.map(|_held| work(directory.path())))
    }

    /// Creates a file, unless there is one of this name already: then returns what is in that. Of several processes that do
    /// this at once, one creates the file and the others read it. Blocks.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        check(name, bytes.len())?;
        if let Some(directory) = &self.0.directory {
            return directory.create(name, bytes);
        }
        let existing = self.memory().get(name).cloned();
        if existing.is_none() {
            self.remember(name, bytes)?;
        }
        Ok(existing)
    }

    /// Has a file replaced soon, by a thread of its own: never blocks. Of several versions that come meanwhile the last one
    /// is written. A failure is logged, and the file is written with the next one; [`flush`](Self::flush) waits for what is
    /// left.
    pub fn save(&self, name: &str, bytes: Vec<u8>) {
        let accepted = check(name, bytes.len());
        let accepted = accepted.and_then(|()| match &self.0.directory {
            Some(_) => Ok(()),
            None => self.remember(name, &bytes),
        });
        if let Err(error) = accepted {
            return tracing::error!(%error, "bug: state not saved: {error}");
        }
        if self.0.directory.is_none() || !self.0.pending.put(name, bytes) {
            return;
        }
        let inner = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("state".to_owned());
        if thread.spawn(move || inner.write_pending()).is_err() {
            // The system grants no thread now: the next save or the flush at the end tries again.
            self.0.pending.writer_ended();
        }
    }

    /// Writes what [`save`](Self::save) has not written yet. Blocks.
    pub fn flush(&self) {
        self.0.write_pending();
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let mut memory = self.memory();
        let others = memory.iter().filter(|(other, _)| *other != name);
        let total: usize = others.map(|(_, bytes)| bytes.len()).sum();
        if total.saturating_add(bytes.len()) > MAX_MEMORY_BYTES {
            return Err(StateError::TooLong(name.to_owned()));
        }
        memory.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}

impl Inner {
    fn write_pending(&self) {
        let Some(directory) = &self.directory else {
            return;
        };
        self.pending.write_all(|name, bytes| {
            let written = directory.write(name, bytes);
            if let Err(error) = &written {
                tracing::warn!(%error, "state not saved, which is tried again: {error}");
            }
            written.is_ok()
        });
    }
}

/// Whether a directory that exists may hold the state of the gateway; `Ok` for one that does not exist yet. The error fits
/// after its name and says how to mend it.
pub fn check_directory(path: &Path) -> Result<(), String> {
    match Directory::look_at(path) {
        Err(disk::Unusable::Untrusted(reason)) => Err(reason),
        // What cannot be looked at now may be mounted by the time the gateway starts.
        Ok(()) | Err(disk::Unusable::Io(_)) => Ok(()),
    }
}

/// Why the system would not let the gateway use this directory as its state directory now, or create it; fits after its
/// name. It may be another later, when something is mounted there.
pub fn unusable(path: &Path) -> Option<String> {
    disk::unusable(path).map(|error| error.to_string())
}

fn check(name: &str, length: usize) -> Result<(), StateError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.chars().all(legal) {
        return Err(StateError::BadName(name.to_owned()));
    }
    if length > MAX_FILE_BYTES {
        return Err(StateError::TooLong(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
