//! Drafts: the temporary files that replace others, and what is left of them where a writer was killed.

use std::os::fd::AsFd;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType};

use crate::types::wall;

/// The age from which a draft has no writer any more: writing one takes far less, whatever the disk.
const ABANDONED: Duration = Duration::from_hours(1);
/// Entries of a directory that are looked at.
const MAX_ENTRIES: usize = 10_000;
/// Hex digits at the end of the name.
const RANDOM_DIGITS: usize = 16;

/// The name of a new draft of a file.
pub fn draft_name(name: &str) -> String {
    // Random, because processes of different containers, with equal ids, may share the directory.
    format!(".{name}.{:0RANDOM_DIGITS$x}", fastrand::u64(..))
}

fn is_draft(name: &str) -> bool {
    let parts = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(name, random)| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        !name.is_empty() && random.len() == RANDOM_DIGITS && random.bytes().all(is_digit)
    })
}

/// Deletes the drafts in a directory that their writers have left there. Those that somebody may still write stay.
pub fn sweep_drafts(directory: impl AsFd) {
    // A directory that cannot be listed is used all the same.
    let Ok(entries) = Dir::read_from(&directory) else {
        return;
    };
    let now = wall::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for entry in entries.take(MAX_ENTRIES).flatten() {
        let name = entry.file_name();
        if !name.to_str().is_ok_and(is_draft) {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let written = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
        if FileType::from_raw_mode(stat.st_mode).is_file()
            && now.saturating_sub(written) >= ABANDONED
        {
            let _ = rustix::fs::unlinkat(&directory, name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn drafts_are_swept_when_nobody_can_write_them_any_more() {
        let home = tempfile::tempdir().unwrap();
        let old = wall::now() - ABANDONED;
        let draft = draft_name("key");
        let names = [
            (&*draft, old, false),
            (".key.0123456789abcdef", wall::now(), true),
            (".key.0123456789abcdeg", old, true),
            ("..0123456789abcdef", old, true),
            (".0123456789abcdef", old, true),
            ("key.0123456789abcdef", old, true),
        ];
        for (name, modified, _) in names {
            let file = File::create(home.path().join(name)).unwrap();
            file.set_modified(modified).unwrap();
        }
        sweep_drafts(File::open(home.path()).unwrap());
        for (name, _, stays) in names {
            assert_eq!(home.path().join(name).exists(), stays, "{name}");
        }
    }
}
