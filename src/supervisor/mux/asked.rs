//! What a child asks while requests are under way: whose requests these are, the answers it gets, and
//! the time that a person takes to think.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::frame::{Frame, Owner};
use super::{Mux, Observer};
use crate::types::{Incarnation, PrincipalId};

impl Mux {
    /// Has the answer to a request of the child written as soon as it reads.
    ///
    /// `false`, and nothing is written, where the life that asked is over, or too much of this owner waits for
    /// it already. `frame` is one line with its newline.
    pub fn reply(&self, incarnation: Incarnation, owner: Owner, frame: Bytes) -> bool {
        let mut table = self.table();
        // Compared under the lock under which a lost life is forgotten: nothing for it comes behind that.
        let taken =
            table.life == Some(incarnation) && table.queue.push(Frame::control(owner, frame));
        drop(table);
        if taken {
            self.writable.notify_one();
        }
        taken
    }

    /// Client requests that were written and not answered, oldest first: their minted ids, who sent
    /// them, and in which session.
    pub fn under_way(&self) -> Vec<(u64, PrincipalId, Option<Arc<str>>)> {
        let table = self.table();
        let written = table.entries.iter().filter(|(_, entry)| entry.is_written());
        let mut under_way: Vec<_> = written
            .filter_map(|(&id, entry)| {
                let origin = entry.submission.origin.as_ref()?;
                Some((id, origin.principal, origin.session.clone()))
            })
            .collect();
        drop(table);
        under_way.sort_unstable_by_key(|&(id, ..)| id);
        under_way
    }

    /// Who is told of the progress of this request, where it is under way.
    pub fn observer(&self, id: u64) -> Option<Arc<dyn Observer>> {
        let table = self.table();
        let entry = table.entries.get(&id).filter(|entry| entry.is_written());
        entry?.submission.observer.clone()
    }

    /// Stops the clock of this request while its client is being asked something for it; only the hard
    /// deadline goes on. Each call wants a [`Mux::resume`].
    ///
    /// `false` where no such request is under way.
    pub fn suspend(&self, id: u64) -> bool {
        let mut table = self.table();
        let entry = table.entries.get_mut(&id);
        let Some(entry) = entry.filter(|entry| entry.is_written()) else {
            return false;
        };
        entry.questions += 1;
        entry.asked_since.get_or_insert_with(Instant::now);
        entry.deadline = entry.hard_deadline;
        true
    }

    /// The client was asked: once no question is open, the time for an answer starts anew, bounded by
    /// the hard deadline. Does nothing where the request has ended or was not suspended.
    pub fn resume(&self, id: u64) {
        let mut table = self.table();
        let timeout = table.config.timeout;
        let entry = table.entries.get_mut(&id);
        if let Some(entry) = entry.filter(|entry| entry.questions > 0) {
            entry.questions -= 1;
            entry.asked_since = entry.asked_since.filter(|_| entry.questions > 0);
            entry.restart_clock(Instant::now(), timeout);
        }
    }
}
