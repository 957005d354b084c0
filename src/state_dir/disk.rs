//! The directory on the disk: how it is opened and trusted, and how a file is replaced atomically or added to.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::drafts::{draft_name, sweep_drafts};
use super::lock::DirectoryLock;
use super::{MAX_FILE_BYTES, StateError};

/// An open directory that only this user can write.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    opened: OwnedFd,
}

/// What a file was after a change: the same file may have grown since, by another gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMark {
    inode: u64,
    length: u64,
    /// The last bytes that it had. Another file may get the number of one that is gone.
    end: Vec<u8>,
}

impl FileMark {
    /// Bytes at the end by which a file is known again.
    const END: u64 = 64;

    fn read(file: &File, inode: u64, length: u64) -> std::io::Result<Self> {
        let mut end = vec![0; usize::try_from(length.min(Self::END)).unwrap_or_default()];
        file.read_exact_at(&mut end, length.saturating_sub(Self::END))?;
        Ok(Self { inode, length, end })
    }

    /// The bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether this is the file of the mark, with what it had then.
    fn is_of(&self, file: &File, stat: &Stat) -> bool {
        stat.st_ino == self.inode
            && length_of(stat) >= self.length
            && Self::read(file, self.inode, self.length).is_ok_and(|then| then == *self)
    }
}

fn length_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// The reason why a directory is not used; fits after its name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// Others can write it.
    #[error("{0}")]
    Untrusted(String),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Directory {
    /// Opens a directory, creates it where it does not exist, and makes sure that it can be written.
    pub(super) fn open(path: &Path) -> Result<Self, Unusable> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let directory = Self {
            opened: open_trusted(path)?,
            path: path.to_owned(),
        };
        // A read-only file system is found out now, while the log is read, and not at the first write.
        let probe = directory.write_temporary("probe", b"")?;
        directory.discard(&probe);
        sweep_drafts(&directory.opened);
        Ok(directory)
    }

    /// Checks a directory without a change to it; one that does not exist is fine.
    pub(super) fn look_at(path: &Path) -> Result<(), Unusable> {
        match open_trusted(path) {
            Ok(_closed) => Ok(()),
            Err(Unusable::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(unusable) => Err(unusable),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a file; `None` where there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let io = |error| StateError::Io(name.to_owned(), error);
        let Some((file, _)) = self.open_file(name, OFlags::RDONLY)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let bound = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
        let mut bounded = file.take(bound.saturating_add(1));
        bounded.read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() > MAX_FILE_BYTES {
            return Err(StateError::TooLong(name.to_owned()));
        }
        Ok(Some(bytes))
    }

    /// Takes the lock for a change that depends on what is there.
    pub(super) fn lock(&self) -> Result<DirectoryLock, StateError> {
        DirectoryLock::acquire(&self.opened)
    }

    /// Replaces a file as a whole.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let written = self.write_temporary(name, bytes).and_then(|temporary| {
            let renamed = rustix::fs::renameat(&self.opened, &*temporary, &self.opened, name);
            if renamed.is_err() {
                self.discard(&temporary);
            }
            renamed?;
            Ok(self.sync()?)
        });
        written.map_err(|error| StateError::Io(name.to_owned(), error))
    }

    /// Adds lines to the end of a file that is as `mark` says, or longer; `None` where it is not, or cannot be written. What
    /// can be written only in part is taken back.
    pub(super) fn append(&self, name: &str, lines: &[u8], mark: &FileMark) -> Option<FileMark> {
        let (file, stat) = self.open_file(name, OFlags::RDWR).ok()??;
        let length = length_of(&stat);
        let most = u64::try_from(MAX_FILE_BYTES.saturating_sub(lines.len())).unwrap_or(0);
        if length > most || !mark.is_of(&file, &stat) {
            return None;
        }
        let written = write_lines(&file, length, lines);
        if written.is_err() {
            let _ = file.set_len(length);
        }
        FileMark::read(&file, stat.st_ino, written.ok()?).ok()
    }

    /// The mark of a file that is believed.
    pub(super) fn mark(&self, name: &str) -> Option<FileMark> {
        let (file, stat) = self.open_file(name, OFlags::RDONLY).ok()??;
        FileMark::read(&file, stat.st_ino, length_of(&stat)).ok()
    }

    /// Opens a file that is believed; `None` where there is none.
    fn open_file(&self, name: &str, access: OFlags) -> Result<Option<(File, Stat)>, StateError> {
        let io = |error: Errno| StateError::Io(name.to_owned(), error.into());
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.opened, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let stat = rustix::fs::fstat(&file).map_err(io)?;
        if let Some(reason) = distrust(&stat) {
            return Err(StateError::Untrusted(name.to_owned(), reason));
        }
        Ok(Some((file, stat)))
    }

    /// Creates a file, or returns the content of the one that is there.
    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let io = |error| StateError::Io(name.to_owned(), error);
        if let Some(existing) = self.read(name)? {
            return Ok(Some(existing));
        }
        let temporary = self.write_temporary(name, bytes).map_err(io)?;
        // A link, unlike a rename, never replaces what another process has created meanwhile.
        let linked = rustix::fs::linkat(
            &self.opened,
            &*temporary,
            &self.opened,
            name,
            AtFlags::empty(),
        );
        self.discard(&temporary);
        match linked {
            Ok(()) => {
                self.sync().map_err(|error| io(error.into()))?;
                Ok(None)
            }
            Err(Errno::EXIST) => self.read(name),
            Err(error) => Err(io(error.into())),
        }
    }

    /// Writes a file under a name of its own and has the system put it on the disk; gives the name.
    fn write_temporary(&self, name: &str, bytes: &[u8]) -> std::io::Result<String> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let temporary = draft_name(name);
        let opened = rustix::fs::openat(&self.opened, &*temporary, flags, mode);
        let mut file = File::from(opened?);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            self.discard(&temporary);
        }
        written.map(|()| temporary)
    }

    fn discard(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.opened, name, AtFlags::empty());
    }

    /// Has the system put the names of the directory on the disk.
    fn sync(&self) -> rustix::io::Result<()> {
        match rustix::fs::fsync(&self.opened) {
            // Some file systems have no such thing for a directory.
            Err(Errno::INVAL) => Ok(()),
            synced => synced,
        }
    }
}

/// Writes lines at the end of a file, after a line break where its last line has none, and has the system put them on the
/// disk; gives the length that the file has then.
fn write_lines(file: &File, length: u64, lines: &[u8]) -> std::io::Result<u64> {
    let mut last = [b'\n'];
    if let Some(at) = length.checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    let line_end: &[u8] = if last == *b"\n" { b"" } else { b"\n" };
    let bytes = [line_end, lines].concat();
    file.write_all_at(&bytes, length)?;
    file.sync_all()?;
    Ok(length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
}

/// The error of the system for which a directory cannot be written, or created where it does not exist; nothing is changed.
pub(super) fn unusable(path: &Path) -> Option<std::io::Error> {
    // The nearest one that exists is where the first of the others would be created.
    let existing = path.ancestors().find_map(|folder| match folder.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        known => Some((folder, known)),
    });
    match existing {
        Some((_, Err(error))) => Some(error),
        Some((_, Ok(known))) if !known.is_dir() => Some(Errno::NOTDIR.into()),
        Some((folder, Ok(_))) => {
            let wanted = Access::WRITE_OK | Access::EXEC_OK;
            rustix::fs::access(folder, wanted).err().map(Into::into)
        }
        None => None,
    }
}

fn open_trusted(path: &Path) -> Result<OwnedFd, Unusable> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let stat = rustix::fs::fstat(&opened).map_err(std::io::Error::from)?;
    let (owner, own) = (stat.st_uid, geteuid().as_raw());
    if owner != own {
        let text = format!(
            "belongs to user {owner}, expected user {own}: name a folder below it that does not exist yet, or chown it"
        );
        return Err(Unusable::Untrusted(text));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        let mode = mode.bits() & 0o7777;
        let text = format!("can be written by others (mode {mode:04o}): chmod 700");
        return Err(Unusable::Untrusted(text));
    }
    Ok(opened)
}

/// The reason why a file is not believed; fits after its name.
pub(super) fn distrust(stat: &Stat) -> Option<&'static str> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Some("is not a regular file");
    }
    if stat.st_uid != geteuid().as_raw() {
        return Some("belongs to another user");
    }
    mode.intersects(Mode::WGRP | Mode::WOTH)
        .then_some("can be written by others")
}
