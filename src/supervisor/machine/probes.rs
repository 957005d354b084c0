//! Answers to probes, and those that do not come.

use tokio::time::Instant;

use super::{Action, Machine, State};

impl Machine {
    // Unhealthy => Ready
    pub(super) fn probe_answered(&mut self) -> Vec<Action> {
        if let State::Unhealthy { since, .. } = self.state {
            self.state = State::Ready { since };
            self.last_error = None;
            return vec![Action::Note("answers probes again".to_owned())];
        }
        Vec::new()
    }

    // Ready => Unhealthy; Unhealthy => (Unhealthy | Stopping)
    pub(super) fn probe_missed(&mut self, now: Instant) -> Vec<Action> {
        let (since, misses) = match self.state {
            State::Ready { since } => (since, 1),
            State::Unhealthy { since, misses } => (since, misses + 1),
            State::Stopped(_)
            | State::Starting { .. }
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Failed { .. } => {
                return Vec::new();
            }
        };
        self.state = State::Unhealthy { since, misses };
        if misses >= self.probe_misses {
            return self.broke(format!("did not answer {misses} probes in a row"), now);
        }
        let reason = "did not answer the last probe".to_owned();
        self.last_error = Some(reason.clone());
        vec![Action::Note(reason)]
    }
}
