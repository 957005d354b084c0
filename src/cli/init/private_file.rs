//! Writing a file that holds a secret: never readable by others, never half written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What becomes of a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and the writing fails.
    Keep,
    /// It is replaced in one step.
    Replace,
}

/// Writes the whole file with mode 0600, its folder with mode 0700 where that has to be made.
///
/// The text goes to a new file beside it, which takes the name in one step when it is complete and on
/// disk. Fails with the path in the error.
pub(super) fn write(path: &Path, text: &str, existing: Existing) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let draft = Draft::create(folder, text)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    let named = match existing {
        Existing::Replace => std::fs::rename(&draft.path, path),
        // Unlike a rename, a link fails where the name is taken.
        Existing::Keep => std::fs::hard_link(&draft.path, path),
    };
    named.with_context(|| format!("cannot write {}", path.display()))?;
    drop(draft);
    // The name is on disk only when the folder is.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("cannot sync {}", folder.display()))
}

/// A complete file under a name of its own; dropping it removes that name.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn create(folder: &Path, text: &str) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = folder.join(format!(".draft-{}", hex::encode(random)));
        // create_new is O_EXCL: a file or link that somebody put there is not written through.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let draft = Self { path };
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename the name is gone already; otherwise a hidden private file is left, no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}
