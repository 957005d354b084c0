//! The end of a process that the gateway brings about, and the line of the log about it.

use super::{Actor, OrderKind, Pace};
use crate::supervisor::machine::{Event, State};
use crate::supervisor::process_name::{ProcessName, log_process};
use crate::supervisor::status::Exit;

/// The reason of the end that an order brings a process, where it does; `None` is the end of the handles.
pub(super) fn reason_of(order: Option<&OrderKind>) -> &'static str {
    match order {
        Some(OrderKind::Start) => "started by the operator",
        Some(OrderKind::Stop(_)) => "stopped by the operator",
        Some(OrderKind::Restart(_)) => "restarted by the operator",
        Some(OrderKind::Configure(config)) if config.disabled => "disabled in the config",
        Some(OrderKind::Configure(_)) => "its entry in the config has changed",
        Some(OrderKind::Retire(reason)) => reason,
        Some(OrderKind::Shutdown) | None => "the gateway shuts down",
    }
}

impl Actor {
    /// Waits no longer for a predecessor: it is gone, or no process follows it.
    pub(super) fn end_wait(&mut self) {
        if !std::mem::take(&mut self.predecessors).is_empty() {
            self.step(Event::Gone);
        }
    }

    pub(super) fn end_process(&mut self, event: Event, pace: Pace) {
        self.step(event);
        if pace == Pace::Now {
            self.step(Event::Drained);
        }
    }

    /// Ends a drain that has nothing to wait for.
    pub(super) fn end_idle_drain(&mut self) {
        if self.machine.is_draining() && self.shared.mux.load().in_flight == 0 {
            self.step(Event::Drained);
        }
    }

    /// The name of the present or last process.
    pub(super) fn name(&self) -> ProcessName<'_> {
        let era = self.era.or_else(|| self.shared.era_wish.get());
        let incarnation = self.machine.incarnation();
        ProcessName::new(&self.shared.config, era, incarnation, self.named_pid)
    }

    /// Logs the end of a process that was to be stopped; any other end is noted by the machine. `asked` where the gateway
    /// had closed its stdin or signalled it: one that crashes before that, while it answers what is under way, was not
    /// stopped. A server that had to be killed may have lost what it was about to keep, so both are warnings.
    pub(super) fn tell_end_of_stop(&self, exit: Exit, asked: bool) {
        if !matches!(self.machine.state(), State::Stopping(_)) {
            return;
        }
        let (id, reason) = (&self.shared.config.id, &*self.end_reason);
        if !asked && !exit.is_clean() {
            log_process!(
                warn,
                self.name(),
                reason,
                %exit,
                "the process of server {id} {exit} while it was being stopped: {reason}"
            );
        } else if exit == Exit::Signal(9) {
            log_process!(
                warn,
                self.name(),
                reason,
                "server {id} was stopped by SIGKILL: {reason}"
            );
        } else {
            log_process!(info, self.name(), reason, %exit, "the process of server {id} {exit}: {reason}");
        }
    }
}
