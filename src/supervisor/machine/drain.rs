//! The time between the decision to stop a process and its stop, in which it answers what is under way.
//!
//! The machine is `Stopping` from the decision on: the gate is closed, so that new requests wait for the next process or
//! are refused. `Action::Stop` follows when the last request is answered, when the time is over, or when somebody
//! cannot wait. Two processes never overlap, because a server may hold a port or a device that its successor wants.

use tokio::time::Instant;

use super::{Action, Machine, Next, State};

impl Machine {
    /// Whether a process that is to stop still answers what is under way in it.
    pub(in crate::supervisor) fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    // (Ready | Unhealthy) => Stopping(next), with a drain before the stop; Starting => Stopping(next)
    pub(super) fn drain(&mut self, next: Next, now: Instant) -> Vec<Action> {
        let serves = matches!(self.state, State::Ready { .. } | State::Unhealthy { .. });
        if !serves || self.drain.is_zero() {
            return self.stop(next);
        }
        self.state = State::Stopping(next);
        self.drain_until = Some(now + self.drain);
        Vec::new()
    }

    /// Stops the process that was being drained, if one was.
    pub(super) fn end_drain(&mut self) -> Vec<Action> {
        let draining = self.drain_until.take();
        draining.map_or_else(Vec::new, |_until| vec![Action::Stop])
    }
}
