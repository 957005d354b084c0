//! Promises that hold whatever happens, in whatever order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::{Duration, MS, Rig, assert_jittered};
use crate::supervisor::config::{BackoffConfig, Config, RestartLimit, RestartPolicy};
use crate::supervisor::fixture;
use crate::supervisor::machine::{Event, Gate, Rest, State};
use crate::supervisor::status::Exit;

/// What a schedule is made of.
#[derive(Clone, Debug)]
enum Deed {
    Event(Event),
    Wait(Duration),
    /// Time passes until the machine has waited long enough.
    Due,
}

fn exit() -> impl Strategy<Value = Exit> {
    prop::sample::select(vec![
        Exit::Code(0),
        Exit::Code(1),
        Exit::Signal(9),
        Exit::Signal(15),
    ])
}

/// What happens by itself; nobody orders anything.
fn nature() -> impl Strategy<Value = Deed> {
    let event = prop_oneof![
        1 => Just(Event::Demand),
        3 => Just(Event::Running),
        1 => Just(Event::Unread),
        3 => Just(Event::Ready),
        1 => Just(Event::CannotStart("no such file".to_owned())),
        1 => Just(Event::Broken("did not read its stdin")),
        3 => exit().prop_map(Event::Ended),
        4 => Just(Event::Gone),
        1 => Just(Event::ProbeAnswered),
        2 => Just(Event::ProbeMissed),
        2 => Just(Event::Timer),
        1 => Just(Event::Drained),
    ];
    prop_oneof![
        8 => event.prop_map(Deed::Event),
        2 => (0u32..4000).prop_map(|ms| Deed::Wait(ms * MS)),
        3 => Just(Deed::Due),
    ]
}

/// How the life of a process can end that is of no use.
fn failing_end() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::CannotStart("no such file".to_owned())),
        Just(Event::Broken("did not read its stdin")),
        exit().prop_map(Event::Ended),
        Just(Event::Gone),
        Just(Event::Timer),
    ]
}

/// What happens, and what operators order.
fn anything() -> impl Strategy<Value = Deed> {
    let order = prop::sample::select(vec![Event::Start, Event::Stop, Event::Restart]);
    prop_oneof![6 => nature(), 1 => order.prop_map(Deed::Event)]
}

fn schedule() -> impl Strategy<Value = Vec<Deed>> {
    prop::collection::vec(anything(), 0..80)
}

fn policy() -> impl Strategy<Value = RestartPolicy> {
    prop::sample::select(vec![
        RestartPolicy::Always,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ])
}

fn with(restart_policy: RestartPolicy) -> Config {
    Config {
        restart_policy,
        drain: 300 * MS,
        ..fixture::config()
    }
}

impl Rig {
    fn perform(&mut self, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Event(event) => {
                    self.step(event);
                }
                Deed::Wait(time) => self.wait(time),
                Deed::Due if self.machine.deadline().is_some() => self.until_due(),
                Deed::Due => {}
            }
        }
    }
}

proptest! {
    /// Everything that [`Rig::step`] checks: one process at a time, no way to hang in `Stopping`, the
    /// gate open exactly while ready, nothing before its time.
    #[test]
    fn no_schedule_breaks_the_machine(policy in policy(), deeds in schedule()) {
        Rig::new(&with(policy)).perform(deeds);
    }

    /// From wherever it is, a server whose processes all fail is given up or rests, and is not waited for.
    #[test]
    fn every_state_comes_to_an_end(
        policy in policy(),
        before in schedule(),
        ends in prop::collection::vec(failing_end(), 8),
    ) {
        let config = with(policy);
        let mut rig = Rig::new(&config);
        rig.perform(before);
        // Each try is a wait, a start and an end in two steps; the first may be the end of an old life.
        let most = 4 * (config.restart_limit.count as usize + 2);
        for end in ends.into_iter().cycle().take(most) {
            match rig.state() {
                State::Stopped(_) | State::Failed { .. } => return Ok(()),
                State::Backoff { .. } => rig.until_due(),
                State::Stopping(_) => drop(rig.step(Event::Gone)),
                State::Starting { .. } if end == Event::Timer => rig.until_due(),
                State::Starting { .. } | State::Ready { .. } | State::Unhealthy { .. } => {
                    rig.step(if end == Event::Timer { Event::Gone } else { end });
                }
            }
        }
        prop_assert!(false, "still in {:?}", rig.state());
    }

    #[test]
    fn a_stop_wins_every_race(
        policy in policy(),
        before in schedule(),
        after in prop::collection::vec(nature(), 0..40),
    ) {
        let mut rig = Rig::new(&with(policy));
        rig.perform(before);
        rig.step(Event::Stop);
        let spawns = rig.spawns;
        prop_assert_eq!(rig.gate, Gate::Stopped);
        rig.perform(after);
        rig.step(Event::Gone);
        prop_assert_eq!(rig.state(), &State::Stopped(Rest::Decided));
        prop_assert_eq!(rig.spawns, spawns);
        rig.step(Event::Start);
        prop_assert_eq!(rig.spawns, spawns + 1, "only an operator undoes it");
    }

    #[test]
    fn a_shutdown_is_final(
        policy in policy(),
        before in schedule(),
        after in schedule(),
    ) {
        let mut rig = Rig::new(&with(policy));
        rig.perform(before);
        rig.step(Event::Shutdown);
        let spawns = rig.spawns;
        prop_assert_eq!(rig.gate, Gate::ShuttingDown);
        rig.perform(after);
        prop_assert_eq!(rig.gate, Gate::ShuttingDown);
        rig.step(Event::Gone);
        prop_assert_eq!(rig.state(), &State::Stopped(Rest::Shutdown));
        prop_assert_eq!(rig.spawns, spawns);
    }

    #[test]
    fn a_disabled_server_is_never_started(policy in policy(), deeds in schedule()) {
        let mut rig = Rig::new(&Config { disabled: true, ..with(policy) });
        rig.perform(deeds);
        prop_assert_eq!(rig.spawns, 0);
        prop_assert_eq!(rig.gate, Gate::Stopped);
        prop_assert_eq!(rig.machine.last_error(), Some("disabled in the configuration"));
    }

    /// RC02: whoever asks for a server that was given up, it is not tried again before its time, but for an
    /// operator.
    #[test]
    fn a_server_that_failed_is_left_alone_for_a_while(
        policy in policy(),
        before in schedule(),
        after in prop::collection::vec(nature(), 0..40),
    ) {
        let config = with(policy);
        let mut rig = Rig::new(&config);
        rig.perform(before);
        // Whatever was, it now fails until it is given up.
        rig.step(Event::Start);
        // As above: each try is a wait, a start and an end in two steps.
        for _ in 0..4 * (config.restart_limit.count + 2) {
            if rig.has_failed() {
                break;
            } else if rig.machine.deadline().is_some() {
                rig.until_due();
            } else {
                rig.step(Event::Broken("did not read its stdin"));
                rig.step(Event::Gone);
                // By policy `never` a server that was ready rests.
                rig.step(Event::Demand);
            }
        }
        prop_assert!(rig.has_failed());
        let (since, spawns) = (rig.now, rig.spawns);
        for deed in after {
            rig.perform(vec![deed]);
            if rig.spawns > spawns {
                prop_assert!(rig.now - since >= config.failed_retry);
                return Ok(());
            }
        }
        prop_assert!(rig.has_failed());
        rig.step(Event::Restart);
        prop_assert_eq!(rig.spawns, spawns + 1);
    }

    /// RC01: without an operator's stop there is no state in which a request is refused for good.
    #[test]
    fn only_an_operator_stops_a_server_for_good(
        policy in policy(),
        deeds in prop::collection::vec(nature(), 0..80),
    ) {
        let config = with(policy);
        let mut rig = Rig::new(&config);
        rig.perform(deeds);
        prop_assert!(!matches!(rig.gate, Gate::Stopped | Gate::ShuttingDown));
        let spawns = rig.spawns;
        // Whatever is under way ends, and a request comes again and again.
        for _ in 0..4 {
            rig.step(Event::Gone);
            rig.step(Event::Demand);
            if rig.spawns == spawns && rig.machine.deadline().is_some() {
                rig.until_due();
                rig.step(Event::Demand);
            }
        }
        prop_assert!(rig.spawns > spawns, "still in {:?}", rig.state());
    }

    /// RC01: ends that are clean count against no limit.
    #[test]
    fn clean_ends_are_never_given_up(
        policy in policy(),
        lasted in prop::collection::vec(0u32..5000, 0..50),
    ) {
        let mut rig = Rig::new(&with(policy));
        for ms in lasted {
            rig.step(Event::Demand);
            // A delay under policy `always`.
            if let State::Backoff { .. } = rig.state() {
                rig.until_due();
            }
            rig.step(Event::Ready);
            prop_assert_eq!(rig.gate, Gate::Open);
            rig.wait(ms * MS);
            rig.end(Exit::Code(0));
            prop_assert!(!rig.has_failed());
        }
    }

    #[test]
    fn what_is_being_stopped_cannot_become_ready(policy in policy(), deeds in schedule()) {
        let mut rig = Rig::new(&with(policy));
        rig.perform(deeds);
        let stopping = matches!(rig.state(), State::Stopping(_));
        let before = rig.state().clone();
        let actions = rig.step(Event::Ready);
        if stopping {
            prop_assert_eq!(rig.state(), &before);
            prop_assert!(actions.is_empty());
        }
    }

    /// Against a model: n restarts since the last stable run wait for first * 2^n, at most for max.
    #[test]
    fn delays_grow_until_a_stable_run(
        first in 1u32..500,
        max in 1u32..40,
        runs in prop::collection::vec(prop::option::of(0u32..40), 1..30),
    ) {
        let backoff = BackoffConfig { first: first * MS, max: max * first * MS };
        let unlimited = RestartLimit { count: u32::MAX, window: MS };
        let config = Config { backoff, restart_limit: unlimited, ..with(RestartPolicy::Always) };
        let mut rig = Rig::new(&config);
        rig.step(Event::Start);
        let (mut steps, mut last) = (0, Duration::ZERO);
        for ready_for in runs {
            if let Some(firsts) = ready_for {
                let lasted = firsts * backoff.first;
                rig.step(Event::Ready);
                rig.wait(lasted);
                if lasted >= (30 * backoff.first).max(last) {
                    steps = 0;
                }
            }
            rig.end(Exit::Code(0));
            last = (backoff.first * 2u32.pow(steps)).min(backoff.max);
            steps = (steps + 1).min(20);
            assert_jittered(rig.delay(), last);
            rig.until_due();
        }
    }

    /// Against a model: failed starts in a row, and restarts within the window.
    #[test]
    fn the_restart_limit_is_honoured_and_reached(
        count in 1u32..6,
        window in 1u32..20_000,
        runs in prop::collection::vec(prop::option::of(0u32..4000), 200),
    ) {
        let limit = RestartLimit { count, window: window * MS };
        let config = Config { restart_limit: limit, ..with(RestartPolicy::Always) };
        let mut rig = Rig::new(&config);
        rig.step(Event::Start);
        let mut failed_starts = 0;
        let mut restarts = VecDeque::new();
        for ready_for in runs {
            match ready_for {
                Some(ms) => {
                    rig.step(Event::Ready);
                    rig.wait(ms * MS);
                    failed_starts = 0;
                }
                None => failed_starts += 1,
            }
            rig.end(Exit::Code(1));
            restarts.retain(|at| rig.now - *at < limit.window);
            let given_up = failed_starts >= count || restarts.len() >= count as usize;
            prop_assert_eq!(rig.has_failed(), given_up);
            if given_up {
                return Ok(());
            }
            restarts.push_back(rig.now);
            rig.until_due();
        }
    }
}
