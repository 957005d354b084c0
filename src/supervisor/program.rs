//! The program file of this process, from which guards are started: the one that runs, also after an update.
//!
//! An update replaces the file while the gateway runs. A guard of another version may not understand its orders, so the
//! new file does not do. Linux leads to the running file through `/proc`; elsewhere [`pin`] gives it a second name.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::platform;

/// The second name of the program, in the state folder.
const LINK: &str = "running-program";

static PINNED: OnceLock<PinnedProgram> = OnceLock::new();

/// Gives the running program a second name in a folder, where the system needs that. Without one, guards are started for
/// as long as the file is not replaced.
pub fn pin(folder: Option<&Path>) {
    if platform::finds_descendants() {
        return;
    }
    let pinned = std::env::current_exe().and_then(|program| PinnedProgram::new(&program, folder));
    match pinned {
        // Nobody else has pinned it: servers are started later.
        Ok(pinned) => drop(PINNED.set(pinned)),
        Err(error) => tracing::debug!(%error, "cannot pin the program file: {error}"),
    }
}

/// The file to start a guard from.
pub(super) fn path() -> io::Result<PathBuf> {
    if platform::finds_descendants() {
        return linux_path();
    }
    match PINNED.get() {
        Some(pinned) => pinned.path(),
        None => std::env::current_exe(),
    }
}

/// The binary that runs now, even where the file of that name was replaced since: the name that Linux gives for it is
/// then one that no file has, and the link still leads to it. The name comes first because profilers and emulators
/// know it for the program that they run, and the link for themselves.
fn linux_path() -> io::Result<PathBuf> {
    let named = std::env::current_exe()?;
    let linked = PathBuf::from("/proc/self/exe");
    Ok(if !named.exists() && linked.exists() {
        linked
    } else {
        named
    })
}

/// A program file, by what tells it from one that takes its name.
#[derive(Debug)]
struct PinnedProgram {
    named: PathBuf,
    link: Option<PathBuf>,
    identity: FileIdentity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl From<Metadata> for FileIdentity {
    fn from(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

impl PinnedProgram {
    fn new(program: &Path, folder: Option<&Path>) -> io::Result<Self> {
        // A package manager replaces a link at once and its target some day.
        let named = program.canonicalize()?;
        let identity = named.metadata()?.into();
        let link = folder.and_then(|folder| link(&named, folder));
        Ok(Self {
            named,
            link,
            identity,
        })
    }

    fn path(&self) -> io::Result<PathBuf> {
        let is_running = |path: &&PathBuf| {
            path.metadata()
                .is_ok_and(|file| FileIdentity::from(file) == self.identity)
        };
        let mut known = [Some(&self.named), self.link.as_ref()]
            .into_iter()
            .flatten();
        known.find(is_running).cloned().ok_or_else(|| {
            let named = self.named.display();
            io::Error::other(format!(
                "{named} was replaced since the gateway was started; restart the gateway"
            ))
        })
    }
}

/// Links the program into a folder, in the place of one that an earlier process has left there.
fn link(program: &Path, folder: &Path) -> Option<PathBuf> {
    let link = folder.join(LINK);
    let _ = std::fs::remove_file(&link);
    match std::fs::hard_link(program, &link) {
        Ok(()) => Some(link),
        Err(error) => {
            // Such as a folder on another disk.
            tracing::debug!(%error, link = %link.display(), "cannot link the program file: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_found_by_its_link_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for has_link in [true, false] {
            std::fs::write(at("program"), "old").unwrap();
            let state = has_link.then(|| folder.path());
            let pinned = PinnedProgram::new(&at("program"), state).unwrap();
            let named = at("program").canonicalize().unwrap();
            assert_eq!(pinned.path().unwrap(), named);
            std::fs::write(at("new"), "new").unwrap();
            std::fs::rename(at("new"), at("program")).unwrap();
            match pinned.path() {
                Ok(path) => assert_eq!(std::fs::read(path).unwrap(), b"old"),
                Err(error) => {
                    assert!(!has_link, "{error}");
                    assert!(error.to_string().contains("restart the gateway"), "{error}");
                }
            }
            std::fs::remove_file(at("program")).unwrap();
            assert_eq!(pinned.path().is_ok(), has_link);
        }
    }

    #[test]
    fn a_program_that_is_a_link_is_pinned_by_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("1.0"), "old").unwrap();
        std::os::unix::fs::symlink(at("1.0"), at("program")).unwrap();
        let pinned = PinnedProgram::new(&at("program"), Some(folder.path())).unwrap();
        std::fs::remove_file(at("program")).unwrap();
        std::fs::remove_file(at("1.0")).unwrap();
        assert_eq!(std::fs::read(pinned.path().unwrap()).unwrap(), b"old");
    }
}
