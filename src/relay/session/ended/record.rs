//! The record of sessions that have ended, as a file of the state directory: on each line the beginning of the session's
//! id, the second of Unix time at which it ended, and the beginning of its token's fingerprint in hex digits.
//!
//! A session is a line at the end. The record is written anew, with all that is remembered, where it is not what this gateway
//! left (it was deleted, or put back from a backup), and where it has twice the lines that are remembered: then without
//! those that have expired and those that are too many.
//!
//! Gateways that share the directory share the record: what one adds to it does not take away what another has added.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::super::sealed;
use super::memory::{
    EndedMemory, EndedSession, MAX_ENDED, OWNER_BYTES, RANDOM, SessionOwner, by_end,
};
use crate::state_dir::{FileMark, StateDir, StateError};

/// The file.
pub(super) const FILE: &str = "ended-sessions";
/// Bytes of a line: the parts, the seconds in ten digits, two spaces and the line break.
const LINE_BYTES: usize = RANDOM + 10 + 2 * OWNER_BYTES + 3;
/// A longer record is written anew.
const MAX_BYTES: usize = 2 * MAX_ENDED * LINE_BYTES;

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
pub(super) struct EndedRecord {
    state: StateDir,
    /// The file as this gateway left it; `None` before it has written one.
    mark: Arc<Mutex<Option<FileMark>>>,
}

impl EndedRecord {
    pub(super) fn new(state: StateDir) -> Self {
        Self {
            state,
            mark: Arc::default(),
        }
    }

    /// The sessions of the record whose ids are genuine at `now`. Blocks.
    pub(super) fn read(&self, now: u64) -> EndedMemory {
        let bytes = match self.state.read(FILE) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "sessions that were ended by their clients may go on, because their record is not read: {error}"
                );
                return EndedMemory::default();
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
        fair(ended, now)
    }

    /// Adds sessions to the record; `false`, and nothing is changed, where it has to be written as a whole.
    pub(super) async fn append(&self, ended: Vec<EndedSession>) -> bool {
        let appended = self.on_thread(move |state, mark| {
            let text = lines(&ended);
            let added = mark.as_ref().and_then(|mark| {
                let length = usize::try_from(mark.length()).ok()?;
                let has_room = length.saturating_add(text.len()) <= MAX_BYTES;
                has_room.then(|| state.append(FILE, &text, mark)).flatten()
            });
            let is_added = added.is_some();
            if is_added {
                *mark = added;
            }
            is_added
        });
        appended.await.unwrap_or(false)
    }

    /// Writes the record as a whole: these sessions and those that other gateways have put there.
    pub(super) async fn rewrite(
        &self,
        ended: Vec<EndedSession>,
        now: u64,
    ) -> Result<(), RecordError> {
        let written = self.on_thread(move |state, mark| {
            let change = |bytes: Vec<u8>| {
                let (mut all, _unreadable) = parse(&bytes);
                all.extend(ended);
                lines(&fair(all, now).sorted())
            };
            state.update(FILE, change)?;
            *mark = state.mark(FILE);
            Ok(())
        });
        written.await?
    }

    /// Does something with the file on a thread of its own.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StateDir, &mut Option<FileMark>) -> T + Send + 'static,
    ) -> Result<T, RecordError> {
        let (done, result) = oneshot::channel();
        let (state, mark) = (self.state.clone(), Arc::clone(&self.mark));
        let thread = thread::Builder::new().name("state".to_owned());
        let work = move || {
            let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody waits for it any more where the gateway has run out of time.
            let _ = done.send(work(&state, &mut mark));
        };
        thread
            .spawn(work)
            .map_err(|_refused| RecordError::NoThread)?;
        result.await.map_err(|_died| RecordError::NoThread)
    }

    /// Whether there is a file; without one what ends is forgotten with the process, as the memory is.
    pub(super) fn is_on_disk(&self) -> bool {
        self.state.path().is_some()
    }
}

fn lines(ended: &[EndedSession]) -> Vec<u8> {
    let mut text = Vec::with_capacity(ended.len() * LINE_BYTES);
    for EndedSession { key, owner, ended } in ended {
        text.extend(key);
        text.extend(format!(" {ended} {}\n", hex::encode(owner.0)).bytes());
    }
    text
}

/// Those whose ids are genuine at `now`; where they are too many, each token has its share of them.
fn fair(mut ended: Vec<EndedSession>, now: u64) -> EndedMemory {
    // An id is genuine for that time after its session was opened, which was before its end.
    let life = sealed::LIFE.as_secs();
    ended.retain(|session| now < session.ended.saturating_add(life));
    EndedMemory::of(by_end(ended))
}

/// The sessions of a text, and how many lines of it name none.
fn parse(bytes: &[u8]) -> (Vec<EndedSession>, usize) {
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

fn parse_line(line: &[u8]) -> Option<EndedSession> {
    let (key, rest) = line.split_first_chunk::<RANDOM>()?;
    let rest = std::str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    // Earlier versions wrote no token.
    let (ended, owner) = rest
        .split_once(' ')
        .map_or((rest, None), |(ended, owner)| (ended, Some(owner)));
    let mut bytes = [0; OWNER_BYTES];
    if let Some(owner) = owner {
        hex::decode_to_slice(owner, &mut bytes).ok()?;
    }
    Some(EndedSession {
        key: *key,
        owner: SessionOwner(bytes),
        ended: ended.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::memory::MAX_ENDED;
    use super::*;

    const NOW: u64 = 2_000_000_000;

    fn session(letter: u8, ended: u64) -> EndedSession {
        EndedSession {
            key: [letter; RANDOM],
            owner: SessionOwner([letter; OWNER_BYTES]),
            ended,
        }
    }

    async fn add(
        record: &EndedRecord,
        ended: Vec<EndedSession>,
        now: u64,
    ) -> Result<(), RecordError> {
        if record.append(ended.clone()).await {
            return Ok(());
        }
        record.rewrite(ended, now).await
    }

    #[tokio::test]
    async fn what_has_expired_is_not_read_and_each_token_has_its_share() {
        let home = tempfile::tempdir().unwrap();
        let record = EndedRecord::new(StateDir::open(home.path()));
        let life = sealed::LIFE.as_secs();
        let ended = vec![session(b'a', NOW), session(b'b', NOW + 1)];
        add(&record, ended.clone(), NOW).await.unwrap();
        assert_eq!(record.read(NOW + life - 1).sorted(), ended);
        assert_eq!(record.read(NOW + life).sorted(), ended[1..]);

        let many = (0..=MAX_ENDED).map(|number| {
            let key = format!("{number:032}").into_bytes().try_into().unwrap();
            let ended = NOW + 2;
            EndedSession {
                key,
                ..session(b'c', ended)
            }
        });
        add(&record, many.collect(), NOW).await.unwrap();
        let read = record.read(NOW).sorted();
        assert_eq!(read.len(), MAX_ENDED);
        let others = [session(b'a', NOW), session(b'b', NOW + 1)];
        assert_eq!(read[..2], others, "they are other tokens'");
    }

    /// RD03: a session that ends costs a line, however many have ended before, and the record stays bounded.
    #[tokio::test]
    async fn a_session_is_added_as_a_line_and_the_record_stays_bounded() {
        use std::os::unix::fs::MetadataExt as _;

        let home = tempfile::tempdir().unwrap();
        let record = EndedRecord::new(StateDir::open(home.path()));
        let file = || home.path().join(FILE).metadata().unwrap();
        let key = |number: usize| format!("{number:032}").into_bytes().try_into().unwrap();
        let ended = |number| EndedSession {
            key: key(number),
            ..session(b'a', NOW)
        };
        add(&record, vec![ended(0)], NOW).await.unwrap();
        let first = file();
        assert_eq!(first.size(), u64::try_from(LINE_BYTES).unwrap());
        add(&record, vec![ended(1)], NOW).await.unwrap();
        assert_eq!(file().ino(), first.ino(), "it is not written anew");
        let most = u64::try_from(MAX_BYTES).unwrap();
        let later = NOW + sealed::LIFE.as_secs();
        for round in 1..=4 {
            let numbers = round * MAX_ENDED..(round + 1) * MAX_ENDED;
            let ended = numbers.map(|number| EndedSession {
                ended: later,
                ..ended(number)
            });
            add(&record, ended.collect(), later).await.unwrap();
            assert!(file().size() <= most, "{} bytes", file().size());
        }
        let text = std::fs::read_to_string(home.path().join(FILE)).unwrap();
        let is_written = |number: usize| text.contains(&format!("{number:032}"));
        assert!(!is_written(1), "it has expired");
        assert!(is_written(5 * MAX_ENDED - 1));
    }

    #[tokio::test]
    async fn lines_that_name_no_session_are_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(home.path());
        let good = [&[b'g'; RANDOM][..], b" 1999999999\n"].concat();
        let bad: [&[u8]; 5] = [b"x\n", b"\xff\xfe\n", &[b'x'; RANDOM], b"\n", &[0; 5000]];
        let text = [&good[..], &bad.concat()].concat();
        state.write(FILE, &text).unwrap();
        let record = EndedRecord::new(state);
        let of_earlier_version = EndedSession {
            owner: SessionOwner::default(),
            ..session(b'g', 1_999_999_999)
        };
        assert_eq!(record.read(NOW).sorted(), [of_earlier_version]);
        let added = session(b'h', NOW);
        add(&record, vec![added], NOW).await.unwrap();
        assert_eq!(record.read(NOW).sorted(), [of_earlier_version, added]);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_any_more_is_told() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(&home.path().join("state"));
        let record = EndedRecord::new(state);
        std::fs::remove_dir(home.path().join("state")).unwrap();
        let added = add(&record, vec![session(b'a', NOW)], NOW).await;
        assert!(matches!(added, Err(RecordError::State(_))), "{added:?}");
    }
}
