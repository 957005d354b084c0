//! The end of a life, and what the policy makes of it.

use tokio::time::Instant;

use super::{Action, Machine, Next, Rest, State};
use crate::supervisor::backoff::Verdict;
use crate::supervisor::config::RestartPolicy;
use crate::supervisor::status::Exit;

impl Machine {
    // (Starting | Ready | Unhealthy) => Stopping(Start | Retry | GiveUp): a process that is of no use is stopped
    pub(super) fn broke(&mut self, reason: String, now: Instant) -> Vec<Action> {
        if self.probe_is_to_blame() {
            let mut actions = self.stop(Next::Start);
            actions.push(self.note_blamed_probe(reason));
            return actions;
        }
        let Some(was_ready) = self.count_life(now) else {
            return Vec::new();
        };
        let next = if self.policy == RestartPolicy::Never {
            Next::GiveUp
        } else {
            Next::Retry
        };
        self.last_error = Some(reason.clone());
        let mut actions = self.stop(next);
        actions.push(Action::Note(reason));
        if !was_ready {
            actions.push(Action::LimitHold(self.hold));
        }
        actions
    }

    // (Starting | Ready | Unhealthy) => Stopping(Start | by policy): waits for what the process left behind
    pub(super) fn ended(&mut self, exit: Exit, now: Instant) -> Vec<Action> {
        if self.probe_is_to_blame() {
            self.state = State::Stopping(Next::Start);
            return vec![self.note_blamed_probe(format!("{exit} before it was ready"))];
        }
        let Some(was_ready) = self.count_life(now) else {
            return Vec::new();
        };
        let before = if was_ready {
            ""
        } else {
            " before it was ready"
        };
        let reason = format!("{exit}{before}");
        let next = match (self.policy, was_ready) {
            (RestartPolicy::Never, true) => Next::Rest(Rest::Decided),
            (RestartPolicy::OnFailure, true) if exit.is_clean() => Next::Rest(Rest::Decided),
            (RestartPolicy::Always | RestartPolicy::OnFailure, _) => Next::Retry,
            (RestartPolicy::Never, false) => Next::GiveUp,
        };
        self.last_error = Some(reason.clone());
        self.state = State::Stopping(next);
        let mut actions = vec![Action::Note(reason)];
        if !was_ready {
            actions.push(Action::LimitHold(self.hold));
        }
        actions
    }

    /// Whether a start that has just failed is the probe's fault and not the server's: it is neither counted
    /// nor waited after, whatever the policy, and the next life begins with `initialize`. Once for each
    /// server that was ready or ordered, so that one that never starts is given up as ever.
    fn probe_is_to_blame(&mut self) -> bool {
        let State::Starting { .. } = self.state else {
            return false;
        };
        self.era_probe.fail() && self.restarts.excuse()
    }

    fn note_blamed_probe(&mut self, reason: String) -> Action {
        if self.incarnation <= self.first_start {
            self.first_start = self.incarnation.next();
        }
        let note = format!(
            "{reason}; it was asked for its era by server/discover, which may be why: the next start begins with initialize"
        );
        self.last_error = Some(reason);
        Action::Note(note)
    }

    /// Books the end of a life; `None` where none was under way, else whether it was ready.
    fn count_life(&mut self, now: Instant) -> Option<bool> {
        match self.state {
            State::Ready { since } | State::Unhealthy { since, .. } => {
                self.restarts
                    .was_ready(now.saturating_duration_since(since));
                Some(true)
            }
            State::Starting { .. } => {
                self.restarts.failed_start();
                Some(false)
            }
            State::Stopped(_) | State::Stopping(_) | State::Backoff { .. } | State::Failed => None,
        }
    }

    // Stopping(next) => (Stopped | Starting | Backoff | Failed); a life that is gone without a word has broken
    pub(super) fn gone(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if let State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } = self.state {
            actions = self.broke("is gone".to_owned(), now);
        }
        let State::Stopping(next) = self.state else {
            return actions;
        };
        match next {
            Next::Rest(rest) => self.state = State::Stopped(rest),
            Next::Start => actions.extend(self.start(now)),
            Next::GiveUp => self.state = State::Failed,
            Next::Retry => match self.restarts.next(now) {
                Verdict::After(delay) => self.state = State::Backoff { until: now + delay },
                Verdict::GiveUp => {
                    self.state = State::Failed;
                    let failed = self.restarts.failed_starts();
                    let why = if failed > 0 {
                        format!("{failed} failed starts in a row")
                    } else {
                        "restart_limit reached".to_owned()
                    };
                    let reason = format!(
                        "given up after {why}; last: {}",
                        self.last_error.as_deref().unwrap_or("unknown")
                    );
                    self.last_error = Some(reason.clone());
                    actions.push(Action::Note(reason));
                }
            },
        }
        actions
    }
}
