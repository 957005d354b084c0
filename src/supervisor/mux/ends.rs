//! The roads by which a request leaves the table, each of which sends its outcome.
//!
//! Outcomes are sent after the lock was given back: a receiver may run at once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Entry, Stage, Table};
use super::{Mux, Observer, Origin, Outcome};
use crate::fault::Fault;
use crate::instruments::DropReason;
use crate::supervisor::faults;
use crate::supervisor::machine::Gate;
use crate::types::Incarnation;

/// Who listens to a request that made progress.
pub(in crate::supervisor) enum Progress {
    /// This one wants to hear of it.
    Heard(Arc<dyn Observer>),
    /// Nobody; only its deadline was moved.
    Unheard,
    /// No such request is under way.
    Unknown,
}

impl Mux {
    /// The child answered; `false` where nobody waits for this id (late, twice, or invented).
    pub(in crate::supervisor) fn answer(&self, id: u64, outcome: Outcome) -> bool {
        let mut table = self.table();
        table.last_heard = Some(Instant::now());
        let written = table
            .entries
            .get(&id)
            .is_some_and(|entry| matches!(entry.stage, Stage::Written(_)));
        let Some(entry) = written.then(|| table.remove(id)).flatten() else {
            return false;
        };
        let more = !table.queue.is_empty();
        let is_last_word = table.is_last_word(&entry, &outcome);
        drop(table);
        let outcome = if is_last_word {
            Err(faults::lost())
        } else {
            outcome
        };
        entry.end(outcome, true);
        if more {
            self.writable.notify_one();
        }
        true
    }

    /// What an answer is that nobody waits for.
    pub(in crate::supervisor) fn unexpected(&self, id: u64) -> DropReason {
        if id < self.next_id.load(Ordering::Relaxed) {
            DropReason::LateReply
        } else {
            DropReason::UnknownReply
        }
    }

    /// The child reports progress of this request: its deadline starts anew.
    pub(in crate::supervisor) fn progress(&self, id: u64) -> Progress {
        let now = Instant::now();
        let mut table = self.table();
        table.last_heard = Some(now);
        let timeout = table.config.timeout;
        // Of what was not written the child cannot know: it guesses.
        let entry = table.entries.get_mut(&id);
        let Some(entry) = entry.filter(|entry| entry.is_written()) else {
            return Progress::Unknown;
        };
        entry.restart_clock(now, timeout);
        entry
            .submission
            .observer
            .clone()
            .map_or(Progress::Unheard, Progress::Heard)
    }

    /// Ends the picked entries with the fault that is found for each; gives how many were clients'.
    fn end(
        &self,
        which: impl Fn(&Entry) -> bool,
        fault_of: impl Fn(&mut Table, u64, &Entry) -> Fault,
    ) -> usize {
        self.end_in(self.table(), which, fault_of)
    }

    fn end_in(
        &self,
        mut table: MutexGuard<'_, Table>,
        which: impl Fn(&Entry) -> bool,
        fault_of: impl Fn(&mut Table, u64, &Entry) -> Fault,
    ) -> usize {
        let ended = take_out(&mut table, which, fault_of);
        self.tell(table, ended)
    }

    /// Gives the lock back and sends these outcomes; gives how many were clients'.
    fn tell(&self, table: MutexGuard<'_, Table>, ended: Vec<(Fault, Entry)>) -> usize {
        drop(table);
        self.writable.notify_one();
        let clients = ended.iter().filter(|(_, entry)| entry.is_clients()).count();
        for (fault, entry) in ended {
            entry.end(Err(fault), false);
        }
        clients
    }

    /// Cancels the request that this caller calls by that id; the child is told where it was written.
    ///
    /// `false`, and nothing happens, where no request of this caller bears that id, or several do: which
    /// of them was meant cannot be known.
    pub fn cancel(&self, origin: &Origin, reason: Option<&str>) -> bool {
        let mut table = self.table();
        let mut found = table
            .entries
            .iter()
            .filter(|(_, entry)| entry.submission.origin.as_ref() == Some(origin));
        let (Some((&id, _)), None) = (found.next(), found.next()) else {
            return false;
        };
        let Some(entry) = table.remove(id) else {
            return false;
        };
        let delivered = table.withdraw(id, &entry, reason.unwrap_or("cancelled by the client"));
        drop(table);
        self.writable.notify_one();
        entry.end(Err(faults::cancelled(delivered)), false);
        true
    }

    /// Cancels every request that was made in a session; the child is told where one was written.
    pub fn cancel_session(&self, session: &str) {
        self.end(
            |entry| {
                let origin = entry.submission.origin.as_ref();
                origin.and_then(|origin| origin.session.as_deref()) == Some(session)
            },
            |table, id, entry| {
                faults::cancelled(table.withdraw(id, entry, "the session has ended"))
            },
        );
    }

    /// Cancels this request for a client that is gone and whose revision takes that for a cancellation.
    pub fn abandon(&self, id: u64) {
        let mut table = self.table();
        let Some(entry) = table.remove(id) else {
            return;
        };
        let delivered = table.withdraw(id, &entry, "the client is gone");
        drop(table);
        self.writable.notify_one();
        entry.end(Err(faults::cancelled(delivered)), false);
    }

    /// Ends every request whose deadline has passed; gives their number.
    pub(in crate::supervisor) fn expire(&self, now: Instant, next_start: Option<Instant>) -> usize {
        let wait = next_start.map(|at| at.saturating_duration_since(now));
        let mut table = self.table();
        let overdue = table.overdue_turn(now);
        if let Some(entry) = overdue.and_then(|id| table.entries.get_mut(&id)) {
            entry.deadline = now;
        }
        // Those that wait first, while what they wait for is there: it may time out with them.
        let mut ended = take_out(
            &mut table,
            |entry| entry.deadline <= now && !entry.is_written(),
            |table, id, entry| {
                table.withdraw(id, entry, "timed out");
                if table.gate != Gate::Open {
                    return self.explain(faults::starting(wait));
                }
                let (block, config) = (table.write_block(entry), &table.config);
                faults::not_written(block, config, entry.limit(config))
            },
        );
        ended.extend(take_out(
            &mut table,
            |entry| entry.deadline <= now,
            |table, id, entry| {
                table.withdraw(id, entry, "timed out");
                if overdue == Some(id) {
                    faults::turn_taken(&table.config)
                } else {
                    entry.timeout(&table.config)
                }
            },
        ));
        self.tell(table, ended)
    }

    /// The gateway slept for this long: what waits gets that time back. Nothing waits longer for it than
    /// what is let in now, which may have been let in after the sleep.
    pub(in crate::supervisor) fn slept(&self, time: Duration) {
        let mut table = self.table();
        let (now, config) = (Instant::now(), table.config);
        for entry in table.entries.values_mut() {
            let latest = now + entry.submission.patience(&config);
            entry.deadline = entry.deadline.max((entry.deadline + time).min(latest));
            let latest = now + config.max;
            entry.hard_deadline = entry
                .hard_deadline
                .max((entry.hard_deadline + time).min(latest));
        }
    }

    /// This incarnation begins: what was left over for an earlier one is not for it.
    pub(in crate::supervisor) fn begin(&self, incarnation: Incarnation) {
        let mut table = self.table();
        table.life = Some(incarnation);
        table.writing = false;
        table.queue.drop_own();
        let own = table.take(|entry| !entry.is_clients());
        drop(table);
        end_unanswered(own, faults::lost);
    }

    /// The stdin of this incarnation is closed from now on: a result that it still writes is an answer, an error is not.
    pub(in crate::supervisor) fn closes(&self, incarnation: Incarnation) {
        self.table().closed = Some(incarnation);
    }

    /// This incarnation is lost: everything that was written to it ends with `server_lost`, and nothing
    /// is written for it any more. `true` the first time.
    pub(in crate::supervisor) fn lose(&self, incarnation: Incarnation) -> bool {
        let mut table = self.table();
        let first = table.life.take_if(|life| *life == incarnation).is_some();
        table.queue.drop_own();
        let written =
            table.take(|entry| entry.stage == Stage::Written(incarnation) || !entry.is_clients());
        let was_stopped = table.closed == Some(incarnation);
        drop(table);
        self.writable.notify_one();
        let fault = if was_stopped {
            faults::stopped_too_early
        } else {
            faults::lost
        };
        end_unanswered(written, fault);
        first
    }

    /// Ends everything that waits or is under way, because the gateway cannot wait for it any longer.
    pub(in crate::supervisor) fn give_up(&self) {
        self.end(
            |_| true,
            |table, id, entry| {
                faults::shutting_down(table.withdraw(id, entry, "the gateway is shutting down"))
            },
        );
    }

    /// Sets what is done with requests. Where they are refused from now on, those that wait are too.
    pub(in crate::supervisor) fn set_gate(&self, gate: Gate) {
        let now = Instant::now();
        let mut table = self.table();
        table.gate = gate;
        let config = table.config;
        match gate {
            Gate::Open => {
                for entry in table
                    .entries
                    .values_mut()
                    .filter(|entry| !entry.is_written())
                {
                    entry.deadline = now + entry.submission.patience(&config);
                }
                drop(table);
                self.writable.notify_one();
            }
            // What waits already was let in under its own deadline, and keeps it.
            Gate::Hold(_) => {}
            Gate::Asleep(_) => self.wake_for_waiting(&table),
            Gate::Stopped | Gate::Failed | Gate::ShuttingDown => {
                drop(table);
                self.refuse_waiting();
            }
        }
    }

    /// Ends what waits to be written, if the gate refuses requests.
    pub(super) fn refuse_waiting(&self) {
        let mut table = self.table();
        let gate = table.gate;
        if let Gate::Open | Gate::Hold(_) | Gate::Asleep(_) = gate {
            return;
        }
        table.queue.drop_waiting();
        let refused = table.take(|entry| entry.waits_for_the_gate() && !entry.is_written());
        drop(table);
        for (_, entry) in refused {
            entry.end(Err(self.explain(faults::refused(gate))), false);
        }
    }

    /// Requests that wait to be written must not wait longer than `hold` from now on.
    pub(in crate::supervisor) fn limit_hold(&self, hold: Duration) {
        let latest = Instant::now() + hold;
        for entry in self
            .table()
            .entries
            .values_mut()
            .filter(|entry| entry.is_clients() && !entry.is_written())
        {
            entry.deadline = entry.deadline.min(latest);
        }
    }
}

/// Takes out the picked entries, each with the fault that is found for it.
fn take_out(
    table: &mut Table,
    which: impl Fn(&Entry) -> bool,
    fault_of: impl Fn(&mut Table, u64, &Entry) -> Fault,
) -> Vec<(Fault, Entry)> {
    let taken = table.take(which).into_iter();
    taken
        .map(|(id, entry)| (fault_of(table, id, &entry), entry))
        .collect()
}

/// Ends requests that a lost life leaves unanswered.
fn end_unanswered(entries: Vec<(u64, Entry)>, fault: fn() -> Fault) {
    for (_, entry) in entries {
        entry.end(Err(fault()), true);
    }
}
