//! Subscriptions that some give up while others come: whoever is told that it is subscribed hears of the resource.

use super::listening::{filter, queue, telling};
use super::*;
use crate::relay::hub::Listening;
use crate::supervisor::State;

const SUBSCRIBE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a:"}}"#;
const UNSUBSCRIBE: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"resources/unsubscribe","params":{"uri":"a:"}}"#;

/// The methods about resources among what a child has read.
fn told(lines: &[String]) -> Vec<&str> {
    let method = |line: &String| {
        let is = |method: &&str| line.contains(&format!("\"{method}\""));
        ["resources/subscribe", "resources/unsubscribe"]
            .into_iter()
            .find(is)
    };
    lines.iter().filter_map(method).collect()
}

impl House {
    /// Listens to the resource as one who listens to several servers.
    fn listen_at_once(&self, principal: u32) -> Listening {
        let wishes = filter(r#"{"resourceSubscriptions":["a:"]}"#);
        let (id, sink) = (Bytes::from_static(b"1"), queue());
        let hub = &self.upstream.hub;
        hub.listen_at_once(PrincipalId(principal), id, wishes, sink as _)
    }

    fn become_ready_again(&self) {
        become_ready(&self.upstream.hub, Incarnation(2), &handshake(Era::Legacy));
    }
}

/// A client that hangs up while it unsubscribes leaves no subscription behind, and the server is asked once.
#[tokio::test]
async fn what_a_client_was_giving_up_when_it_hung_up_is_given_up() {
    for is_written in [false, true] {
        let house = telling(Era::Legacy);
        let one = house.open(1).unwrap();
        house.asked(caller(1, Some(&one)), SUBSCRIBE).await;
        let mut leaving = Box::pin(house.send(caller(1, Some(&one)), UNSUBSCRIBE));
        assert!((&mut leaving).now_or_never().is_none());
        let mut read = Vec::new();
        if is_written {
            read.extend(house.child.read());
        }
        drop((leaving, one));
        read.extend(house.child.read());
        assert_eq!(told(&read), ["resources/unsubscribe"]);
        house.answer(&read[0]).await;
        assert_eq!(told(&house.child.read()), [""; 0]);
    }
}

/// The request of a client that hangs up stays in the queue of its principal, however full that is: whoever subscribes
/// meanwhile does so after it, a session as well as one who listens.
#[tokio::test]
async fn a_subscriber_comes_after_an_unsubscribe_of_a_client_that_has_hung_up() {
    for listens in [false, true] {
        let house = telling(Era::Legacy);
        let (one, two) = (house.open(1).unwrap(), house.open(2).unwrap());
        house.asked(caller(1, Some(&one)), SUBSCRIBE).await;
        let mut leaving = Box::pin(house.send(caller(1, Some(&one)), UNSUBSCRIBE));
        assert!((&mut leaving).now_or_never().is_none());
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let mut others = Vec::new();
        loop {
            let mut other = Box::pin(house.send(caller(1, None), list));
            if (&mut other).now_or_never().is_some() {
                break;
            }
            others.push(other);
            assert!(others.len() < 1000, "the queue is full some day");
        }
        drop(leaving);
        let mut coming = Box::pin(house.send(caller(2, Some(&two)), SUBSCRIBE));
        let listening = listens.then(|| house.listen_at_once(2));
        if !listens {
            assert!((&mut coming).now_or_never().is_none());
        }
        let read = house.child.read();
        assert_eq!(told(&read), ["resources/unsubscribe"]);
        for line in &read {
            house.answer(line).await;
        }
        if !listens {
            assert!((&mut coming).now_or_never().is_none());
        }
        assert_eq!(told(&house.child.read()), ["resources/subscribe"]);
        drop(listening);
    }
}

/// A request that is queued when the server ends is written to its next life: what is wanted is told to that life after it.
#[tokio::test]
async fn a_new_life_is_told_of_wishes_after_an_unsubscribe_that_was_queued_before() {
    let house = telling(Era::Legacy);
    let one = house.open(1).unwrap();
    house.asked(caller(1, Some(&one)), SUBSCRIBE).await;
    let mut leaving = Box::pin(house.send(caller(1, Some(&one)), UNSUBSCRIBE));
    assert!((&mut leaving).now_or_never().is_none());
    house.child.set_state(State::Backoff);
    let _listening = house.listen_at_once(2);
    house.child.set_state(State::Ready);
    house.become_ready_again();
    let read = house.child.read();
    assert_eq!(told(&read), ["resources/unsubscribe"]);
    house.answer(&read[0]).await;
    assert_eq!(told(&house.child.read()), ["resources/subscribe"]);
}

/// One that is of an earlier life is not asked for in a later one, which has no such subscription.
#[tokio::test]
async fn a_life_that_has_no_subscription_is_not_asked_to_end_it() {
    let house = telling(Era::Legacy);
    let one = house.open(1).unwrap();
    house.asked(caller(1, Some(&one)), SUBSCRIBE).await;
    let mut leaving = Box::pin(house.send(caller(1, Some(&one)), UNSUBSCRIBE));
    assert!((&mut leaving).now_or_never().is_none());
    assert_eq!(told(&house.child.read()), ["resources/unsubscribe"]);
    house.become_ready_again();
    drop((leaving, one));
    assert_eq!(told(&house.child.read()), [""; 0]);
}

/// Nobody can keep a subscriber waiting by asking to end what the server has no subscription of, or what the subscriber
/// wants by now.
#[tokio::test]
async fn the_server_is_asked_once_to_end_a_subscription() {
    let house = telling(Era::Legacy);
    let one = house.open(1).unwrap();
    let asked = house.asked(caller(1, None), UNSUBSCRIBE).await;
    assert_eq!(told(&asked), [""; 0], "nobody has it");
    house.asked(caller(1, Some(&one)), SUBSCRIBE).await;
    let mut leaving = Box::pin(house.send(caller(1, Some(&one)), UNSUBSCRIBE));
    assert!((&mut leaving).now_or_never().is_none());
    let read = house.child.read();
    assert_eq!(told(&read), ["resources/unsubscribe"]);
    let (id, sink) = (Bytes::from_static(b"1"), queue());
    let wishes = filter(r#"{"resourceSubscriptions":["a:"]}"#);
    let hub = &house.upstream.hub;
    let mut coming = Box::pin(hub.listen(PrincipalId(2), id, wishes, sink as _));
    assert!((&mut coming).now_or_never().is_none());
    assert!(hub.is_wanted("a:"), "the wish is noted first");
    for _ in 0..3 {
        let asked = house.asked(caller(1, None), UNSUBSCRIBE).await;
        assert_eq!(told(&asked), [""; 0]);
    }
    house.answer(&read[0]).await;
    assert!((&mut coming).now_or_never().is_none());
    assert_eq!(told(&house.child.read()), ["resources/subscribe"]);
}

/// A server that does not answer keeps a subscriber waiting for as long as a request may last; then it is told so, and
/// its wish is taken back.
#[tokio::test(start_paused = true)]
async fn a_subscriber_does_not_wait_for_ever() {
    let house = telling(Era::Legacy);
    let (one, two) = (house.open(1).unwrap(), house.open(2).unwrap());
    house.asked(caller(1, Some(&one)), SUBSCRIBE).await;
    let mut leaving = Box::pin(house.send(caller(1, Some(&one)), UNSUBSCRIBE));
    assert!((&mut leaving).now_or_never().is_none());
    assert_eq!(told(&house.child.read()), ["resources/unsubscribe"]);
    let coming = house.send(caller(2, Some(&two)), SUBSCRIBE).await;
    let failure = coming.unwrap_err();
    assert_eq!(failure.fault.kind, FaultKind::ServerBusy, "{failure:?}");
    let hub = &house.upstream.hub;
    assert!(!hub.is_wanted("a:"));
    let (id, sink) = (Bytes::from_static(b"1"), queue());
    let wishes = filter(r#"{"resourceSubscriptions":["a:"]}"#);
    let fault = hub.listen(PrincipalId(2), id, wishes, sink as _).await;
    assert_eq!(fault.unwrap_err().kind, FaultKind::ServerBusy);
    assert!(!hub.is_wanted("a:"));
    assert_eq!(told(&house.child.read()), [""; 0]);
}
