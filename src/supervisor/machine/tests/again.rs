//! Starts after an end that was left alone, and after giving up.

use super::*;

/// RC01: a request that comes while the last process is on its way out has the next one started.
#[test]
fn demand_during_the_end_of_a_life_starts_the_next_one() {
    let mut rig = Rig::ready(&fixture::config());
    rig.step(Event::Ended(Exit::Code(0)));
    rig.step(Event::Demand);
    assert_eq!(rig.state(), &State::Stopping(Next::Start));
    let patience = fixture::config().startup_timeout;
    assert_eq!(rig.gate, Gate::Hold(patience), "as for the first start");
    rig.step(Event::Gone);
    assert!(matches!(rig.state(), State::Starting { .. }));
    assert_eq!(rig.gate, Gate::Hold(patience));
}

/// RC02: a server that was given up is tried once at a time; by policy `never` when somebody asks for it.
#[test]
fn a_server_that_was_given_up_is_tried_again() {
    for policy in [RestartPolicy::OnFailure, RestartPolicy::Never] {
        let config = Config {
            restart_policy: policy,
            ..fixture::config()
        };
        let mut rig = Rig::started(&config);
        while !rig.has_failed() {
            rig.end(Exit::Code(1));
            if let State::Backoff { .. } = rig.state() {
                rig.until_due();
            }
        }
        for _ in 0..3 {
            let (since, spawns) = (rig.now, rig.spawns);
            assert_eq!(rig.gate, Gate::Failed);
            let shown = rig.state().next_start().expect("a time to be shown");
            rig.until_due();
            assert!(rig.now == shown && rig.now - since <= config.failed_retry.mul_f64(1.2));
            if policy == RestartPolicy::Never {
                assert_eq!((rig.state().next_start(), rig.spawns), (None, spawns));
                assert_eq!(rig.gate, Gate::Asleep(config.startup_timeout));
                rig.step(Event::Demand);
            }
            assert_eq!(rig.spawns, spawns + 1);
            rig.end(Exit::Code(1));
            assert!(rig.has_failed(), "one try");
        }
        rig.until_due();
        rig.step(Event::Demand);
        rig.step(Event::Ready);
        assert_eq!(rig.machine.last_error(), None, "{policy:?}");
    }
}

/// RB03: what a start has shown is told with its end, and forgotten with it.
#[test]
fn the_remark_of_a_start_is_told_with_its_failure_only() {
    let mut rig = Rig::started(&fixture::config());
    rig.machine.note_remark(Some("it asks".to_owned()));
    rig.end(Exit::Code(1));
    let told = "exited with code 1 before it was ready; it asks";
    assert_eq!(rig.machine.last_error(), Some(told));
    rig.until_due();
    rig.machine.note_remark(Some("it asks".to_owned()));
    rig.step(Event::Ready);
    rig.end(Exit::Code(1));
    assert_eq!(rig.machine.last_error(), Some("exited with code 1"));
}
