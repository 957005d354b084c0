//! The life of one server as a pure function: state and event in, state and actions out.
//!
//! No IO, no await, no clock of its own; the actor carries the actions out and feeds the events back.
//! At most one process is wanted at any time: `Spawn` is only ever given after `Gone`.

mod bare_start;
mod configured;
mod drain;
mod ends;
mod first_message;
mod gate;
mod probes;
mod words;

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Restarts;
use super::config::{Config, RestartPolicy};
use super::status::STOPPED;
use crate::types::Incarnation;
use bare_start::BareStart;
use first_message::EraProbe;

pub(super) use configured::Change;
pub(super) use first_message::FirstMessage;
pub(super) use words::{Action, Event, Gate, Next, Rest, Retry, State};

/// Why a server that is disabled does not run.
const DISABLED: &str = "disabled in the configuration";

/// One server's state and what it depends on.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    state: State,
    incarnation: Incarnation,
    /// The life that the first start comes to: the first one, or the one after a probe that ended it.
    first_start: Incarnation,
    /// Lives that the era probe ended: the next one is not a restart.
    excused_lives: u64,
    era_probe: EraProbe,
    bare_start: BareStart,
    restarts: Restarts,
    policy: RestartPolicy,
    disabled: bool,
    /// The reason that there is nothing to start.
    refused: Option<String>,
    startup_timeout: Duration,
    failed_retry: Duration,
    hold: Duration,
    /// How long requests under way may take before their process is stopped.
    drain: Duration,
    /// The process that is to stop still answers, until then at the latest.
    drain_until: Option<Instant>,
    probe_misses: u32,
    last_error: Option<String>,
    /// What the start that is under way has shown of its trouble.
    remark: Option<String>,
}

impl Machine {
    pub(super) fn new(config: &Config, seed: u64) -> Self {
        let (state, last_error) = match &config.refused {
            _ if config.disabled => (State::Stopped(Rest::Decided), Some(DISABLED.to_owned())),
            Some(reason) => (State::Failed(Retry::Never), Some(reason.clone())),
            None => (State::Stopped(Rest::Asleep), None),
        };
        Self {
            state,
            incarnation: Incarnation::default(),
            first_start: Incarnation(1),
            excused_lives: 0,
            era_probe: EraProbe::new(config.era),
            bare_start: BareStart::new(config),
            restarts: Restarts::new(config.backoff, config.restart_limit, seed),
            policy: config.restart_policy,
            disabled: config.disabled,
            refused: config.refused.clone(),
            startup_timeout: config.startup_timeout,
            failed_retry: config.failed_retry,
            hold: config.requests.hold,
            drain: config.drain,
            drain_until: None,
            probe_misses: config.probe.misses,
            last_error,
            remark: None,
        }
    }

    /// Has the server wait for the processes of its predecessor, of which [`Event::Gone`] tells: they may hold a port
    /// or a device that its own process wants. Called before the first event.
    pub(super) fn follow_predecessor(&mut self) {
        self.state = State::Stopping(match self.state {
            State::Stopped(rest) => Next::Rest(rest),
            State::Failed(_) => Next::GiveUp,
            State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Backoff { .. } => return,
        });
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Starts after the first. A life that follows one that the era probe ended completes the same start.
    pub(super) fn restart_count(&self) -> u64 {
        let starts = self.incarnation.0.saturating_sub(self.excused_lives);
        starts.saturating_sub(1)
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Keeps what is to be said beside the error if this start fails.
    pub(super) fn note_remark(&mut self, remark: Option<String>) {
        self.remark = remark;
    }

    /// When `Timer` is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Starting { deadline } => Some(deadline),
            State::Backoff { until } => Some(until),
            State::Stopping(_) => self.drain_until,
            State::Failed(retry) => retry.at(),
            State::Stopped(_) | State::Ready { .. } | State::Unhealthy { .. } => None,
        }
    }

    /// The gateway slept for this long: a start and a drain get that time back. A delay does not: it is over.
    pub(super) fn slept(&mut self, time: Duration) {
        if let Some(until) = &mut self.drain_until {
            *until += time;
        }
        if let State::Starting { deadline } = &mut self.state {
            *deadline += time;
        }
    }

    /// Takes one event.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let before = self.gate();
        let actions = match event {
            Event::Demand => self.demand(now),
            Event::Start => self.operator_start(now),
            Event::Stop => self.rest(Rest::Decided, now),
            Event::Restart => self.operator_restart(now),
            Event::Running => self.running(),
            Event::Unread => self.unread(),
            Event::Retire => self.rest(Rest::Shutdown, now),
            Event::Shutdown => {
                let mut actions = self.rest(Rest::Shutdown, now);
                actions.extend(self.end_drain());
                actions
            }
            Event::Drained => self.end_drain(),
            Event::Ready => self.ready(now),
            Event::CannotStart(reason) => self.broke(reason, now),
            Event::Broken(reason) => self.broke(reason.to_owned(), now),
            Event::Ended(exit) => self.ended(exit, now),
            Event::Gone => self.gone(now),
            Event::ProbeAnswered => self.probe_answered(),
            Event::ProbeMissed => self.probe_missed(now),
            Event::Timer => self.timer(now),
        };
        self.with_gate(before, actions)
    }

    /// Says at the end what is done with requests, where that has changed.
    fn with_gate(&self, before: Gate, mut actions: Vec<Action>) -> Vec<Action> {
        let after = self.gate();
        if before != after {
            actions.push(Action::Gate(after));
        }
        actions
    }

    // (Stopped(Asleep) | Failed, when its time is up) => Starting; Stopping(Asleep) => Stopping(Start)
    fn demand(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Stopped(Rest::Asleep) | State::Failed(Retry::OnRequest) => {
                self.first_start = self.incarnation.next();
                self.start(now)
            }
            State::Stopping(Next::Rest(Rest::Asleep)) => {
                self.first_start = self.incarnation.next();
                self.state = State::Stopping(Next::Start);
                Vec::new()
            }
            State::Stopped(Rest::Decided | Rest::Shutdown)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(
                Next::Rest(Rest::Decided | Rest::Shutdown)
                | Next::Start
                | Next::Retry
                | Next::Again
                | Next::GiveUp,
            )
            | State::Backoff { .. }
            | State::Failed(Retry::At(_) | Retry::Never) => Vec::new(),
        }
    }

    // (Stopped | Backoff | Failed) => Starting; Stopping(..) => Stopping(Start)
    fn operator_start(&mut self, now: Instant) -> Vec<Action> {
        if self.disabled {
            return Vec::new();
        }
        match self.state {
            State::Stopped(Rest::Asleep | Rest::Decided)
            | State::Backoff { .. }
            | State::Failed { .. } => {
                self.restarts.forget();
                self.bare_start.forget();
                self.start(now)
            }
            State::Stopping(
                Next::Rest(Rest::Asleep | Rest::Decided) | Next::Retry | Next::Again | Next::GiveUp,
            ) => {
                self.restarts.forget();
                self.state = State::Stopping(Next::Start);
                Vec::new()
            }
            State::Stopped(Rest::Shutdown)
            | State::Stopping(Next::Rest(Rest::Shutdown) | Next::Start)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. } => Vec::new(),
        }
    }

    // (Starting | Ready | Unhealthy) => Stopping(Start), else as `operator_start`
    fn operator_restart(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } => {
                self.restarts.forget();
                self.bare_start.forget();
                self.last_error = Some("restarted by the operator".to_owned());
                self.drain(Next::Start, now)
            }
            State::Stopped(_)
            | State::Stopping(_)
            | State::Backoff { .. }
            | State::Failed { .. } => self.operator_start(now),
        }
    }

    // any => Stopped(rest), by way of Stopping where a process lives
    fn rest(&mut self, rest: Rest, now: Instant) -> Vec<Action> {
        match self.state {
            State::Stopped(Rest::Shutdown) | State::Stopping(Next::Rest(Rest::Shutdown)) => {
                Vec::new()
            }
            State::Stopped(_) | State::Backoff { .. } | State::Failed { .. } => {
                self.state = State::Stopped(rest);
                self.explain_rest(rest);
                Vec::new()
            }
            State::Stopping(_) => {
                self.state = State::Stopping(Next::Rest(rest));
                self.explain_rest(rest);
                Vec::new()
            }
            State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } => {
                self.explain_rest(rest);
                self.drain(Next::Rest(rest), now)
            }
        }
    }

    fn explain_rest(&mut self, rest: Rest) {
        if rest == Rest::Decided && !self.disabled {
            self.last_error = Some(STOPPED.to_owned());
        }
    }

    // Starting => Ready
    fn ready(&mut self, now: Instant) -> Vec<Action> {
        if let State::Starting { .. } = self.state {
            self.state = State::Ready { since: now };
            self.last_error = None;
        }
        Vec::new()
    }

    // Starting => Stopping(Start | Retry | GiveUp), when its time is up; (Backoff | Failed) => Starting. By policy
    // `never` a server that was given up is not started unasked: Failed => Failed, for the next request;
    // the end of a drain
    fn timer(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { deadline } if now >= deadline => {
                let timeout = self.startup_timeout.as_millis();
                let reason = format!(
                    "did not finish the handshake within startup_timeout_ms ({timeout} ms)"
                );
                self.retry_bare(&reason)
                    .unwrap_or_else(|| self.broke(reason, now))
            }
            State::Backoff { until } if now >= until => self.start(now),
            State::Failed(Retry::At(at)) if now >= at => {
                if self.policy == RestartPolicy::Never {
                    self.state = State::Failed(Retry::OnRequest);
                    return Vec::new();
                }
                self.start(now)
            }
            State::Stopping(_) if self.drain_until.is_some_and(|until| now >= until) => {
                self.end_drain()
            }
            State::Starting { .. }
            | State::Backoff { .. }
            | State::Stopped(_)
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Stopping(_)
            | State::Failed { .. } => Vec::new(),
        }
    }

    fn start(&mut self, now: Instant) -> Vec<Action> {
        if let Some(reason) = &self.refused {
            self.state = State::Failed(Retry::Never);
            self.last_error = Some(reason.clone());
            return Vec::new();
        }
        self.incarnation = self.incarnation.next();
        self.era_probe.begin();
        self.state = State::Starting {
            deadline: now + self.startup_timeout,
        };
        vec![Action::Spawn(self.incarnation)]
    }

    fn stop(&mut self, next: Next) -> Vec<Action> {
        self.state = State::Stopping(next);
        vec![Action::Stop]
    }
}

#[cfg(test)]
mod tests;
