//! The guard's wait, and the stop ladder: grace, SIGTERM and SIGCONT, grace, SIGKILL, reap.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

use super::control::{Order, Report, Wakes, report};
use super::tree::Tree;
use crate::supervisor::status::Exit;

/// With the gateway gone nobody waits for a server's last words: everything is to be gone within 3 s.
const ORPHAN_GRACE: Duration = Duration::from_millis(800);
/// How often the tree is looked at while it is being ended; no event tells of a process that is not ours.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How long the guard goes on killing what does not die (a process in an uninterruptible wait).
const KILL_CAP: Duration = Duration::from_secs(10);

/// How far the end has got.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The server runs.
    Running,
    /// Its stdin was closed; it may end by itself.
    Grace { until: Instant },
    /// Everything was asked to end.
    Term { until: Instant },
    /// Everything is being killed.
    Kill { until: Instant },
}

/// Waits until the server and all that it started are gone.
pub(super) fn watch(server: Pid, stop_grace: Duration, term_grace: Duration, wakes: &Wakes) {
    let mut guard = Guard {
        tree: Tree::of(server),
        ended: false,
        orphaned: false,
        stage: Stage::Running,
        stop_grace,
        term_grace,
    };
    while !guard.is_done() {
        let order = wakes.wait(guard.timeout(), guard.orphaned);
        guard.turn(order, Instant::now());
    }
}

struct Guard {
    tree: Tree,
    /// The server has ended and was reaped.
    ended: bool,
    orphaned: bool,
    stage: Stage,
    stop_grace: Duration,
    term_grace: Duration,
}

impl Guard {
    fn turn(&mut self, order: Option<Order>, now: Instant) {
        match order {
            Some(Order::Look) => {
                self.tree.look();
                report(&Report::Looked);
            }
            Some(Order::Stop) => self.stop(now),
            Some(Order::Kill) => self.kill(now),
            Some(Order::Orphaned) => {
                self.orphaned = true;
                self.stop_grace = self.stop_grace.min(ORPHAN_GRACE);
                self.term_grace = self.term_grace.min(ORPHAN_GRACE);
                self.stop(now);
            }
            None => {}
        }
        self.notice_end(now);
        match self.stage {
            Stage::Grace { until } if now >= until => self.term(now),
            Stage::Term { until } if now >= until => self.kill(now),
            // Again and again: a process may have forked between two looks.
            Stage::Kill { .. } => self.tree.signal(&[Signal::KILL]),
            Stage::Running | Stage::Grace { .. } | Stage::Term { .. } => {}
        }
    }

    // Running => Grace; a gateway that dies during a stop shortens what is left of it
    fn stop(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Running => {
                self.tree.look();
                self.stage = Stage::Grace {
                    until: now + self.stop_grace,
                };
            }
            Stage::Grace { until } => *until = (*until).min(now + self.stop_grace),
            Stage::Term { until } => *until = (*until).min(now + self.term_grace),
            Stage::Kill { .. } => {}
        }
    }

    // (Running | Grace) => Term
    fn term(&mut self, now: Instant) {
        // A stopped process would not get to see the SIGTERM alone.
        self.tree.signal(&[Signal::TERM, Signal::CONT]);
        self.stage = Stage::Term {
            until: now + self.term_grace,
        };
    }

    // any => Kill
    fn kill(&mut self, now: Instant) {
        self.tree.signal(&[Signal::KILL]);
        self.stage = Stage::Kill {
            until: now + KILL_CAP,
        };
    }

    /// Reaps what has ended; tells the gateway when that was the server, and turns to what it left behind.
    fn notice_end(&mut self, now: Instant) {
        let Some(status) = self.tree.reap() else {
            return;
        };
        self.ended = true;
        let exit = match status.exit_status() {
            Some(code) => Exit::Code(code),
            None => Exit::Signal(status.terminating_signal().unwrap_or(0)),
        };
        report(&Report::Ended(exit));
        if let Stage::Running | Stage::Grace { .. } = self.stage {
            self.term(now);
        }
    }

    fn is_done(&mut self) -> bool {
        let out_of_time = matches!(self.stage, Stage::Kill { until } if Instant::now() >= until);
        self.ended && (self.tree.is_empty() || out_of_time)
    }

    fn timeout(&self) -> Option<Duration> {
        let until = match self.stage {
            Stage::Running => return None,
            Stage::Grace { until } => until,
            Stage::Term { until } if !self.ended => until,
            Stage::Term { .. } | Stage::Kill { .. } => return Some(LOOK_AGAIN),
        };
        Some(until.saturating_duration_since(Instant::now()))
    }
}
