//! The choice of a process for a client, and the end of a second process.

use tokio::time::advance;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::instruments::Instruments;
use crate::relay::config::{ClientCapabilities, ClientFeatures, Instance, ServerConfig};
use crate::relay::instances::{InstanceKey, Instances};
use crate::relay::upstream::Parts;
use crate::supervisor::fixture::Unattended;
use crate::supervisor::{Handshake, State};
use crate::types::{Principal, PrincipalId, TokenFingerprint};

const LEGACY: ProcessEra = ProcessEra {
    era: Era::Legacy,
    shaken: true,
};
const MODERN: ProcessEra = ProcessEra {
    era: Era::Modern,
    shaken: true,
};
const STARTING: ProcessEra = ProcessEra {
    era: Era::Legacy,
    shaken: false,
};

#[test]
fn each_client_is_served_in_its_own_era_where_the_server_knows_it() {
    let auto = EraChoice::Auto;
    let starting_modern = ProcessEra {
        era: Era::Modern,
        shaken: false,
    };
    let table = [
        // the first process, the second, whether the server may know the modern era, for a modern client
        (MODERN, None, true, Choice::First),
        (starting_modern, None, true, Choice::First),
        (STARTING, None, true, Choice::AfterFirst),
        (LEGACY, None, true, Choice::New),
        (LEGACY, None, false, Choice::First),
        (LEGACY, Some(starting_modern), true, Choice::AfterSecond),
        (LEGACY, Some(MODERN), true, Choice::Second),
        (LEGACY, Some(MODERN), false, Choice::Second),
        // It was started for a modern client, and is legacy.
        (LEGACY, Some(LEGACY), true, Choice::First),
    ];
    for (first, second, known, expected) in table {
        let chosen = choose(Era::Modern, auto, first, second, known);
        assert_eq!(chosen, expected, "{first:?}, {second:?}, {known}");
    }
}

#[test]
fn a_server_of_one_configured_era_has_one_process() {
    for era in [Era::Legacy, Era::Modern] {
        for first in [LEGACY, MODERN, STARTING] {
            let chosen = choose(Era::Modern, EraChoice::Only(era), first, None, true);
            assert_eq!(chosen, Choice::First);
        }
    }
}

fn shaken(era: Era) -> Handshake {
    Handshake {
        era,
        revision: "2025-11-25".to_owned(),
        capabilities: "{}".into(),
        server_info: "{}".into(),
        instructions: None,
    }
}

fn upstream(played: &Unattended) -> Upstream {
    let id = played.handle.id();
    let parts = Parts::new(
        id,
        Instruments::noop().for_server(id),
        ClientFeatures::Attribute,
        InstanceKey::Shared,
        CancellationToken::new(),
    );
    parts.attach(played.handle.clone())
}

type Made = Arc<Mutex<Vec<Unattended>>>;

/// A pair whose first process is legacy, and the second processes that it has made.
fn pair() -> (ProcessPair, Unattended, Made) {
    let first = Unattended::ready(shaken(Era::Legacy));
    let made = Made::default();
    let making = Arc::clone(&made);
    let make = move |_| {
        let second = Unattended::asleep();
        let upstream = upstream(&second);
        making.lock().unwrap().push(second);
        upstream
    };
    (
        ProcessPair::new(upstream(&first), Box::new(make)),
        first,
        made,
    )
}

/// The process that a modern client is given, where `play` is done to the second one that comes next.
async fn settled(pair: &ProcessPair, made: &Made, play: impl Fn(&Unattended)) -> Arc<Upstream> {
    let known = made.lock().unwrap().len();
    let playing = async {
        while made.lock().unwrap().len() == known {
            tokio::task::yield_now().await;
        }
        play(made.lock().unwrap().last().unwrap());
    };
    let (settled, ()) = tokio::join!(pair.settle(Some(Era::Modern)), playing);
    settled.unwrap()
}

/// A second process that does not start costs its clients one start in five minutes: until then they are bridged.
#[tokio::test(start_paused = true)]
async fn a_second_process_that_does_not_start_is_tried_again_after_five_minutes() {
    let (pair, first, made) = pair();
    for tries in 1..=2 {
        let served = settled(&pair, &made, |second| second.set_state(State::Failed)).await;
        assert_eq!(served.handle, first.handle);
        assert!(made.lock().unwrap().last().unwrap().was_dismissed());
        advance(RETRY.saturating_sub(Duration::from_secs(1))).await;
        let (served, known) = pair.pick(Some(Era::Modern));
        assert!(known && served.handle == first.handle);
        assert_eq!(made.lock().unwrap().len(), tries);
        advance(Duration::from_secs(1)).await;
    }
    let served = settled(&pair, &made, |second| second.shake(shaken(Era::Modern))).await;
    assert_eq!(served.handle, made.lock().unwrap()[2].handle);
}

/// A second process that turns out to be of the same era as the first goes at once, unless clients use it: these keep it.
#[tokio::test]
async fn a_second_process_of_the_same_era_goes_when_nobody_uses_it() {
    let (pair, first, made) = pair();
    let served = settled(&pair, &made, |second| second.shake(shaken(Era::Legacy))).await;
    assert_eq!(served.handle, first.handle);
    assert_eq!(pair.upstreams().len(), 1);
    let served = settled(&pair, &made, |second| second.shake(shaken(Era::Modern))).await;
    let second = served.handle.clone();
    assert_ne!(second, first.handle);
    // Its program is another one now, which does not know the era.
    made.lock().unwrap()[1].shake(shaken(Era::Legacy));
    assert_eq!(pair.at_once(Some(Era::Modern)).handle, first.handle);
    assert!(pair.has(&served), "a session speaks to it");
    drop(served);
    assert_eq!(pair.at_once(Some(Era::Modern)).handle, first.handle);
    assert_eq!(pair.upstreams().len(), 1);
    assert!(made.lock().unwrap()[1].was_dismissed());
}

/// A value that was made from another one keeps no process but its own: one that was dismissed for it is not in use.
#[tokio::test]
async fn a_lease_that_was_renewed_keeps_no_other_process() {
    let (pair, first, made) = pair();
    let config = ServerConfig {
        supervisor: (*pair.first.handle.config()).clone(),
        instance: Instance::Shared,
        revive_sessions: false,
        client_features: ClientFeatures::Attribute,
        client_capabilities: ClientCapabilities::default(),
        max_instances: 1,
        instance_idle: RETRY,
    };
    let pair = Mutex::new(Some(pair));
    let make = move |_: &InstanceKey, _, _| pair.lock().unwrap().take().unwrap();
    let instances = Instances::new(config, Box::new(make));
    let principal = Principal {
        id: PrincipalId(1),
        fingerprint: TokenFingerprint::default(),
        name: "someone".into(),
        admin: false,
        servers: None,
    };
    let lease = instances.lease(&principal, None, None).unwrap();
    let starting = LeasedProcess::new(lease, Some(Era::Modern));
    made.lock().unwrap()[0].shake(shaken(Era::Modern));
    let used = starting.again();
    assert!(used.is_settled());
    assert_eq!(used.handle, made.lock().unwrap()[0].handle);
    drop(starting);
    // Its program is another one now, which does not know the era.
    made.lock().unwrap()[0].shake(shaken(Era::Legacy));
    let renewed = used.at_once();
    assert_eq!(renewed.handle, first.handle);
    assert!(used.is_present() && used.is_beside(&renewed));
    drop(used);
    let renewed = renewed.again();
    assert_eq!(renewed.handle, first.handle);
    assert!(made.lock().unwrap()[0].was_dismissed());
}
