//! What the machine makes of a config that has changed.

use tokio::time::Instant;

use super::{Action, BareStart, Config, DISABLED, EraProbe, Machine, Next, Rest, Retry, State};

/// What a new config means for the process of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) enum Change {
    /// It would be the same process.
    None,
    /// It would be another process.
    Process,
}

impl Machine {
    /// Takes another config for the same server.
    ///
    /// A process that would be another now is replaced, one that was given up gets another chance, and a
    /// server that was stopped stays so: an operator's word outlives a change of the config.
    pub(in crate::supervisor) fn configure(
        &mut self,
        config: &Config,
        change: Change,
        now: Instant,
    ) -> Vec<Action> {
        let (before, was_disabled) = (self.gate(), self.disabled);
        if change == Change::Process {
            // Another program may be of another era.
            self.era_probe = EraProbe::new(config.era);
            self.bare_start = BareStart::new(config);
        }
        self.restarts
            .configure(config.backoff, config.restart_limit);
        self.policy = config.restart_policy;
        self.disabled = config.disabled;
        self.refused.clone_from(&config.refused);
        self.startup_timeout = config.startup_timeout;
        self.failed_retry = config.failed_retry;
        self.hold = config.requests.hold;
        self.drain = config.drain;
        self.probe_misses = config.probe.misses;
        let actions = match (was_disabled, config.disabled) {
            (false, true) => self.disable(now),
            (true, true) => Vec::new(),
            (true, false) if self.refused.is_some() => {
                self.enable();
                self.refuse(now)
            }
            (false, false) if self.refused.is_some() => self.refuse(now),
            (true, false) => {
                self.enable();
                self.wake(config, now)
            }
            (false, false) if change == Change::Process => {
                let mut actions = self.replace(now);
                actions.extend(self.wake(config, now));
                actions
            }
            (false, false) => self.wake(config, now),
        };
        self.with_gate(before, actions)
    }

    fn disable(&mut self, now: Instant) -> Vec<Action> {
        let actions = self.rest(Rest::Decided, now);
        self.last_error = Some(DISABLED.to_owned());
        actions
    }

    // Stopped(Decided) => Stopped(Asleep), also where the last process is still on its way out
    fn enable(&mut self) {
        match &mut self.state {
            State::Stopped(rest @ Rest::Decided)
            | State::Stopping(Next::Rest(rest @ Rest::Decided)) => {
                *rest = Rest::Asleep;
                self.last_error = None;
            }
            State::Stopped(Rest::Asleep | Rest::Shutdown)
            | State::Stopping(
                Next::Rest(Rest::Asleep | Rest::Shutdown)
                | Next::Start
                | Next::Retry
                | Next::Again
                | Next::GiveUp,
            )
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => {}
        }
    }

    // (Stopped(Asleep) | Backoff) => Failed; (Starting | Ready | Unhealthy) => Stopping(GiveUp), as does what stops to
    // start again
    fn refuse(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Stopped(Rest::Decided | Rest::Shutdown)
            | State::Stopping(Next::Rest(Rest::Decided | Rest::Shutdown)) => return Vec::new(),
            State::Stopped(Rest::Asleep) | State::Backoff { .. } | State::Failed(_) => {
                self.state = State::Failed(Retry::Never);
            }
            State::Stopping(
                Next::Rest(Rest::Asleep) | Next::Start | Next::Retry | Next::Again | Next::GiveUp,
            ) => self.state = State::Stopping(Next::GiveUp),
            State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } => {
                self.last_error.clone_from(&self.refused);
                return self.drain(Next::GiveUp, now);
            }
        }
        self.last_error.clone_from(&self.refused);
        Vec::new()
    }

    // Stopped(Asleep) => Starting, where it is to run without being asked for
    fn wake(&mut self, config: &Config, now: Instant) -> Vec<Action> {
        match &mut self.state {
            State::Stopped(Rest::Asleep) if config.autostart => self.start(now),
            State::Stopping(next @ Next::Rest(Rest::Asleep)) if config.autostart => {
                *next = Next::Start;
                Vec::new()
            }
            State::Stopped(_)
            | State::Stopping(_)
            | State::Starting { .. }
            | State::Ready { .. }
            | State::Unhealthy { .. }
            | State::Backoff { .. }
            | State::Failed { .. } => Vec::new(),
        }
    }

    // (Starting | Ready | Unhealthy | Stopping(Retry | Again | GiveUp)) => Stopping(Start); (Backoff | Failed) => Starting
    fn replace(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } => {
                self.restarts.forget();
                self.last_error =
                    Some("restarted, because its configuration has changed".to_owned());
                self.drain(Next::Start, now)
            }
            State::Stopping(Next::Retry | Next::Again | Next::GiveUp) => {
                self.restarts.forget();
                self.state = State::Stopping(Next::Start);
                Vec::new()
            }
            State::Backoff { .. } | State::Failed { .. } => {
                self.restarts.forget();
                self.start(now)
            }
            State::Stopped(_) | State::Stopping(Next::Rest(_) | Next::Start) => Vec::new(),
        }
    }
}
