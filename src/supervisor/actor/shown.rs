//! What others see of an actor: its machine in the words of a status.

use std::sync::Arc;

use super::Actor;
use crate::supervisor::hint;
use crate::supervisor::machine::{Next, Rest, Retry, State};
use crate::supervisor::process_name::log_process;
use crate::supervisor::status::{self, Status};

impl Actor {
    /// Logs why the state has changed.
    pub(super) fn note(&self, reason: &str) {
        let id = &self.shared.config.id;
        let state = state_word(self.machine.state());
        match self.machine.state() {
            State::Failed { .. } => {
                let stderr = self.shared.stderr.tail(5).join("\n");
                let hint = self.hint();
                log_process!(
                    error,
                    self.name(),
                    state,
                    reason,
                    hint,
                    stderr,
                    "server {id} has failed"
                );
            }
            State::Stopped(_)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. } => {
                log_process!(warn, self.name(), state, reason, "server {id} {reason}");
            }
        }
    }

    /// Shows the state as of now.
    pub(super) fn publish(&self) {
        let state = self.machine.state();
        let handshake = self.handshake.borrow().clone();
        let alive = matches!(
            state,
            State::Starting { .. }
                | State::Ready { .. }
                | State::Unhealthy { .. }
                | State::Stopping(_)
        );
        let status = Status {
            state: state_of(state),
            asleep: matches!(state, State::Stopped(Rest::Asleep)),
            tries_on_request: state == &State::Failed(Retry::OnRequest),
            awaits_first_start: self.machine.awaits_first_start(),
            pid: self.pid,
            incarnation: self.machine.incarnation(),
            session_id: self.session_id.clone().filter(|_| alive),
            restart_count: self.machine.restart_count(),
            ready_since: match state {
                State::Ready { since } | State::Unhealthy { since, .. } => Some(*since),
                State::Stopped(_)
                | State::Starting { .. }
                | State::Stopping(_)
                | State::Backoff { .. }
                | State::Failed { .. } => None,
            },
            next_start: state.next_start(),
            last_exit: self.last_exit.map(|(exit, _)| exit),
            last_exit_at: self.last_exit.map(|(_, at)| at),
            last_error: self.machine.last_error().map(|reason| match self.hint() {
                Some(hint) => format!("{reason}; {hint}"),
                None => reason.to_owned(),
            }),
            protocol: handshake
                .as_ref()
                .map(|handshake| handshake.revision.clone()),
            server_info: handshake.map(|handshake| Arc::clone(&handshake.server_info)),
        };
        self.status.send_replace(Arc::new(status));
    }
}

impl Actor {
    /// A variable that the server may lack, where it has failed.
    pub(super) fn hint(&self) -> Option<String> {
        match self.machine.state() {
            State::Failed(_)
            | State::Backoff { .. }
            | State::Stopping(Next::Retry | Next::GiveUp) => {
                let withheld = &self.shared.config.launch.withheld;
                hint::of_withheld(withheld, &self.shared.stderr.tail(hint::LINES))
            }
            State::Stopped(_)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(Next::Rest(_) | Next::Start | Next::Again) => None,
        }
    }
}

/// The state in one word.
fn state_of(state: &State) -> status::State {
    match state {
        State::Stopped(_) => status::State::Stopped,
        State::Starting { .. } => status::State::Starting,
        State::Ready { .. } => status::State::Ready,
        State::Unhealthy { .. } => status::State::Unhealthy,
        State::Stopping(Next::Rest(_) | Next::Start | Next::Retry | Next::Again | Next::GiveUp) => {
            status::State::Stopping
        }
        State::Backoff { .. } => status::State::Backoff,
        State::Failed { .. } => status::State::Failed,
    }
}

/// The same as it is written.
pub(super) fn state_word(state: &State) -> &'static str {
    state_of(state).as_str()
}
