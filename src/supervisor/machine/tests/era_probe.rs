//! Lives that fail before they are ready, by what was their first message.

use super::*;
use crate::protocol::Era;
use crate::supervisor::eras::{EraChoice, EraFacts};
use crate::supervisor::machine::FirstMessage::{self, Discover, Initialize};

/// How a life can fail once its first message was sent.
const FAILURES: [fn() -> Event; 3] = [
    || Event::Ended(Exit::Code(1)),
    || Event::Broken("closed its stdout and lives on"),
    || Event::CannotStart("handshake failed: it ended during the handshake".to_owned()),
];

impl Rig {
    /// The first message of the life that has begun, for a modern client.
    fn opens(&mut self) -> FirstMessage {
        self.machine.first_message(Era::Modern, EraFacts::default())
    }

    fn run(&mut self) {
        self.opens();
        self.step(Event::Running);
    }

    fn settle(&mut self, era: Era) {
        self.machine.settle_era(era);
        self.step(Event::Ready);
    }

    fn fail(&mut self, failure: Event) -> Vec<Action> {
        let actions = self.step(failure);
        self.step(Event::Gone);
        actions
    }
}

/// RB01: whatever became of a life that was probed, the next one comes at once and begins with `initialize`,
/// under every policy, and who waits goes on waiting as for a first start.
#[test]
fn a_start_that_the_probe_may_have_ended_is_not_counted() {
    for failure in FAILURES {
        for policy in [
            RestartPolicy::Always,
            RestartPolicy::OnFailure,
            RestartPolicy::Never,
        ] {
            let mut config = Config {
                restart_policy: policy,
                ..fixture::config()
            };
            config.restart_limit.count = 1;
            let mut rig = Rig::started(&config);
            assert_eq!(rig.opens(), Discover);
            let whole_start = rig.gate;
            rig.run();
            let actions = rig.step(failure());
            assert_eq!(rig.gate, whole_start, "while it ends");
            let limit = Action::LimitHold(config.requests.hold);
            assert!(!actions.contains(&limit), "{actions:?}");
            rig.step(Event::Gone);
            assert_eq!((rig.spawns, rig.gate), (2, whole_start));
            assert_eq!(rig.opens(), Initialize);
            assert!(rig.machine.awaits_first_start(), "the same start");
            rig.run();
            rig.settle(Era::Legacy);
            assert_eq!(rig.gate, Gate::Open, "{policy:?}, {:?}", failure());
            assert_eq!(rig.machine.restart_count(), 0);
            rig.end(Exit::Code(0));
            rig.step(Event::Start);
            assert_eq!(rig.machine.restart_count(), 1);
        }
    }
}

/// RB01: a server that needed it is never probed again, however its later lives fail.
#[test]
fn a_server_that_the_probe_ended_is_not_probed_again() {
    let mut rig = Rig::started(&fixture::config());
    rig.run();
    rig.fail(Event::Ended(Exit::Code(1)));
    rig.run();
    rig.settle(Era::Legacy);
    for _ in 0..3 {
        rig.end(Exit::Code(1));
        rig.until_due();
        assert_eq!(rig.opens(), Initialize);
        rig.run();
    }
    rig.step(Event::Restart);
    rig.step(Event::Gone);
    assert_eq!(rig.opens(), Initialize);
}

#[test]
fn a_server_that_starts_by_no_message_is_given_up_one_life_later() {
    let config = fixture::config();
    let mut rig = Rig::started(&config);
    let mut opened = Vec::new();
    while !rig.has_failed() {
        opened.push(rig.opens());
        rig.run();
        rig.fail(Event::Ended(Exit::Code(1)));
        if matches!(rig.state(), State::Backoff { .. }) {
            rig.until_due();
        }
    }
    let count = config.restart_limit.count as usize;
    assert_eq!(opened.len(), 1 + count);
    for pair in opened.windows(2) {
        assert_ne!(pair[0], pair[1], "each message has its turn: {opened:?}");
    }
    // An operator's order is a new beginning.
    rig.step(Event::Start);
    while rig.opens() == Initialize {
        rig.run();
        rig.fail(Event::Ended(Exit::Code(1)));
        rig.until_due();
    }
    rig.run();
    rig.fail(Event::Ended(Exit::Code(1)));
    assert!(matches!(rig.state(), State::Starting { .. }), "at once");
}

#[test]
fn a_process_that_read_nothing_was_not_ended_by_the_probe() {
    let mut rig = Rig::started(&fixture::config());
    rig.fail(Event::CannotStart("no such file".to_owned()));
    assert_jittered(rig.delay(), 100 * MS);
    assert_eq!(rig.opens(), Discover);
    rig.until_due();
    rig.run();
    rig.step(Event::Unread);
    rig.fail(Event::Ended(Exit::Code(1)));
    assert_jittered(rig.delay(), 200 * MS);
    assert_eq!(rig.opens(), Discover);
}

#[test]
fn the_era_that_was_spoken_is_the_first_one_of_the_next_life() {
    for (era, first) in [(Era::Modern, Discover), (Era::Legacy, Initialize)] {
        let mut rig = Rig::started(&fixture::config());
        rig.run();
        rig.settle(era);
        rig.end(Exit::Code(1));
        rig.until_due();
        assert_eq!(rig.opens(), first);
    }
}

/// The first message follows from the pin, else from what is known, else from whom the process is started for.
#[test]
fn the_first_message_is_the_one_that_suits_client_and_server() {
    let auto = EraChoice::Auto;
    let (only_legacy, only_modern) = (EraChoice::Only(Era::Legacy), EraChoice::Only(Era::Modern));
    let nothing = EraFacts::default();
    let no_legacy = EraFacts {
        legacy: Some(false),
        ..nothing
    };
    let no_modern = EraFacts {
        modern: Some(false),
        ..nothing
    };
    let strict = EraFacts {
        dies_of_probe: true,
        ..nothing
    };
    let silent = EraFacts {
        silent: true,
        ..nothing
    };
    let table = [
        // choice, facts, for a legacy client, for a modern one
        (auto, nothing, Initialize, Discover),
        (auto, no_legacy, Discover, Discover),
        (auto, no_modern, Initialize, Initialize),
        (auto, strict, Initialize, Initialize),
        (auto, silent, Initialize, Initialize),
        (only_legacy, nothing, Initialize, Initialize),
        (only_legacy, no_legacy, Initialize, Initialize),
        (only_modern, nothing, Discover, Discover),
        (only_modern, strict, Discover, Discover),
    ];
    for (era, facts, for_legacy, for_modern) in table {
        let mut rig = Rig::started(&Config {
            era,
            ..fixture::config()
        });
        let mut first = |wish| rig.machine.first_message(wish, facts);
        let found = (first(Era::Legacy), first(Era::Modern));
        assert_eq!(found, (for_legacy, for_modern), "{era:?}, {facts:?}");
    }
}

#[test]
fn a_server_of_one_configured_era_is_not_excused() {
    for era in [Era::Legacy, Era::Modern] {
        let mut rig = Rig::started(&Config {
            era: EraChoice::Only(era),
            ..fixture::config()
        });
        rig.run();
        rig.fail(Event::Ended(Exit::Code(1)));
        assert_jittered(rig.delay(), 100 * MS);
    }
}
