//! Sessions: who may use them, how many there may be, and what they subscribe to.

use super::*;
use crate::supervisor::State;

const UPDATED: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///ä"}}"#;

fn about(method: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"resources/{method}","params":{{"uri":"file:///\u00e4"}}}}"#
    )
}

#[tokio::test]
async fn a_session_is_its_principals_and_its_servers() {
    let house = house(Era::Legacy);
    let elsewhere = hub_of(&"other".parse().unwrap());
    let (own, foreign) = (
        house.open(1).unwrap(),
        house.open_on(&elsewhere, 2).unwrap(),
    );
    let ended = caller(1, Some(&house.open(1).unwrap()));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert!(house.send(caller(1, Some(&own)), ping).await.is_ok());
    for stranger in [caller(2, Some(&own)), caller(2, Some(&foreign)), ended] {
        let failure = house.send(stranger, ping).await.unwrap_err();
        assert_eq!(failure.fault.kind, FaultKind::SessionNotFound);
        assert_eq!(
            failure.fault.message, "unknown session",
            "one answer for all"
        );
    }
}

#[tokio::test]
async fn the_streams_of_one_token_are_bounded_and_come_free() {
    let house = house(Era::Legacy);
    let (one, _two) = (house.open(1).unwrap(), house.open(1).unwrap());
    let fault = house.open(1).unwrap_err();
    assert_eq!(fault.kind, FaultKind::RateLimited);
    assert!(fault.retry_after.is_some());
    let other = house.open(2).unwrap();
    assert_ne!(one.session_id(), other.session_id());
    assert_eq!(one.session_id().len(), 32, "128 bits");
    drop(one);
    assert!(house.open(1).is_ok());
    assert_eq!(house.shared.sessions.count(house.upstream.handle.id()), 2);
}

#[tokio::test]
async fn updates_reach_those_who_want_them() {
    let house = house(Era::Legacy);
    let mut streams = [
        house.open(1).unwrap(),
        house.open(1).unwrap(),
        house.open(2).unwrap(),
    ];
    house
        .asked(caller(1, Some(&streams[0])), &about("subscribe"))
        .await;
    house
        .asked(caller(2, Some(&streams[2])), &about("subscribe"))
        .await;
    house.say(UPDATED).await;
    house.say(&UPDATED.replace('ä', "b")).await;
    let heard: Vec<_> = streams.iter_mut().map(heard).collect();
    assert_eq!(heard, [vec![UPDATED], vec![], vec![UPDATED]]);
}

#[tokio::test]
async fn the_child_keeps_a_subscription_until_the_last_one_is_gone() {
    let house = house(Era::Legacy);
    let (one, two) = (house.open(1).unwrap(), house.open(2).unwrap());
    let first = house
        .asked(caller(1, Some(&one)), &about("subscribe"))
        .await;
    assert_eq!(first.len(), 1);
    house
        .asked(caller(2, Some(&two)), &about("subscribe"))
        .await;
    let left = house
        .asked(caller(1, Some(&one)), &about("unsubscribe"))
        .await;
    assert!(left.is_empty(), "another wants it: {left:?}");
    let stranger = house.asked(caller(3, None), &about("unsubscribe")).await;
    assert!(
        stranger.is_empty(),
        "nobody ends what is not his: {stranger:?}"
    );
    let last = house
        .asked(caller(2, Some(&two)), &about("unsubscribe"))
        .await;
    assert_eq!(last.len(), 1);
}

#[tokio::test]
async fn a_stream_that_ends_takes_its_subscriptions_along() {
    let house = house(Era::Legacy);
    let (one, two) = (house.open(1).unwrap(), house.open(2).unwrap());
    house
        .asked(caller(1, Some(&one)), &about("subscribe"))
        .await;
    house
        .asked(caller(2, Some(&two)), &about("subscribe"))
        .await;
    drop(one);
    assert!(house.child.read().is_empty(), "another wants it");
    drop(two);
    let told = house.child.read();
    let expected =
        r#"{"jsonrpc":"2.0","id":3,"method":"resources/unsubscribe","params":{"uri":"file:///ä"}}"#;
    assert_eq!(told, [format!("{expected}\n")]);
}

/// A message before the handshake would pin the era of a strict child, or break it.
#[tokio::test]
async fn a_child_that_is_being_started_hears_nothing_of_old_subscriptions() {
    for state in [
        State::Starting,
        State::Backoff,
        State::Stopping,
        State::Stopped,
    ] {
        let house = house(Era::Legacy);
        let stream = house.open(1).unwrap();
        house
            .asked(caller(1, Some(&stream)), &about("subscribe"))
            .await;
        house.child.set_state(state);
        drop(stream);
        assert_eq!(house.child.read(), [""; 0], "{state:?}");
    }
}

#[tokio::test]
async fn a_drain_ends_every_stream_after_what_it_has_to_say() {
    let house = house(Era::Legacy);
    let mut streams = [house.open(1).unwrap(), house.open(2).unwrap()];
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    house.say(changed).await;
    house.shared.sessions.end_all();
    house.say(changed).await;
    for stream in &mut streams {
        assert_eq!(drained(stream), (vec![changed.to_owned()], true));
    }
}
