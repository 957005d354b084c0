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
const LINK: &str = "running-program-";

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

/// The file to start a guard from. May read a file, and so blocks: not for an event loop.
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

/// The program file of a process, by its content: one that was touched or installed again is no other one.
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

/// The state of a file, which is another one after every write to it. The links to it are no part of that (`ctime` is):
/// other gateways that use the same program add and delete their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl From<Metadata> for FileState {
    fn from(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

impl FileState {
    fn of(path: &Path) -> io::Result<Self> {
        path.metadata().map(Self::from)
    }
}

impl ProgramName {
    /// A name of the program. `read` is the state in which the file of this name is known to be that.
    fn new(path: PathBuf, read: Option<FileState>) -> Self {
        Self {
            path,
            read: Mutex::new(read),
        }
    }

    /// True where the file of this name is the program with this digest. Blocks where the file has to be read.
    fn is(&self, digest: &[u8; 32]) -> bool {
        let Ok(state) = FileState::of(&self.path) else {
            return false;
        };
        // Held while the file is read: others who start a guard at the same time, each in a thread of its own, need not
        // read it too.
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
        // Before it is read: what is written meanwhile is found at the first look.
        let read = FileState::of(&named)?;
        let digest = digest_of(&named)?;
        let named = ProgramName::new(named, Some(read));
        let linked = folder.and_then(|folder| {
            let link = folder.join(format!("{LINK}{}", hex::encode(digest)));
            sweep(folder, &link);
            pin_by_link(&named.path, read, link, &digest)
        });
        let (held, link) = linked.unzip();
        Ok(Self {
            digest,
            names: [Some(named), link].into_iter().flatten().collect(),
            _link: held,
        })
    }

    /// The file to start a guard from. Blocks where a file that was written to has to be read.
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

/// Links the program, whose file was read in the state `read`, to its second name, unless another gateway has done that.
/// Gives the file, locked as one in use.
fn pin_by_link(
    program: &Path,
    read: FileState,
    link: PathBuf,
    digest: &[u8; 32],
) -> Option<(File, ProgramName)> {
    let linked = ProgramName::new(link, Some(read));
    if !linked.is(digest) {
        let _ = std::fs::remove_file(&linked.path);
        if let Err(error) = std::fs::hard_link(program, &linked.path) {
            // Such as a folder on another disk.
            report(&error);
            return None;
        }
    }
    let file = File::open(&linked.path).ok()?;
    // Shared with other gateways of this version.
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).ok()?;
    Some((file, linked))
}

/// True for a second name as this version gives it, whose file is locked by each gateway that uses it. An earlier version
/// has used `running-program`, without a lock: whether that is in use is not known, so it is left alone.
fn is_second_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let digest = name.and_then(|name| name.strip_prefix(LINK));
    digest.is_some_and(|digest| hex::decode(digest).is_ok_and(|digest| digest.len() == 32))
}

/// Deletes the second names that no gateway uses, such as those of versions that were replaced. Called under the lock of the
/// folder, as the one that gives such names is.
fn sweep(folder: &Path, own: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_free =
            |file: File| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_second_name(&path) && path != own && File::open(&path).is_ok_and(is_free) {
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

    /// A program that was touched, or installed again, is the same one; another file of the same size and time is not,
    /// nor is one that was written to.
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
        let set_time = || {
            let file = File::options().write(true).open(&program).unwrap();
            file.set_modified(later).unwrap();
        };
        replace(&program, "new");
        set_time();
        assert!(pinned.path().is_err(), "another one of the same time");
        replace(&program, "old");
        set_time();
        assert!(pinned.path().is_ok());
        std::fs::write(&program, "new").unwrap();
        assert!(pinned.path().is_err(), "overwritten in place");
    }

    /// The program is read once, when it is pinned, however many gateways pin it after that or end.
    #[test]
    fn links_of_other_gateways_make_a_program_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("program"), "old").unwrap();
        let pinned = PinnedProgram::new(&at("program"), Some(folder.path())).unwrap();
        let is_known = || {
            let known = |name: &ProgramName| {
                let state = FileState::of(&name.path).unwrap();
                *name.read.lock().unwrap() == Some(state)
            };
            pinned.names.iter().all(known)
        };
        assert_eq!(pinned.names.len(), 2);
        assert!(is_known(), "it is read again at the first start");
        std::fs::hard_link(at("program"), at("other")).unwrap();
        let same = PinnedProgram::new(&at("program"), Some(folder.path())).unwrap();
        std::fs::remove_file(at("other")).unwrap();
        assert!(is_known());
        drop(same);
    }

    /// The name that an earlier version gives without a lock may be in use, and other files are nobody's to delete.
    #[test]
    fn only_second_names_of_this_kind_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let unused = format!("running-program-{}", "0".repeat(64));
        let kept = ["running-program", "running-program-notes", "program"];
        for name in kept.into_iter().chain([unused.as_str()]) {
            std::fs::write(at(name), name).unwrap();
        }
        let pinned = PinnedProgram::new(&at("program"), Some(folder.path())).unwrap();
        for name in kept {
            assert!(at(name).exists(), "{name}");
        }
        assert!(!at(&unused).exists());
        assert!(pinned.path().is_ok());
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
