//! What operators are told of a server, and what becomes of the requests that wait for it.

use super::*;

#[test]
fn a_server_that_was_stopped_says_by_whom() {
    const BY_OPERATOR: Option<&str> = Some("stopped by the operator");
    let config = fixture::config();
    let mut ended = Rig::ready(&config);
    ended.end(Exit::Code(1));
    let mut stopping = Rig::ready(&config);
    stopping.step(Event::Restart);
    for rig in [
        Rig::new(&config),
        Rig::started(&config),
        Rig::ready(&config),
        ended,
        stopping,
    ] {
        let before = rig.machine.last_error().map(str::to_owned);
        let (mut by_operator, mut by_end) = (rig.clone(), rig);
        by_operator.step(Event::Stop);
        assert_eq!(by_operator.machine.last_error(), BY_OPERATOR);
        by_end.step(Event::Shutdown);
        assert_eq!(by_end.machine.last_error(), before.as_deref());
    }
}

#[test]
fn requests_wait_less_for_a_server_that_broke_before_it_was_ready() {
    let config = fixture::config();
    let limit = Action::LimitHold(config.requests.hold);
    let broken = || Event::Broken("wrote what is no message");
    for event in [broken(), Event::Ended(Exit::Code(1)), Event::Gone] {
        let early = Rig::started(&config).step(event.clone());
        assert!(early.contains(&limit), "{event:?}: {early:?}");
        let late = Rig::ready(&config).step(event.clone());
        assert!(!late.contains(&limit), "{event:?}: {late:?}");
    }
}

#[test]
fn a_server_that_was_given_up_says_which_limit_it_met() {
    let config = fixture::config();
    let given_up = |event: Event| {
        let mut rig = Rig::started(&config);
        for _ in 0..config.restart_limit.count {
            rig.step(event.clone());
            rig.end(Exit::Code(3));
            if rig.has_failed() {
                break;
            }
            rig.until_due();
        }
        rig.step(event);
        rig.end(Exit::Code(3));
        assert!(rig.has_failed());
        rig.machine.last_error().unwrap_or_default().to_owned()
    };
    assert_eq!(
        given_up(Event::Ready),
        "given up after restart_limit reached; last: exited with code 3"
    );
    assert_eq!(
        given_up(Event::Demand),
        "given up after 5 failed starts in a row; last: exited with code 3 before it was ready"
    );
}

#[test]
fn only_a_server_that_waits_for_its_restart_has_a_time_of_it() {
    let config = fixture::config();
    let mut rig = Rig::started(&config);
    assert_eq!(rig.state().next_start(), None, "its deadline is none");
    rig.step(Event::Ready);
    assert_eq!(rig.state().next_start(), None);
    rig.step(Event::Ended(Exit::Code(1)));
    assert_eq!(rig.state().next_start(), None);
    rig.step(Event::Gone);
    assert_eq!(rig.state().next_start(), Some(rig.now + rig.delay()));
    rig.until_due();
    assert_eq!(rig.state().next_start(), None);
}
