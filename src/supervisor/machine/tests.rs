//! What the machine promises: by table, by the fault matrix, and under any sequence of events.

mod again;
mod configured;
mod drain;
mod era_probe;
mod properties;
mod told;

use std::time::Duration;

use tokio::time::Instant;

use super::{Action, Event, Gate, Machine, Next, Rest, Retry, State};
use crate::supervisor::config::{Config, RestartPolicy};
use crate::supervisor::fixture;
use crate::supervisor::status::Exit;
use crate::types::Incarnation;

const MS: Duration = Duration::from_millis(1);

/// A machine, a clock that only the test moves, and the process that the actions speak of.
///
/// Each step checks what must hold after every step.
#[derive(Clone)]
pub(super) struct Rig {
    machine: Machine,
    now: Instant,
    /// What the actor has set: the gate is an action, not only a state.
    gate: Gate,
    /// A process was started and `Gone` did not follow yet.
    alive: bool,
    spawns: u64,
}

impl Rig {
    pub(super) fn new(config: &Config) -> Self {
        let machine = Machine::new(config, 7);
        Self {
            gate: machine.gate(),
            machine,
            now: Instant::now(),
            alive: false,
            spawns: 0,
        }
    }

    pub(super) fn state(&self) -> &State {
        self.machine.state()
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state(), State::Failed { .. })
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let before = self.machine.state().clone();
        let early = event == Event::Timer
            && self
                .machine
                .deadline()
                .is_none_or(|deadline| self.now < deadline);
        let gone = event == Event::Gone;
        if gone {
            self.alive = false;
        }
        let actions = self.machine.step(event, self.now);
        if early {
            let after = (self.machine.state(), actions.as_slice());
            assert_eq!(after, (&before, &[][..]), "too early");
        }
        self.book(&before, &actions, gone);
        actions
    }

    /// Does what the actions say, and checks what must hold after them.
    fn book(&mut self, before: &State, actions: &[Action], gone: bool) {
        for action in actions {
            match action {
                Action::Spawn(incarnation) => {
                    assert!(!self.alive, "two processes at once, from {before:?}");
                    self.alive = true;
                    self.spawns += 1;
                    assert_eq!(*incarnation, Incarnation(self.spawns));
                }
                Action::Stop => assert!(self.alive || gone, "nothing to stop in {before:?}"),
                Action::Gate(gate) => self.gate = *gate,
                Action::LimitHold(_) | Action::Note(_) => {}
            }
        }
        let state = self.machine.state();
        if gone {
            assert!(!matches!(state, State::Stopping(_)), "stuck in {state:?}");
        }
        let running = matches!(state, State::Ready { .. } | State::Unhealthy { .. });
        let living = running || matches!(state, State::Starting { .. } | State::Stopping(_));
        assert_eq!(living, self.alive, "in {state:?}");
        assert_eq!(self.gate, self.machine.gate(), "the actor was not told");
        assert_eq!(self.gate == Gate::Open, running, "in {state:?}");
    }

    /// Lets time pass until the machine's own deadline, and tells it.
    pub(super) fn until_due(&mut self) {
        self.now = self.now.max(self.machine.deadline().expect("a deadline"));
        self.step(Event::Timer);
    }

    /// The process ends in this way and leaves nothing behind.
    pub(super) fn end(&mut self, exit: Exit) {
        self.step(Event::Ended(exit));
        self.step(Event::Gone);
    }

    /// How long the machine waits before its next start.
    pub(super) fn delay(&self) -> Duration {
        match self.state() {
            State::Backoff { until } => *until - self.now,
            other => panic!("expected a wait for the next start, not {other:?}"),
        }
    }

    fn started(config: &Config) -> Self {
        let mut rig = Self::new(config);
        rig.step(Event::Start);
        rig
    }

    fn ready(config: &Config) -> Self {
        let mut rig = Self::started(config);
        rig.step(Event::Ready);
        rig
    }
}

#[track_caller]
pub(super) fn assert_jittered(delay: Duration, nominal: Duration) {
    let (low, high) = (nominal.mul_f64(0.799), nominal.mul_f64(1.201));
    assert!(
        (low..=high).contains(&delay),
        "{delay:?}, expected {nominal:?} within a fifth"
    );
}

/// F01, F02, F03, F04, F05, F06, RC01: which end is followed by what. None makes a server that only an
/// operator can start.
#[test]
fn the_policy_decides_what_follows_an_end() {
    use RestartPolicy::{Always, Never, OnFailure};
    const AGAIN: &str = "backoff";
    const RESTS: &str = "asleep";
    const GIVEN_UP: &str = "failed";
    let (clean, error) = (Exit::Code(0), Exit::Code(1));
    let (term, kill) = (Exit::Signal(15), Exit::Signal(9));
    let table = [
        // policy, exit, after it was ready, before it was
        (Always, clean, AGAIN, AGAIN),
        (Always, error, AGAIN, AGAIN),
        (Always, term, AGAIN, AGAIN),
        (Always, kill, AGAIN, AGAIN),
        (OnFailure, clean, RESTS, AGAIN),
        (OnFailure, error, AGAIN, AGAIN),
        (OnFailure, term, RESTS, AGAIN),
        (OnFailure, Exit::Signal(1), RESTS, AGAIN),
        (OnFailure, Exit::Signal(2), RESTS, AGAIN),
        (OnFailure, Exit::Signal(13), RESTS, AGAIN),
        (OnFailure, Exit::Signal(6), AGAIN, AGAIN),
        (OnFailure, Exit::Signal(11), AGAIN, AGAIN),
        (OnFailure, kill, AGAIN, AGAIN),
        (Never, clean, RESTS, GIVEN_UP),
        (Never, error, RESTS, GIVEN_UP),
        (Never, term, RESTS, GIVEN_UP),
        (Never, kill, RESTS, GIVEN_UP),
    ];
    for (policy, exit, after_ready, before_ready) in table {
        let config = Config {
            restart_policy: policy,
            ..fixture::config()
        };
        for (mut rig, expected) in [
            (Rig::ready(&config), after_ready),
            (Rig::started(&config), before_ready),
        ] {
            let case = format!("{policy:?}, {exit}, from {:?}", rig.state());
            rig.end(exit);
            let (word, gate) = match rig.state() {
                State::Backoff { .. } => (AGAIN, Gate::Hold(config.requests.hold)),
                State::Stopped(Rest::Asleep) => (RESTS, Gate::Asleep(config.startup_timeout)),
                State::Failed { .. } => (GIVEN_UP, Gate::Failed),
                other => panic!("{case}: {other:?}"),
            };
            assert_eq!((word, rig.gate), (expected, gate), "{case}");
            let error = rig.machine.last_error().unwrap_or_default();
            assert!(error.starts_with(&exit.to_string()), "{case}: {error}");
            if word == RESTS {
                rig.step(Event::Demand);
                assert!(matches!(rig.state(), State::Starting { .. }), "{case}");
            }
            if word == AGAIN {
                assert_jittered(rig.delay(), 100 * MS);
                rig.until_due();
                rig.step(Event::Ready);
                assert_eq!(rig.machine.incarnation(), Incarnation(2), "{case}");
                assert_eq!(rig.gate, Gate::Open, "{case}");
            }
        }
    }
}

/// F07: a server that crashes after it was ready is restarted five times, then no more.
#[test]
fn a_crash_loop_is_slowed_and_then_given_up() {
    let mut rig = Rig::ready(&fixture::config());
    for nominal in [100, 200, 400, 800, 1600] {
        rig.wait(10 * MS);
        rig.end(Exit::Code(1));
        assert_jittered(rig.delay(), nominal * MS);
        rig.until_due();
        rig.step(Event::Ready);
    }
    rig.wait(10 * MS);
    rig.end(Exit::Code(1));
    assert!(rig.has_failed());
    assert_eq!(rig.gate, Gate::Failed);
    for _ in 0..299 {
        rig.wait(100 * MS);
        rig.step(Event::Timer);
        rig.step(Event::Demand);
    }
    assert_eq!(rig.spawns, 6);
    rig.step(Event::Start);
    assert_eq!(rig.spawns, 7, "an operator may try again");
    rig.end(Exit::Code(1));
    assert_jittered(rig.delay(), 100 * MS);
}

/// F07, F10: of a server that never gets ready, slow failures are failures too, window or not.
#[test]
fn failed_starts_in_a_row_are_given_up_however_slow() {
    let mut rig = Rig::started(&fixture::config());
    for nominal in [100, 200, 400, 800] {
        let held = rig.now;
        rig.until_due();
        assert_eq!(rig.now - held, 2000 * MS, "startup_timeout");
        assert_eq!(rig.state(), &State::Stopping(Next::Retry));
        rig.step(Event::Gone);
        assert_jittered(rig.delay(), nominal * MS);
        rig.until_due();
    }
    rig.until_due();
    rig.step(Event::Gone);
    assert!(rig.has_failed());
    assert_eq!(rig.spawns, 5);
    let error = rig.machine.last_error().unwrap_or_default();
    assert!(
        error.contains("5 failed starts in a row") && error.contains("startup_timeout_ms"),
        "{error}"
    );
}

/// F39: a process that the system does not grant (EAGAIN) is a failed start like any other.
#[test]
fn a_start_that_the_system_does_not_grant_is_tried_again_with_growing_delays() {
    let mut rig = Rig::started(&fixture::config());
    let denied = std::io::Error::from(rustix::io::Errno::AGAIN).to_string();
    for nominal in [100, 200, 400, 800] {
        rig.step(Event::CannotStart(denied.clone()));
        rig.step(Event::Gone);
        assert_jittered(rig.delay(), nominal * MS);
        let error = rig.machine.last_error().unwrap_or_default();
        assert!(error.contains(&denied), "{error}");
        rig.until_due();
    }
    rig.step(Event::Ready);
    assert_eq!(rig.spawns, 5, "one start for each delay");
}

/// F08: a server that was stable for long enough (30 first delays) begins with the first delay each time.
#[test]
fn a_rare_crash_costs_the_first_delay_each_time() {
    let mut rig = Rig::ready(&fixture::config());
    for _ in 0..50 {
        rig.wait(3000 * MS);
        rig.end(Exit::Signal(11));
        assert_jittered(rig.delay(), 100 * MS);
        rig.until_due();
        rig.step(Event::Ready);
    }
}

/// F62: a server that was starting while the gateway slept has the whole of its time all the same; a
/// delay that passed in that sleep is over.
#[test]
fn a_sleep_of_the_gateway_is_no_part_of_a_start_but_of_a_delay() {
    let mut rig = Rig::started(&fixture::config());
    rig.wait(10_000 * MS);
    rig.machine.slept(9_900 * MS);
    rig.step(Event::Timer);
    assert!(matches!(rig.state(), State::Starting { .. }));
    let began = rig.now;
    rig.until_due();
    assert_eq!(rig.now - began, 1900 * MS, "startup_timeout");
    rig.step(Event::Gone);
    rig.wait(10_000 * MS);
    rig.machine.slept(9_900 * MS);
    rig.step(Event::Timer);
    assert!(matches!(rig.state(), State::Starting { .. }));
}

/// F51: the first miss is shown, the third ends it, an answer between them forgives.
#[test]
fn missed_probes_make_unhealthy_and_then_end_it() {
    let mut rig = Rig::ready(&fixture::config());
    for _ in 0..2 {
        rig.step(Event::ProbeMissed);
        rig.step(Event::ProbeMissed);
        assert!(matches!(rig.state(), State::Unhealthy { misses: 2, .. }));
        rig.step(Event::ProbeAnswered);
        assert!(matches!(rig.state(), State::Ready { .. }));
        assert_eq!(rig.machine.last_error(), None);
    }
    for _ in 0..2 {
        assert!(!rig.step(Event::ProbeMissed).contains(&Action::Stop));
    }
    assert!(rig.step(Event::ProbeMissed).contains(&Action::Stop));
    assert_eq!(rig.state(), &State::Stopping(Next::Retry));
    rig.step(Event::Gone);
    assert_jittered(rig.delay(), 100 * MS);
}

#[test]
fn only_the_first_start_is_waited_for_as_long_as_a_start_may_take() {
    let config = fixture::config();
    let (start, hold) = (
        Gate::Hold(config.startup_timeout),
        Gate::Hold(config.requests.hold),
    );
    let mut rig = Rig::new(&config);
    assert_eq!(rig.gate, Gate::Asleep(config.startup_timeout));
    rig.step(Event::Demand);
    assert_eq!(rig.gate, start);
    let limited = rig.step(Event::Ended(Exit::Code(1)));
    assert!(limited.contains(&Action::LimitHold(config.requests.hold)));
    assert_eq!(rig.gate, hold);
    rig.step(Event::Gone);
    assert_eq!(rig.gate, hold);
    rig.until_due();
    assert_eq!(rig.gate, hold, "a second start");
}

#[test]
fn a_broken_contract_is_stopped_before_anything_new_is_started() {
    for policy in [
        RestartPolicy::Always,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ] {
        let config = Config {
            restart_policy: policy,
            ..fixture::config()
        };
        let mut rig = Rig::ready(&config);
        let actions = rig.step(Event::Broken("closed its stdout and lives on"));
        assert!(actions.contains(&Action::Stop), "{actions:?}");
        rig.step(Event::Ended(Exit::Signal(9)));
        rig.step(Event::Gone);
        let asleep = matches!(rig.state(), State::Stopped(Rest::Asleep));
        assert_eq!(asleep, policy == RestartPolicy::Never);
        assert_eq!(
            rig.machine.last_error(),
            Some("closed its stdout and lives on"),
            "our own SIGKILL is not the reason"
        );
    }
}

#[test]
fn a_restart_begins_anew_once_the_old_process_is_gone() {
    let config = fixture::config();
    let mut rig = Rig::ready(&config);
    rig.end(Exit::Code(1));
    rig.until_due();
    rig.step(Event::Ready);
    assert!(rig.step(Event::Restart).contains(&Action::Stop));
    assert_eq!(rig.gate, Gate::Hold(config.requests.hold));
    rig.step(Event::Ended(Exit::Signal(15)));
    assert_eq!(rig.spawns, 2);
    rig.step(Event::Gone);
    assert_eq!(rig.spawns, 3, "at once, without a delay");
    rig.end(Exit::Code(1));
    assert_jittered(rig.delay(), 100 * MS);
}
