//! The sessions that have ended for good and whose ids are genuine all the same.

mod record;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::state_dir::StateDir;
use crate::types::wall;
use record::EndedRecord;

/// Ids that are remembered; those that ended longest ago give way. Each takes some 120 bytes.
const MAX_ENDED: usize = 16 * 1024;
/// Random characters at the beginning of an id, which tell it from every other.
const RANDOM: usize = 32;
/// Between two writes of the record, which may have 1 MB.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// The part of an id by which its session is known to have ended. No session can be found by it.
type SessionKey = [u8; RANDOM];

/// Remembers which sessions must not be made anew, as long as their ids are genuine; over a restart by a file of the state
/// directory.
#[derive(Debug)]
pub(super) struct EndedSessions {
    memory: Mutex<EndedMemory>,
    changed: Notify,
    record: EndedRecord,
}

#[derive(Debug, Default)]
struct EndedMemory {
    /// When each has ended, in seconds of Unix time.
    times: HashMap<SessionKey, u64>,
    in_order: VecDeque<SessionKey>,
    /// Some have ended since the record was written.
    is_unsaved: bool,
}

impl EndedSessions {
    /// Those of the record of a state directory.
    pub(super) fn load(state: &StateDir) -> Self {
        let record = EndedRecord::new(state.clone());
        let mut memory = EndedMemory::default();
        for (key, ended) in record.read(now()) {
            memory.insert(key, ended);
        }
        Self {
            memory: Mutex::new(memory),
            changed: Notify::new(),
            record,
        }
    }

    fn memory(&self) -> MutexGuard<'_, EndedMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session has ended.
    pub(super) fn insert(&self, id: &str) {
        let Some(key) = key(id) else {
            return;
        };
        let mut memory = self.memory();
        memory.insert(key, now());
        memory.is_unsaved = true;
        drop(memory);
        self.changed.notify_one();
    }

    /// Whether a session has ended.
    pub(super) fn contains(&self, id: &str) -> bool {
        key(id).is_some_and(|key| self.memory().times.contains_key(&key))
    }

    /// Writes the record soon after a session has ended, for several together where they end in quick succession. Returns
    /// after a last write once `stop` is cancelled.
    pub(super) async fn write_record(&self, stop: &CancellationToken) {
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                () = stop.cancelled() => stopping = true,
                () = self.changed.notified() => {}
            }
            let unsaved = self.memory().take_unsaved();
            if let Some(ended) = unsaved
                && let Err(error) = self.record.add(ended, now()).await
            {
                // Written with the next ones.
                self.memory().is_unsaved = true;
                tracing::warn!(
                    %error,
                    "sessions that were ended by their clients may go on after a restart, because their record is not written: {error}"
                );
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(WRITE_INTERVAL) => {}
            }
        }
    }
}

impl EndedMemory {
    fn insert(&mut self, key: SessionKey, ended: u64) {
        if self.times.insert(key, ended).is_some() {
            return;
        }
        self.in_order.push_back(key);
        if self.in_order.len() > MAX_ENDED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.times.remove(&oldest);
        }
    }

    /// All of them, unless the record has them.
    fn take_unsaved(&mut self) -> Option<Vec<(SessionKey, u64)>> {
        let is_unsaved = std::mem::take(&mut self.is_unsaved);
        is_unsaved.then(|| self.times.iter().map(|(key, at)| (*key, *at)).collect())
    }
}

fn key(id: &str) -> Option<SessionKey> {
    id.as_bytes().first_chunk::<RANDOM>().copied()
}

fn now() -> u64 {
    wall::millis() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> String {
        format!("{number:032}-rest")
    }

    #[test]
    fn the_sessions_that_ended_last_are_remembered() {
        let ended = EndedSessions::load(&StateDir::in_memory());
        for number in 0..=MAX_ENDED {
            ended.insert(&id(number));
            ended.insert(&id(number));
        }
        assert!(!ended.contains(&id(0)));
        assert!(ended.contains(&id(1)) && ended.contains(&id(MAX_ENDED)));
        assert_eq!(ended.memory().times.len(), MAX_ENDED);
        assert_eq!(ended.memory().in_order.len(), MAX_ENDED);
        assert!(!ended.contains("short"));
    }

    /// RA13: sessions that were ended stay ended over a restart, those of another gateway with the same folder too.
    #[tokio::test(start_paused = true)]
    async fn what_has_ended_is_known_to_the_next_process() {
        let home = tempfile::tempdir().unwrap();
        let load = || EndedSessions::load(&StateDir::open(home.path()));
        let (one, other) = (load(), load());
        let stop = CancellationToken::new();
        for (ended, number) in [(&one, 1), (&other, 2)] {
            ended.insert(&id(number));
        }
        stop.cancel();
        one.write_record(&stop).await;
        other.write_record(&stop).await;
        let next = load();
        assert!(next.contains(&id(1)) && next.contains(&id(2)) && !next.contains(&id(3)));
        assert!(next.memory().take_unsaved().is_none(), "nothing is new");
    }

    #[tokio::test(start_paused = true)]
    async fn the_record_is_written_at_once_and_then_once_an_interval() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(home.path());
        let (ended, stop) = (EndedSessions::load(&state), CancellationToken::new());
        let lines = || {
            let bytes = state.read(record::FILE).unwrap().unwrap_or_default();
            String::from_utf8(bytes).unwrap().lines().count()
        };
        let writing = ended.write_record(&stop);
        tokio::pin!(writing);
        let mut run = async |time| tokio::time::timeout(time, &mut writing).await.is_err();
        ended.insert(&id(1));
        // The clock is paused, and the thread that writes is not.
        while lines() == 0 {
            assert!(run(Duration::from_millis(1)).await);
        }
        ended.insert(&id(2));
        ended.insert(&id(3));
        assert!(run(WRITE_INTERVAL / 2).await);
        assert_eq!(lines(), 1);
        while lines() == 1 {
            assert!(run(Duration::from_millis(100)).await);
        }
        assert_eq!(lines(), 3);
    }
}
