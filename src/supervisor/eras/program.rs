//! The identity of a program: of which server it is, what is executed, with which arguments, and from which files.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::supervisor::config::Launch;
use crate::types::ServerId;

/// Arguments that are looked at as files: a script stands at the front.
const MAX_FILES: usize = 8;

/// A digest of a program. It says nothing of arguments, which may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::supervisor) struct ProgramKey(String);

impl ProgramKey {
    /// Looks at the files of a launch as of now.
    ///
    /// The environment has no part in it: inherited variables differ from login to login.
    pub(in crate::supervisor) fn of(server: &ServerId, launch: &Launch) -> Self {
        let mut digest = Sha256::new();
        part(&mut digest, server.as_str().as_bytes());
        part(&mut digest, launch.program.as_os_str().as_bytes());
        for arg in &launch.args {
            part(&mut digest, arg.as_bytes());
        }
        let folder = launch.working_dir.as_deref();
        let place = folder.unwrap_or(Path::new(""));
        part(&mut digest, place.as_os_str().as_bytes());
        let args = launch.args.iter().take(MAX_FILES).map(Path::new);
        for file in std::iter::once(launch.program.as_path()).chain(args) {
            let file = folder.map_or_else(|| file.to_owned(), |folder| folder.join(file));
            if let Ok(found) = std::fs::metadata(&file)
                && found.is_file()
            {
                part(&mut digest, &found.size().to_le_bytes());
                part(&mut digest, &found.mtime().to_le_bytes());
                part(&mut digest, &found.mtime_nsec().to_le_bytes());
            }
        }
        Self(hex::encode(digest.finalize()))
    }
}

/// Adds one part, so that no two rows of parts look alike.
fn part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_le_bytes());
    digest.update(bytes);
}
