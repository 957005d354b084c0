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

/// RC01: a server that crashes at each request is started by requests as often as `restart_limit` allows, also where its
/// policy is `never`; a clean end is no reason to give it up.
#[test]
fn crashes_of_a_server_that_requests_start_are_counted() {
    let config = Config {
        restart_policy: RestartPolicy::Never,
        ..fixture::config()
    };
    let count = u64::from(config.restart_limit.count);
    let mut rig = Rig::ready(&config);
    for _ in 0..2 * count {
        rig.end(Exit::Code(0));
        rig.step(Event::Demand);
        rig.step(Event::Ready);
    }
    let before = rig.spawns;
    while !rig.has_failed() {
        rig.end(Exit::Code(1));
        rig.step(Event::Demand);
        rig.step(Event::Ready);
    }
    assert_eq!(rig.spawns, before + count);
    let error = rig.machine.last_error().unwrap_or_default();
    assert_eq!(
        error,
        "given up after restart_limit reached; last: exited with code 1"
    );
    rig.until_due();
    rig.step(Event::Demand);
    rig.step(Event::Ready);
    assert_eq!(rig.gate, Gate::Open, "one more, after failed_retry");
}

/// A server that takes the place of another starts when that is gone, whoever wants it before.
#[test]
fn a_server_with_a_predecessor_starts_when_that_is_gone() {
    let config = fixture::config();
    let follower = || {
        let mut rig = Rig::new(&config);
        rig.machine.follow_predecessor();
        // The process of the other one.
        rig.alive = true;
        rig
    };
    for event in [Event::Demand, Event::Start] {
        let mut rig = follower();
        assert_eq!(rig.gate, rig.machine.gate(), "it sleeps");
        assert!(rig.machine.awaits_first_start());
        rig.step(event);
        assert_eq!(rig.spawns, 0);
        assert!(rig.machine.awaits_first_start());
        assert_eq!(rig.gate, Gate::Hold(config.startup_timeout + config.drain));
        rig.step(Event::Gone);
        assert_eq!((rig.spawns, rig.machine.restart_count()), (1, 0));
        assert_eq!(rig.gate, Gate::Hold(config.startup_timeout));
    }
    let mut rig = follower();
    rig.step(Event::Gone);
    assert_eq!(rig.state(), &State::Stopped(Rest::Asleep));
    let mut rig = follower();
    rig.step(Event::Shutdown);
    rig.step(Event::Gone);
    assert_eq!(rig.state(), &State::Stopped(Rest::Shutdown));
    let disabled = Config {
        disabled: true,
        ..fixture::config()
    };
    let mut rig = Rig::new(&disabled);
    rig.machine.follow_predecessor();
    rig.alive = true;
    let enabled = rig
        .machine
        .configure(&config, super::super::Change::None, rig.now);
    rig.book(&State::Stopped(Rest::Decided), &enabled, false);
    rig.step(Event::Demand);
    assert_eq!(rig.spawns, 0, "enabled while it waits");
    rig.step(Event::Gone);
    assert_eq!(rig.spawns, 1);
}

/// RB04: a start that ends in silence once `initialize` was read is repeated without client capabilities, once, at once
/// and uncounted, under every policy; not where the message was not read.
#[test]
fn a_silent_start_is_repeated_without_capabilities() {
    use crate::protocol::Era;
    use crate::supervisor::eras::EraFacts;

    for policy in [RestartPolicy::OnFailure, RestartPolicy::Never] {
        let config = Config {
            restart_policy: policy,
            client_capabilities: r#"{"elicitation":{}}"#.into(),
            ..fixture::config()
        };
        let mut rig = Rig::started(&config);
        let run = |rig: &mut Rig| {
            rig.machine.first_message(Era::Legacy, EraFacts::default());
            rig.step(Event::Running);
            rig.machine.is_bare(false)
        };
        assert!(!run(&mut rig));
        rig.until_due();
        assert_eq!(rig.state(), &State::Stopping(Next::Start));
        let error = rig.machine.last_error().unwrap_or_default();
        assert!(error.contains("client_capabilities"), "{error}");
        let unread = {
            let mut rig = rig.clone();
            rig.step(Event::Unread);
            rig.step(Event::Gone);
            run(&mut rig)
        };
        assert!(!unread, "it has not read them");
        rig.step(Event::Gone);
        assert!(run(&mut rig));
        let mut helped = rig.clone();
        helped.machine.settle_era(Era::Legacy);
        helped.step(Event::Ready);
        assert_eq!(helped.machine.restart_count(), 0);
        helped.end(Exit::Code(0));
        helped.step(Event::Start);
        assert!(!run(&mut helped), "an operator tries it anew");
        rig.until_due();
        let next = match policy {
            RestartPolicy::Never => Next::GiveUp,
            RestartPolicy::Always | RestartPolicy::OnFailure => Next::Retry,
        };
        assert_eq!(rig.state(), &State::Stopping(next), "once");
    }
}
