//! Requests in each state: written, held or refused, and for how long.

use super::{Gate, Machine, Next, Rest, Retry, State};
use crate::types::Incarnation;

impl Machine {
    /// What is done with requests in the present state.
    pub(in crate::supervisor) fn gate(&self) -> Gate {
        match self.state {
            State::Ready { .. } | State::Unhealthy { .. } => Gate::Open,
            State::Starting { .. } if self.incarnation <= self.first_start => {
                Gate::Hold(self.startup_timeout)
            }
            // The predecessor of a server that has not run yet answers what is under way in it.
            State::Stopping(Next::Start) if self.incarnation == Incarnation::default() => {
                Gate::Hold(self.startup_timeout.saturating_add(self.drain))
            }
            State::Stopping(Next::Start) if self.incarnation < self.first_start => {
                Gate::Hold(self.startup_timeout)
            }
            // What is held begins to wait for the next process when the last one has finished its work.
            State::Stopping(Next::Start) if self.is_draining() => {
                Gate::Hold(self.hold.saturating_add(self.drain))
            }
            State::Starting { .. }
            | State::Backoff { .. }
            | State::Stopping(Next::Start | Next::Retry | Next::Again) => Gate::Hold(self.hold),
            State::Stopping(Next::Rest(Rest::Asleep))
                if self.incarnation == Incarnation::default() =>
            {
                Gate::Asleep(self.startup_timeout.saturating_add(self.drain))
            }
            State::Stopped(Rest::Asleep)
            | State::Stopping(Next::Rest(Rest::Asleep))
            | State::Failed(Retry::OnRequest) => Gate::Asleep(self.startup_timeout),
            State::Stopped(Rest::Decided) | State::Stopping(Next::Rest(Rest::Decided)) => {
                Gate::Stopped
            }
            State::Stopped(Rest::Shutdown) | State::Stopping(Next::Rest(Rest::Shutdown)) => {
                Gate::ShuttingDown
            }
            State::Failed(Retry::At(_) | Retry::Never) | State::Stopping(Next::GiveUp) => {
                Gate::Failed
            }
        }
    }

    /// True where a request waits as for a first start: the server sleeps, or has not been ready since it did.
    pub(in crate::supervisor) fn awaits_first_start(&self) -> bool {
        match self.state {
            State::Stopped(Rest::Asleep) | State::Stopping(Next::Rest(Rest::Asleep)) => true,
            State::Starting { .. } => self.incarnation <= self.first_start,
            State::Stopping(Next::Start) => self.incarnation < self.first_start,
            State::Stopped(Rest::Decided | Rest::Shutdown)
            | State::Stopping(
                Next::Rest(Rest::Decided | Rest::Shutdown)
                | Next::Retry
                | Next::Again
                | Next::GiveUp,
            )
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Backoff { .. }
            | State::Failed(_) => false,
        }
    }
}
