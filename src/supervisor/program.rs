//! The program file of this process, from which guards are started: the one that runs, also after an update.
//!
//! An update replaces the file while the gateway runs. A guard of another version may not understand its orders, so the
//! new file does not do. Linux leads to the running file through `/proc`; elsewhere [`pin`] gives it a second name.

use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use super::platform;
use crate::state_dir::StateDir;

/// The beginning of the second names of programs, in the state folder. That of one program ends with its digest, so that
/// gateways of different versions can share the folder.
const LINK: &str = "running-program";

/// Bytes of a program that are read at a time.
const DIGEST_BUFFER: usize = 64 * 1024;

static PINNED: OnceLock<PinnedProgram> = OnceLock::new();

/// Gives the running program a second name in the state folder, where the system needs that. Without one, guards are started
/// for as long as the file is not replaced.
pub fn pin(state: &StateDir) {
    if platform::finds_descendants() {
        return;
    }
    let program = std::env::current_exe();
    let pinned = program.and_then(|program| {
        // Under the lock, because gateways that start or end there delete what nobody uses.
        let pinned = state.locked(|folder| PinnedProgram::new(&program, Some(folder)));
        pinned
            .and_then(|pinned| pinned.inspect_err(report).ok())
            .unwrap_or_else(|| PinnedProgram::new(&program, None))
    });
    match pinned {
        // Nobody else has pinned it: servers are started later.
        Ok(pinned) => drop(PINNED.set(pinned)),
        Err(error) => report(&error),
    }
}

fn report(error: &impl std::fmt::Display) {
    tracing::debug!(%error, "cannot pin the program file: {error}");
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

/// The program file of a process, by its content: a time that was changed makes it no other one, and an equal time does not
/// make another file the same.
#[derive(Debug)]
struct PinnedProgram {
    digest: [u8; 32],
    /// Its name and its second name.
    names: Vec<ProgramName>,
    /// Tells other gateways that the second name is in use.
    _link: Option<File>,
}

/// A name under which the program was found.
#[derive(Debug)]
struct ProgramName {
    path: PathBuf,
    /// The state of the file when its content was last read, and found to be the program.
    read: Mutex<Option<FileState>>,
}

/// The state of a file. The system changes it with every write to the file, and nobody can set it back (`ctime`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for FileState {
    fn from(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl ProgramName {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::default(),
        }
    }

    /// True where the file of this name is the program with this digest.
    fn is(&self, digest: &[u8; 32]) -> bool {
        let Ok(state) = self.path.metadata().map(FileState::from) else {
            return false;
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == Some(state) {
            return true;
        }
        let is_same = digest_of(&self.path).is_ok_and(|found| found == *digest);
        *read = is_same.then_some(state);
        is_same
    }
}

impl PinnedProgram {
    fn new(program: &Path, folder: Option<&Path>) -> io::Result<Self> {
        // A package manager replaces a link at once and its target some day.
        let named = program.canonicalize()?;
        let digest = digest_of(&named)?;
        let linked = folder.and_then(|folder| {
            let link = folder.join(format!("{LINK}-{}", hex::encode(digest)));
            sweep(folder, &link);
            Some((pin_by_link(&named, &link, &digest)?, link))
        });
        let (held, link) = linked.unzip();
        let names = [Some(named), link].into_iter().flatten();
        Ok(Self {
            digest,
            names: names.map(ProgramName::new).collect(),
            _link: held,
        })
    }

    fn path(&self) -> io::Result<PathBuf> {
        let mut names = self.names.iter();
        let found = names.find(|name| name.is(&self.digest));
        found.map(|name| name.path.clone()).ok_or_else(|| {
            let named = self.names.first().map(|name| name.path.display());
            io::Error::other(format!(
                "{} was replaced since the gateway was started; restart the gateway",
                named.map_or_else(String::new, |named| named.to_string())
            ))
        })
    }
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = BufReader::with_capacity(DIGEST_BUFFER, File::open(path)?);
    let mut hasher = Sha256::new();
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            return Ok(hasher.finalize().into());
        }
        hasher.update(part);
        let read = part.len();
        file.consume(read);
    }
}

/// Links the program to its second name, unless another gateway has done that. Gives the file, locked as one in use.
fn pin_by_link(program: &Path, link: &Path, digest: &[u8; 32]) -> Option<File> {
    if !digest_of(link).is_ok_and(|found| found == *digest) {
        let _ = std::fs::remove_file(link);
        if let Err(error) = std::fs::hard_link(program, link) {
            // Such as a folder on another disk.
            report(&error);
            return None;
        }
    }
    let file = File::open(link).ok()?;
    // Shared with other gateways of this version.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    Some(file)
}

/// Deletes the second names that no gateway uses, such as those of versions that were replaced. Called under the lock of the
/// folder, as the one that gives such names is.
fn sweep(folder: &Path, own: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_other = name.is_some_and(|name| name.starts_with(LINK)) && path != own;
        let is_free =
            |file: File| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_other && File::open(&path).is_ok_and(is_free) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(LINK)).count()
    }

    /// Puts another file in the place of a program, as an update does.
    fn replace(program: &Path, content: &str) {
        let new = program.with_extension("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(new, program).unwrap();
    }

    #[test]
    fn a_replaced_program_is_found_by_its_link_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        for has_link in [true, false] {
            std::fs::write(&program, "old").unwrap();
            let state = has_link.then(|| folder.path());
            let pinned = PinnedProgram::new(&program, state).unwrap();
            let named = program.canonicalize().unwrap();
            assert_eq!(pinned.path().unwrap(), named);
            replace(&program, "new");
            match pinned.path() {
                Ok(path) => assert_eq!(std::fs::read(path).unwrap(), b"old"),
                Err(error) => {
                    assert!(!has_link, "{error}");
                    assert!(error.to_string().contains("restart the gateway"), "{error}");
                }
            }
            std::fs::remove_file(&program).unwrap();
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

    /// A program that was touched, or installed again, is the same one; a file of the same size and time is not.
    #[test]
    fn a_program_is_known_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "old").unwrap();
        let pinned = PinnedProgram::new(&program, None).unwrap();
        let file = File::options().write(true).open(&program).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        let later = modified + std::time::Duration::from_secs(7);
        file.set_modified(later).unwrap();
        assert!(pinned.path().is_ok(), "touched");
        replace(&program, "old");
        assert!(pinned.path().is_ok(), "installed again");
        std::fs::write(&program, "new").unwrap();
        let file = File::options().write(true).open(&program).unwrap();
        file.set_modified(later).unwrap();
        assert!(pinned.path().is_err(), "overwritten in place");
    }

    /// Gateways of several versions share a folder: each finds its own program, and what nobody uses is deleted.
    #[test]
    fn gateways_that_share_a_folder_keep_the_programs_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let start = |content: &str| {
            replace(&program, content);
            PinnedProgram::new(&program, Some(folder.path())).unwrap()
        };
        let content = |pinned: &PinnedProgram| std::fs::read(pinned.path().unwrap()).unwrap();
        let (one, same, other) = (start("one"), start("one"), start("other"));
        std::fs::remove_file(&program).unwrap();
        assert_eq!(content(&one), b"one");
        assert_eq!(content(&same), b"one");
        assert_eq!(content(&other), b"other");
        assert_eq!(links(folder.path()), 2);
        drop(one);
        let third = start("third");
        assert_eq!(links(folder.path()), 3, "one of them is in use still");
        drop((same, other));
        let fourth = start("third");
        assert_eq!(links(folder.path()), 1);
        drop((third, fourth));
    }
}
