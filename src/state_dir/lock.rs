//! The lock of a state directory, which one gateway holds while it changes what several share.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::StateError;
use super::disk::distrust;

/// The file that is locked; no state file has such a name.
const LOCK: &str = ".lock";
/// Tries to get the lock, and the pause between two: a change takes milliseconds.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    /// The system gives the lock back when this is closed, by any death.
    _file: File,
    /// `false` on a file system without locks.
    pub(super) excludes_others: bool,
}

impl DirectoryLock {
    /// Takes the lock of an open directory. Blocks, but not for ever: a gateway that holds it may be suspended.
    pub(super) fn acquire(directory: &OwnedFd) -> Result<Self, StateError> {
        Self::acquire_within(directory, TRIES)
    }

    fn acquire_within(directory: &OwnedFd, tries: u32) -> Result<Self, StateError> {
        let io = |error: Errno| StateError::Io(LOCK.to_owned(), error.into());
        // Opened anew each time, so that threads of one process exclude each other too.
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, LOCK, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(io)?);
        if let Some(reason) = distrust(&rustix::fs::fstat(&file).map_err(io)?) {
            return Err(StateError::Untrusted(LOCK.to_owned(), reason));
        }
        for _ in 0..tries {
            let excludes_others =
                match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => true,
                    // Some file systems have no locks; their gateways write all that they know.
                    Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOLCK) => false,
                    Err(Errno::WOULDBLOCK | Errno::INTR) => {
                        pause();
                        continue;
                    }
                    Err(error) => return Err(io(error)),
                };
            return Ok(Self {
                _file: file,
                excludes_others,
            });
        }
        Err(StateError::Locked(PAUSE * tries))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "callers of a state directory may block"
)]
fn pause() {
    thread::sleep(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    #[test]
    fn one_has_the_lock_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (open(home.path()), open(home.path()));
        let held = DirectoryLock::acquire(&one).unwrap();
        let refused = DirectoryLock::acquire_within(&other, 2).unwrap_err();
        assert!(matches!(refused, StateError::Locked(_)), "{refused:?}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| DirectoryLock::acquire(&other).is_ok());
            drop(held);
            assert!(waiting.join().unwrap(), "it is given on");
        });
    }
}
