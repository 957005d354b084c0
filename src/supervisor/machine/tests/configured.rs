//! What a config that has changed does in each state.

use super::*;
use crate::supervisor::machine::Change;

impl Rig {
    fn configure(&mut self, config: &Config, change: Change) -> &State {
        let before = self.machine.state().clone();
        let actions = self.machine.configure(config, change, self.now);
        self.book(&before, &actions, false);
        self.state()
    }
}

fn stopped(rest: Rest) -> State {
    State::Stopped(rest)
}

fn failed(config: &Config) -> Rig {
    let mut rig = Rig::started(config);
    for _ in 0..config.restart_limit.count {
        rig.end(Exit::Code(1));
        if rig.has_failed() {
            break;
        }
        rig.until_due();
    }
    rig.end(Exit::Code(1));
    assert!(rig.has_failed());
    rig
}

#[test]
fn another_process_is_started_where_one_runs_or_was_given_up_and_nowhere_else() {
    let config = fixture::config();
    let next = State::Stopping(Next::Start);
    for mut running in [Rig::started(&config), Rig::ready(&config)] {
        assert_eq!(running.configure(&config, Change::Process), &next);
        // A second change meets the first on its way.
        assert_eq!(running.configure(&config, Change::Process), &next);
        running.step(Event::Gone);
        assert!(matches!(running.state(), State::Starting { .. }));
    }
    let mut waiting = Rig::ready(&config);
    waiting.end(Exit::Code(1));
    for mut given_up in [waiting, failed(&config)] {
        let state = given_up.configure(&config, Change::Process);
        assert!(matches!(state, State::Starting { .. }), "{state:?}");
    }
    let mut asleep = Rig::new(&config);
    assert_eq!(
        asleep.configure(&config, Change::Process),
        &stopped(Rest::Asleep)
    );
    let mut by_operator = Rig::ready(&config);
    by_operator.step(Event::Stop);
    by_operator.step(Event::Gone);
    assert_eq!(
        by_operator.configure(&config, Change::Process),
        &stopped(Rest::Decided)
    );
    let mut ending = Rig::ready(&config);
    ending.step(Event::Shutdown);
    let last = State::Stopping(Next::Rest(Rest::Shutdown));
    assert_eq!(ending.configure(&config, Change::Process), &last);
}

#[test]
fn what_needs_no_other_process_leaves_the_one_there_is() {
    let mut config = fixture::config();
    let mut rig = Rig::ready(&config);
    let before = rig.state().clone();
    config.restart_policy = RestartPolicy::Never;
    config.autostart = true;
    assert_eq!(rig.configure(&config, Change::None), &before);
    rig.end(Exit::Code(1));
    assert_eq!(rig.state(), &stopped(Rest::Asleep), "by the new policy");
    let mut asleep = Rig::new(&fixture::config());
    let state = asleep.configure(&config, Change::None);
    assert!(
        matches!(state, State::Starting { .. }),
        "by autostart: {state:?}"
    );
}

#[test]
fn a_server_that_is_disabled_stops_and_sleeps_when_it_no_longer_is() {
    let (config, mut disabled) = (fixture::config(), fixture::config());
    disabled.disabled = true;
    let mut rig = Rig::ready(&config);
    let stopping = State::Stopping(Next::Rest(Rest::Decided));
    assert_eq!(rig.configure(&disabled, Change::None), &stopping);
    assert_eq!(
        rig.machine.last_error(),
        Some("disabled in the configuration")
    );
    // Enabled again before its process is gone.
    let stopping = State::Stopping(Next::Rest(Rest::Asleep));
    assert_eq!(rig.configure(&config, Change::None), &stopping);
    rig.step(Event::Gone);
    assert_eq!(rig.state(), &stopped(Rest::Asleep));
    rig.configure(&disabled, Change::None);
    assert_eq!(rig.state(), &stopped(Rest::Decided));
    assert!(
        rig.step(Event::Start).is_empty(),
        "not even by the operator"
    );
    rig.configure(&config, Change::Process);
    assert_eq!(
        (rig.state(), rig.machine.last_error()),
        (&stopped(Rest::Asleep), None)
    );
}

#[test]
fn a_server_that_is_to_run_unasked_starts_once_its_disabled_life_is_gone() {
    let (config, mut disabled, mut unasked) =
        (fixture::config(), fixture::config(), fixture::config());
    (disabled.disabled, unasked.autostart) = (true, true);
    let mut rig = Rig::ready(&config);
    rig.configure(&disabled, Change::None);
    let starting = State::Stopping(Next::Start);
    assert_eq!(rig.configure(&unasked, Change::None), &starting);
    rig.step(Event::Gone);
    assert_eq!(rig.spawns, 2);
    assert!(matches!(rig.state(), State::Starting { .. }));
}

/// RG02: a server that is refused is failed whatever starts it, and starts once it is refused no more.
#[test]
fn a_server_that_the_config_does_not_say_how_to_start_is_failed() {
    let config = fixture::config();
    let refused = Config {
        refused: Some("the variable X is not set".to_owned()),
        ..fixture::config()
    };
    let mut rig = Rig::new(&refused);
    for event in [Event::Demand, Event::Start, Event::Restart] {
        assert_eq!(rig.step(event), []);
        assert_eq!(rig.state(), &State::Failed(Retry::Never));
    }
    let state = rig.configure(&config, Change::Process);
    assert!(matches!(state, State::Starting { .. }), "{state:?}");

    for mut running in [Rig::started(&config), Rig::ready(&config)] {
        let next = State::Stopping(Next::GiveUp);
        assert_eq!(running.configure(&refused, Change::Process), &next);
        running.step(Event::Gone);
        assert_eq!(running.state(), &State::Failed(Retry::Never));
        assert_eq!(
            running.machine.last_error(),
            Some("the variable X is not set")
        );
    }
    let mut by_operator = Rig::ready(&config);
    by_operator.step(Event::Stop);
    by_operator.step(Event::Gone);
    let state = by_operator.configure(&refused, Change::Process);
    assert_eq!(state, &stopped(Rest::Decided));
    let disabled = Config {
        disabled: true,
        ..refused.clone()
    };
    let mut off = Rig::new(&disabled);
    assert_eq!(off.state(), &stopped(Rest::Decided));
    assert_eq!(
        off.configure(&refused, Change::None),
        &State::Failed(Retry::Never)
    );
}

/// RA05: a request that comes while the life before is still on its way out is not forgotten.
#[test]
fn a_request_for_a_server_that_is_still_stopping_starts_it_once_that_is_done() {
    let (config, mut disabled) = (fixture::config(), fixture::config());
    disabled.disabled = true;
    let mut rig = Rig::ready(&config);
    rig.configure(&disabled, Change::None);
    rig.configure(&config, Change::None);
    rig.step(Event::Demand);
    assert_eq!(rig.state(), &State::Stopping(Next::Start));
    rig.step(Event::Gone);
    assert!(matches!(rig.state(), State::Starting { .. }));
}
