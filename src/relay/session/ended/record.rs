//! The record of sessions that have ended, as a file of the state directory: on each line the beginning of the session's
//! id and the second of Unix time at which it ended.
//!
//! Gateways that share the directory share the record: what one adds to it does not take away what another has added.

use std::collections::HashMap;
use std::thread;

use tokio::sync::oneshot;

use super::super::sealed;
use super::{MAX_ENDED, RANDOM, SessionKey};
use crate::state_dir::{StateDir, StateError};

/// The file.
pub(super) const FILE: &str = "ended-sessions";

/// Why the record was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// The file cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The system grants no thread for it.
    #[error("no thread can be started")]
    NoThread,
}

/// Reads and writes the record.
#[derive(Debug)]
pub(super) struct EndedRecord(StateDir);

impl EndedRecord {
    pub(super) fn new(state: StateDir) -> Self {
        Self(state)
    }

    /// The sessions of the record whose ids are genuine at `now`, those that ended first before the others. Blocks.
    pub(super) fn read(&self, now: u64) -> Vec<(SessionKey, u64)> {
        let bytes = match self.0.read(FILE) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "sessions that were ended by their clients may go on, because their record is not read: {error}"
                );
                return Vec::new();
            }
        };
        let (ended, unreadable) = parse(&bytes);
        if unreadable > 0 {
            tracing::warn!(
                file = FILE,
                lines = unreadable,
                "sessions that were ended by their clients may go on, because {unreadable} lines of {FILE} in the state directory cannot be read"
            );
        }
        newest(ended, now)
    }

    /// Adds sessions to the record, on a thread of its own.
    pub(super) async fn add(
        &self,
        ended: Vec<(SessionKey, u64)>,
        now: u64,
    ) -> Result<(), RecordError> {
        if self.0.path().is_none() {
            // It would end with the process, as the memory does.
            return Ok(());
        }
        let (done, written) = oneshot::channel();
        let state = self.0.clone();
        let add = move || {
            // Nobody waits for it any more where the gateway has run out of time.
            let _ = done.send(add_to_file(&state, ended, now));
        };
        let thread = thread::Builder::new().name("state".to_owned());
        thread
            .spawn(add)
            .map_err(|_refused| RecordError::NoThread)?;
        let written = written.await;
        Ok(written.map_err(|_died| RecordError::NoThread)??)
    }
}

fn add_to_file(
    state: &StateDir,
    ended: Vec<(SessionKey, u64)>,
    now: u64,
) -> Result<(), StateError> {
    // A file that cannot be read was told of at the start, and is replaced.
    let bytes = state.read(FILE).ok().flatten().unwrap_or_default();
    let (mut all, _unreadable) = parse(&bytes);
    all.extend(ended);
    let mut text = Vec::new();
    for (key, ended) in newest(all, now) {
        text.extend(key);
        text.extend(format!(" {ended}\n").bytes());
    }
    state.write(FILE, &text)
}

/// Those whose ids are genuine at `now`, in order of their ends; the newest where they are too many.
fn newest(ended: HashMap<SessionKey, u64>, now: u64) -> Vec<(SessionKey, u64)> {
    // An id is genuine for that time after its session was opened, which was before its end.
    let is_genuine = |at: u64| now < at.saturating_add(sealed::LIFE.as_secs());
    let mut newest: Vec<_> = ended
        .into_iter()
        .filter(|(_, at)| is_genuine(*at))
        .collect();
    newest.sort_unstable_by_key(|(_, at)| *at);
    newest.split_off(newest.len().saturating_sub(MAX_ENDED))
}

/// The sessions of a text, and how many lines of it name none.
fn parse(bytes: &[u8]) -> (HashMap<SessionKey, u64>, usize) {
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let mut unreadable = 0;
    let ended = lines.filter_map(|line| {
        let read = parse_line(line);
        unreadable += usize::from(read.is_none());
        read
    });
    (ended.collect(), unreadable)
}

fn parse_line(line: &[u8]) -> Option<(SessionKey, u64)> {
    let (key, rest) = line.split_first_chunk::<RANDOM>()?;
    let ended = std::str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    Some((*key, ended.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 2_000_000_000;

    fn key(letter: u8) -> SessionKey {
        [letter; RANDOM]
    }

    #[tokio::test]
    async fn what_expires_leaves_the_record_and_it_is_bounded() {
        let home = tempfile::tempdir().unwrap();
        let record = EndedRecord::new(StateDir::open(home.path()));
        let life = sealed::LIFE.as_secs();
        let ended = vec![(key(b'a'), NOW), (key(b'b'), NOW + 1)];
        record.add(ended.clone(), NOW).await.unwrap();
        assert_eq!(record.read(NOW + life - 1), ended);
        assert_eq!(record.read(NOW + life), ended[1..]);
        record.add(Vec::new(), NOW + life).await.unwrap();
        assert_eq!(record.read(NOW), ended[1..]);

        let many = (0..=MAX_ENDED).map(|number| {
            let key = format!("{number:032}").into_bytes().try_into().unwrap();
            (key, NOW + 2)
        });
        record.add(many.collect(), NOW).await.unwrap();
        let read = record.read(NOW);
        assert_eq!(read.len(), MAX_ENDED);
        assert!(read.iter().all(|(_, at)| *at == NOW + 2), "the newest");
    }

    #[tokio::test]
    async fn lines_that_name_no_session_are_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(home.path());
        let good = [&key(b'g')[..], b" 1999999999\n"].concat();
        let bad: [&[u8]; 5] = [b"x\n", b"\xff\xfe\n", &key(b'x'), b"\n", &[0; 5000]];
        let text = [&good[..], &bad.concat()].concat();
        state.write(FILE, &text).unwrap();
        let record = EndedRecord::new(state);
        assert_eq!(record.read(NOW), [(key(b'g'), 1_999_999_999)]);
        record.add(vec![(key(b'h'), NOW)], NOW).await.unwrap();
        assert_eq!(record.read(NOW).len(), 2);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_any_more_is_told() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(&home.path().join("state"));
        let record = EndedRecord::new(state);
        std::fs::remove_dir(home.path().join("state")).unwrap();
        let added = record.add(vec![(key(b'a'), NOW)], NOW).await;
        assert!(matches!(added, Err(RecordError::State(_))), "{added:?}");
        let in_memory = EndedRecord::new(StateDir::in_memory());
        in_memory.add(vec![(key(b'a'), NOW)], NOW).await.unwrap();
    }
}
