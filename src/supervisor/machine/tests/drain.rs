//! What happens between the decision to stop a process and its stop.

use super::*;
use crate::supervisor::machine::Change;

fn config() -> Config {
    Config {
        drain: 300 * MS,
        ..fixture::config()
    }
}

/// RA09: an operator and a config let the process finish its work; the end of the gateway, and a process that serves
/// nobody yet, do not wait.
#[test]
fn a_process_that_serves_is_stopped_when_its_work_is_done_or_its_time_is_over() {
    let disabled = Config {
        disabled: true,
        ..config()
    };
    let decide: [fn(&mut Rig, &Config) -> Vec<Action>; 5] = [
        |rig, _| rig.step(Event::Restart),
        |rig, _| rig.step(Event::Stop),
        |rig, _| rig.step(Event::Retire),
        |rig, disabled| rig.machine.configure(disabled, Change::None, rig.now),
        |rig, _| rig.machine.configure(&config(), Change::Process, rig.now),
    ];
    for decide in decide {
        for end in [
            Event::Drained,
            Event::Shutdown,
            Event::Broken("did not read its stdin"),
        ] {
            let mut rig = Rig::ready(&config());
            let actions = decide(&mut rig, &disabled);
            assert!(!actions.contains(&Action::Stop), "{actions:?}");
            assert!(rig.machine.is_draining());
            let actions = rig.machine.step(end, rig.now);
            assert!(actions.contains(&Action::Stop), "{actions:?}");
            assert!(!rig.machine.is_draining());
        }
        let mut rig = Rig::ready(&config());
        decide(&mut rig, &disabled);
        assert_eq!(rig.machine.deadline(), Some(rig.now + config().drain));
        rig.wait(config().drain);
        let actions = rig.machine.step(Event::Timer, rig.now);
        assert!(actions.contains(&Action::Stop), "{actions:?}");
        let mut starting = Rig::started(&config());
        let actions = decide(&mut starting, &disabled);
        assert!(actions.contains(&Action::Stop), "{actions:?}");
    }
    let mut rig = Rig::ready(&config());
    let actions = rig.step(Event::Shutdown);
    assert!(actions.contains(&Action::Stop), "{actions:?}");
}

/// RA09: what is held for the next process waits for it from the end of the drain on.
#[test]
fn a_request_is_held_for_as_long_as_the_drain_and_a_restart_take() {
    let (config, mut rig) = (config(), Rig::ready(&config()));
    rig.step(Event::Restart);
    assert_eq!(rig.gate, Gate::Hold(config.requests.hold + config.drain));
    rig.step(Event::Drained);
    assert_eq!(rig.gate, Gate::Hold(config.requests.hold));
    // A process that ends by itself meanwhile has nothing more to drain, and its end is no failure.
    let mut rig = Rig::ready(&config);
    rig.step(Event::Restart);
    rig.step(Event::Ended(Exit::Code(1)));
    assert!(!rig.machine.is_draining());
    rig.step(Event::Gone);
    assert!(matches!(rig.state(), State::Starting { .. }));
}
