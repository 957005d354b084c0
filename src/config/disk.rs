//! Reads a file that decides what is executed and who may enter, and refuses one that others can change.
//!
//! The file is opened once and every check is made on that descriptor, so that nothing can be swapped
//! in between. A config that others can write is a command that others can run.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::folders;

/// No config or token is longer in earnest.
const LONGEST: u64 = 1024 * 1024;

/// A file that was read, and who else can read it.
pub(super) struct Source {
    pub(super) text: Zeroizing<String>,
    mode: Mode,
    owner: u32,
}

impl Source {
    /// A text that nobody else can read.
    pub(super) fn private(text: String, owner: u32) -> Self {
        Self {
            text: Zeroizing::new(text),
            mode: Mode::RUSR | Mode::WUSR,
            owner,
        }
    }
}

/// Why a file was not read; fits after its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    /// What was read is not UTF-8.
    NotText(String),
    Because(String),
}

impl Refusal {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Missing => "there is no such file",
            Self::NotText(text) | Self::Because(text) => text,
        }
    }
}

pub(super) fn because<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Because(text.into()))
}

/// Reads a UTF-8 file of at most 1 MiB that only its owner, who is the user `uid` or root, can write.
///
/// A path that is a symbolic link of the same owners is resolved once (dotfile managers and mounted
/// secrets are such links); what it leads to is held to the same rules and may not be a link again. So are the folders
/// on the way.
pub(super) fn read(path: &Path, uid: u32) -> Result<Source, Refusal> {
    let source = read_file(path, uid)?;
    if path.is_absolute() {
        folders::check(path, uid)?;
    }
    Ok(source)
}

fn read_file(path: &Path, uid: u32) -> Result<Source, Refusal> {
    match open(path) {
        Ok(file) => read_open(file, uid),
        Err(Errno::LOOP) => {
            let link = rustix::fs::lstat(path).map_err(refusal)?;
            if !is_trusted(link.st_uid, uid) {
                return because("is a symbolic link of another user");
            }
            let target = std::fs::canonicalize(path).map_err(|error| refusal_of_io(&error))?;
            read_open(open(&target).map_err(refusal)?, uid)
        }
        Err(error) => Err(refusal(error)),
    }
}

fn open(path: &Path) -> rustix::io::Result<File> {
    // Without O_NONBLOCK the opening of a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

fn read_open(file: File, uid: u32) -> Result<Source, Refusal> {
    let stat = rustix::fs::fstat(&file).map_err(refusal)?;
    check(&stat, uid)?;
    let mut bytes = Zeroizing::new(Vec::new());
    // The size in `stat` may be old: what is read is bounded too.
    let mut bounded = file.take(LONGEST + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| refusal_of_io(&error))?;
    if bytes.len() as u64 > LONGEST {
        return because(TOO_LONG);
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Source {
            text: Zeroizing::new(text.to_owned()),
            mode: Mode::from_raw_mode(stat.st_mode),
            owner: stat.st_uid,
        }),
        Err(error) => Err(Refusal::NotText(format!(
            "is not UTF-8: the byte at offset {} cannot stand there",
            error.valid_up_to()
        ))),
    }
}

const TOO_LONG: &str = "is longer than 1 MiB";

fn check(stat: &Stat, uid: u32) -> Result<(), Refusal> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode);
    if !kind.is_file() {
        let found = if kind.is_dir() {
            "a directory"
        } else {
            "a device or pipe"
        };
        return because(format!("is {found}, expected a regular file"));
    }
    if !is_trusted(stat.st_uid, uid) {
        return because(format!(
            "belongs to user {0}, expected user {uid} or root: chown it, or run the gateway as user {0} (in a container \
             runAsUser)",
            stat.st_uid
        ));
    }
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return because(format!(
            "can be written by others (mode {}): chmod go-w it",
            octal(mode)
        ));
    }
    if u64::try_from(stat.st_size).is_ok_and(|size| size > LONGEST) {
        return because(TOO_LONG);
    }
    Ok(())
}

pub(super) fn is_trusted(owner: u32, uid: u32) -> bool {
    owner == uid || owner == 0
}

fn octal(mode: Mode) -> String {
    format!("{:04o}", mode.bits() & 0o7777)
}

pub(super) fn refusal(error: Errno) -> Refusal {
    refusal_of_io(&error.into())
}

fn refusal_of_io(error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::NotFound => Refusal::Missing,
        _ => Refusal::Because(format!("cannot be read: {error}")),
    }
}

impl Source {
    /// Whether only the owner can read it; the error says how to make it so. Root may let a group read,
    /// as is usual for a service's own group.
    pub(super) fn check_private(&self) -> Result<(), String> {
        let open_to = if self.owner == 0 {
            Mode::RWXO
        } else {
            Mode::RWXO | Mode::RWXG
        };
        if self.mode.intersects(open_to) {
            let mode = octal(self.mode);
            return Err(format!(
                "can be read by others (mode {mode}): chmod 600 it; a file that is mounted cannot be changed here, Kubernetes \
                 wants \"defaultMode\": 0440 and an \"fsGroup\", Docker \"mode\": 0400"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn write(path: &Path, bytes: &[u8], mode: u32) {
        std::fs::write(path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refused(path: &Path) -> String {
        let uid = rustix::process::geteuid().as_raw();
        match read(path, uid) {
            Ok(_) => "read".to_owned(),
            Err(refusal) => refusal.text().to_owned(),
        }
    }

    /// H108, H109
    #[test]
    fn only_a_regular_file_that_others_cannot_write_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("good"), b"{}", 0o644);
        assert_eq!(refused(&at("good")), "read");
        for mode in [0o666, 0o620, 0o602] {
            write(&at("open"), b"{}", mode);
            assert!(
                refused(&at("open")).contains("written by others"),
                "{mode:o}"
            );
        }
        write(&at("long"), &vec![b' '; 1024 * 1024 + 1], 0o600);
        assert_eq!(refused(&at("long")), TOO_LONG);
        let huge = File::options().write(true).open(at("long")).unwrap();
        huge.set_len(1 << 30).unwrap();
        assert_eq!(refused(&at("long")), TOO_LONG, "and none of it is read");
        write(&at("binary"), b"{\xff", 0o600);
        assert!(refused(&at("binary")).contains("offset 1"));
        assert_eq!(refused(&at("none")), "there is no such file");
        assert!(refused(dir.path()).contains("a directory"));
        assert!(refused(Path::new("/dev/zero")).contains("a device or pipe"));
        // Apple's systems have another call for it.
        #[cfg(not(target_vendor = "apple"))]
        {
            let fifo = at("fifo");
            rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
            assert!(refused(&fifo).contains("a device or pipe"));
        }
    }

    /// H109: a link is followed, because dotfile managers and mounted secrets are links, but only one of our own or of
    /// root, and once.
    #[test]
    fn a_link_is_followed_once_and_its_target_held_to_the_same_rules() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("target"), b"{}", 0o600);
        symlink(at("target"), at("link")).unwrap();
        assert_eq!(refused(&at("link")), "read");
        write(&at("target"), b"{}", 0o666);
        assert!(refused(&at("link")).contains("written by others"));
        symlink(at("nowhere"), at("dangling")).unwrap();
        assert_eq!(refused(&at("dangling")), "there is no such file");
        symlink(at("loop"), at("loop")).unwrap();
        assert!(refused(&at("loop")).contains("cannot be read"));
    }

    /// H108
    #[test]
    fn a_file_in_a_directory_that_everybody_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("c"), b"{}", 0o600);
        let chmod = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path(), mode).unwrap();
        };
        chmod(0o777);
        assert!(refused(&dir.path().join("c")).contains("lies in"));
        chmod(0o1777);
        assert_eq!(refused(&dir.path().join("c")), "read");
    }

    /// H110: whichever file has the name when it is opened is the one that is checked and read.
    #[test]
    fn a_file_that_is_swapped_all_the_time_is_read_as_checked_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let uid = rustix::process::geteuid().as_raw();
        write(&at("config"), b"good", 0o600);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let mut seen = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for (text, mode) in [("evil", 0o666), ("good", 0o600)] {
                        write(&at("next"), text.as_bytes(), mode);
                        std::fs::rename(at("next"), at("config")).unwrap();
                    }
                }
            });
            // On a busy machine the other thread may have no turn for long.
            let mut rounds = 0;
            while rounds < 2000 || (seen.0 == 0 || seen.1 == 0) && rounds < 1_000_000 {
                rounds += 1;
                match read(&at("config"), uid) {
                    Ok(source) => {
                        assert_eq!(*source.text, "good");
                        seen.0 += 1;
                    }
                    Err(refusal) => {
                        assert!(refusal.text().contains("written by others"), "{refusal:?}");
                        seen.1 += 1;
                    }
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(seen.0 > 0 && seen.1 > 0, "both were met: {seen:?}");
    }

    /// H108, H109
    #[test]
    fn only_this_user_and_root_are_trusted() {
        assert!(is_trusted(0, 1000) && is_trusted(1000, 1000));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
    }

    /// H108
    #[test]
    fn a_secret_is_for_its_owner_and_a_group_only_if_root_says_so() {
        let private = |mode, owner| {
            let mode = Mode::from_raw_mode(mode);
            let text = Zeroizing::new(String::new());
            Source { text, mode, owner }.check_private().is_ok()
        };
        assert!(private(0o600, 1000) && private(0o400, 1000) && private(0o640, 0));
        assert!(!private(0o640, 1000) && !private(0o644, 0) && !private(0o604, 1000));
    }
}
