//! The end of a life, and what the policy makes of it.

use tokio::time::Instant;

use super::{Action, Machine, Next, Rest, Retry, State};
use crate::supervisor::backoff::Verdict;
use crate::supervisor::config::RestartPolicy;
use crate::supervisor::status::Exit;

const LIMIT_REACHED: &str = "restart_limit reached";

fn given_up(why: &str, last: &str) -> String {
    format!("given up after {why}; last: {last}")
}

/// The reason of an end; that of a server that was ready and is given up names the limit.
fn explain_end(reason: String, next: Next, was_ready: bool) -> String {
    if was_ready && next == Next::GiveUp {
        return given_up(LIMIT_REACHED, &reason);
    }
    reason
}

impl Machine {
    // (Starting | Ready | Unhealthy) => Stopping(Start | Asleep | Retry | GiveUp): a process that is of no use is stopped
    pub(super) fn broke(&mut self, reason: String, now: Instant) -> Vec<Action> {
        if self.probe_is_to_blame() {
            let mut actions = self.stop(Next::Start);
            actions.push(self.note_blamed_probe(&reason));
            return actions;
        }
        let Some(was_ready) = self.count_life(now) else {
            // It answers nothing more: there is nothing to wait for.
            return self.end_drain();
        };
        let next = match (self.policy, was_ready) {
            (RestartPolicy::Never, true) => self.rest_after_crash(now),
            (RestartPolicy::Never, false) => Next::GiveUp,
            (RestartPolicy::Always | RestartPolicy::OnFailure, _) => Next::Retry,
        };
        let reason = self.with_remark(reason, was_ready);
        let reason = explain_end(reason, next, was_ready);
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
            return vec![self.note_blamed_probe(&format!("{exit} before it was ready"))];
        }
        self.drain_until = None;
        let Some(was_ready) = self.count_life(now) else {
            return Vec::new();
        };
        let before = if was_ready {
            ""
        } else {
            " before it was ready"
        };
        let next = match (self.policy, was_ready) {
            (RestartPolicy::Never | RestartPolicy::OnFailure, true) if exit.is_clean() => {
                Next::Rest(Rest::Asleep)
            }
            (RestartPolicy::Never, true) => self.rest_after_crash(now),
            (RestartPolicy::Always, true) if exit.is_clean() => Next::Again,
            (RestartPolicy::Always | RestartPolicy::OnFailure, _) => Next::Retry,
            (RestartPolicy::Never, false) => Next::GiveUp,
        };
        let reason = self.with_remark(format!("{exit}{before}"), was_ready);
        let reason = explain_end(reason, next, was_ready);
        self.last_error = Some(reason.clone());
        self.state = State::Stopping(next);
        let mut actions = vec![Action::Note(reason)];
        if !was_ready {
            actions.push(Action::LimitHold(self.hold));
        }
        actions
    }

    /// Decides after a crash of a server that is started by requests only: the next one starts it, as often as
    /// `restart_limit` allows.
    fn rest_after_crash(&mut self, now: Instant) -> Next {
        match self.restarts.next(now) {
            Verdict::After(_) => Next::Rest(Rest::Asleep),
            Verdict::GiveUp => Next::GiveUp,
        }
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

    fn note_blamed_probe(&mut self, reason: &str) -> Action {
        self.excuse_life(
            reason,
            "it was asked for its era by server/discover, which may be why: the next start begins with initialize",
        )
    }

    /// Notes that a life failed for a reason that the next one avoids: both are one start.
    pub(super) fn excuse_life(&mut self, reason: &str, why: &str) -> Action {
        self.excused_lives += 1;
        if self.incarnation <= self.first_start {
            self.first_start = self.incarnation.next();
        }
        let note = format!("{reason}; {why}");
        self.last_error = Some(self.with_remark(note.clone(), false));
        Action::Note(note)
    }

    /// The reason of an end and, where the start failed, what it has shown of its trouble.
    fn with_remark(&mut self, reason: String, was_ready: bool) -> String {
        match self.remark.take().filter(|_| !was_ready) {
            Some(remark) => format!("{reason}; {remark}"),
            None => reason,
        }
    }

    /// Books the end of a life; `None` where none was under way, else whether it was ready.
    fn count_life(&mut self, now: Instant) -> Option<bool> {
        match self.state {
            State::Ready { since } | State::Unhealthy { since, .. } => {
                self.bare_start.was_ready();
                self.restarts
                    .was_ready(now.saturating_duration_since(since));
                Some(true)
            }
            State::Starting { .. } => {
                self.bare_start.failed();
                self.restarts.failed_start();
                Some(false)
            }
            State::Stopped(_)
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Failed { .. } => None,
        }
    }

    // Stopping(next) => (Stopped | Starting | Backoff | Failed); a life that is gone without a word has broken
    pub(super) fn gone(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.drain_until = None;
        if let State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } = self.state {
            actions = self.broke("is gone".to_owned(), now);
        }
        let State::Stopping(next) = self.state else {
            return actions;
        };
        match next {
            Next::Rest(rest) => self.state = State::Stopped(rest),
            Next::Start => actions.extend(self.start(now)),
            Next::GiveUp => self.fail(now),
            Next::Again => {
                let until = now + self.restarts.delay();
                self.state = State::Backoff { until };
            }
            Next::Retry => match self.restarts.next(now) {
                Verdict::After(delay) => self.state = State::Backoff { until: now + delay },
                Verdict::GiveUp => {
                    self.fail(now);
                    let failed = self.restarts.failed_starts();
                    let why = if failed > 0 {
                        format!("{failed} failed starts in a row")
                    } else {
                        LIMIT_REACHED.to_owned()
                    };
                    let reason = given_up(&why, self.last_error.as_deref().unwrap_or("unknown"));
                    self.last_error = Some(reason.clone());
                    actions.push(Action::Note(reason));
                }
            },
        }
        actions
    }

    fn fail(&mut self, now: Instant) {
        self.state = State::Failed(if self.refused.is_some() {
            Retry::Never
        } else {
            Retry::At(now + self.restarts.pause(self.failed_retry))
        });
    }
}
