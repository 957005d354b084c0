//! The side file of what was read: one line a frame, the pid of the incarnation, a tab, the frame's bytes.
//!
//! The file is opened for every record, because an open descriptor would show in `list_fds`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// Where frames are recorded, if anywhere.
#[derive(Debug)]
pub(crate) struct Journal {
    path: Option<PathBuf>,
}

impl Journal {
    /// The file that `GREMLIN_JOURNAL` names.
    pub(crate) fn from_env() -> Self {
        let path = std::env::var_os("GREMLIN_JOURNAL").map(PathBuf::from);
        Self { path }
    }

    /// Appends one frame (without its newline) in a single write, so that several processes may share a file.
    pub(crate) fn record(&self, frame: &[u8]) {
        let Some(path) = &self.path else { return };
        let mut line = format!("{}\t", std::process::id()).into_bytes();
        line.extend_from_slice(frame);
        line.push(b'\n');
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(&line));
        if let Err(fault) = written {
            crate::wire::complain(&format!("journal {}: {fault}", path.display()));
            std::process::exit(74);
        }
    }
}
