//! The sessions that have ended for good and whose ids are genuine all the same.

mod memory;
mod record;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::state_dir::StateDir;
use crate::types::{TokenFingerprint, wall};
use memory::{EndedMemory, EndedSession, SessionOwner, session_key};
use record::{EndedRecord, RecordError};

/// Between two writes of the record, each of which waits for the disk.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// After a write that has failed, such as on a full disk.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Remembers which sessions must not be made anew, as long as their ids are genuine; over a restart by a file of the state
/// directory.
#[derive(Debug)]
pub(super) struct EndedSessions {
    memory: Mutex<EndedMemory>,
    changed: Notify,
    record: EndedRecord,
}

impl EndedSessions {
    /// Those of the record of a state directory.
    pub(super) fn load(state: &StateDir) -> Self {
        let record = EndedRecord::new(state.clone());
        let memory = record.read(now());
        Self {
            memory: Mutex::new(memory),
            changed: Notify::new(),
            record,
        }
    }

    fn memory(&self) -> MutexGuard<'_, EndedMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session of a token has ended.
    pub(super) fn insert(&self, id: &str, token: &TokenFingerprint) {
        let Some(key) = session_key(id) else {
            return;
        };
        let session = EndedSession {
            key,
            owner: SessionOwner::of(token),
            ended: now(),
        };
        self.memory().insert(session);
        self.changed.notify_one();
    }

    /// Whether a session has ended.
    pub(super) fn contains(&self, id: &str) -> bool {
        session_key(id).is_some_and(|key| self.memory().contains(&key))
    }

    /// Writes the record soon after a session has ended, for several together where they end in quick succession, and again
    /// where that has failed. Returns after a last write once `stop` is cancelled.
    pub(super) async fn write_record(&self, stop: &CancellationToken) {
        let (mut stopping, mut failed) = (false, false);
        while !stopping {
            tokio::select! {
                () = stop.cancelled() => stopping = true,
                () = self.changed.notified(), if !failed => {}
                () = sleep(RETRY_INTERVAL), if failed => {}
            }
            failed = self.write_unsaved(failed).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(WRITE_INTERVAL) => {}
            }
        }
    }

    /// Writes the record where it is not up to date; `true` where that has failed. `failed` tells that it did before.
    async fn write_unsaved(&self, failed: bool) -> bool {
        let unsaved = self.memory().take_unsaved();
        if unsaved.is_empty() || !self.record.is_on_disk() {
            return false;
        }
        let Err(error) = self.write(unsaved).await else {
            if failed {
                tracing::info!("the record of ended sessions is written again");
            }
            return false;
        };
        self.memory().set_unsaved();
        if !failed {
            tracing::warn!(
                %error,
                "sessions that were ended by their clients may go on after a restart, because their record is not written, which is tried again: {error}"
            );
        }
        true
    }

    async fn write(&self, unsaved: Vec<EndedSession>) -> Result<(), RecordError> {
        if self.record.append(unsaved).await {
            return Ok(());
        }
        let all = self.memory().take_all();
        self.record.rewrite(all, now()).await
    }
}

fn now() -> u64 {
    wall::millis() / 1000
}

#[cfg(test)]
mod tests;
