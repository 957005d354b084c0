//! Who hears what a child says of its own accord.

use super::*;

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#;
const LOG: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"secret of one"}}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"_meta":{"progressToken":"mine"}}}"#;

#[tokio::test]
async fn a_changed_list_is_everybodys() {
    let house = house(Era::Legacy);
    let elsewhere = hub_of(&"other".parse().unwrap());
    let mut there = house.open_on(&elsewhere, 1).unwrap();
    let mut here = [house.open(1).unwrap(), house.open(2).unwrap()];
    house.say(CHANGED).await;
    for stream in &mut here {
        assert_eq!(heard(stream), [CHANGED]);
    }
    assert_eq!(heard(&mut there), [""; 0], "of this server");
}

#[tokio::test]
async fn a_log_is_for_the_only_one_who_uses_the_child() {
    let house = house(Era::Legacy);
    let (mut one, mut two) = (house.open(1).unwrap(), house.open(2).unwrap());
    house.say(LOG).await;
    house.asked(caller(1, None), CALL).await;
    house.say(LOG).await;
    assert_eq!(
        heard(&mut one),
        [LOG],
        "once, when it could be meant for somebody"
    );
    house.asked(caller(2, None), CALL).await;
    house.say(LOG).await;
    assert_eq!(heard(&mut one), [""; 0], "it could be the other's");
    assert_eq!(heard(&mut two), [""; 0]);
    // A new life has no users yet.
    become_ready(&house.upstream.hub, Incarnation(2), &handshake(Era::Legacy));
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    assert_eq!(heard(&mut one), [changed], "its lists may be others");
    assert_eq!(heard(&mut two), [changed]);
    house.say(LOG).await;
    house.asked(caller(2, None), CALL).await;
    house.say(LOG).await;
    assert_eq!(
        (heard(&mut one), heard(&mut two)),
        (vec![], vec![LOG.to_owned()])
    );
}

#[tokio::test]
async fn a_log_of_a_child_of_many_is_for_the_only_one_who_waits() {
    let house = house(Era::Legacy);
    let (mut one, mut two) = (house.open(1).unwrap(), house.open(2).unwrap());
    house.asked(caller(1, None), CALL).await;
    let child = async {
        let first = house.child.read().concat();
        house.say(LOG).await;
        first
    };
    let mut call = Box::pin(house.send(caller(2, None), CALL));
    let first = tokio::select! {
        biased;
        answer = &mut call => panic!("{answer:?}"),
        first = child => first,
    };
    assert_eq!(
        (heard(&mut one), heard(&mut two)),
        (vec![], vec![LOG.to_owned()])
    );
    let mut other = Box::pin(house.send(caller(1, None), CALL));
    assert!((&mut other).now_or_never().is_none());
    let second = house.child.read().concat();
    house.say(LOG).await;
    assert_eq!(
        (heard(&mut one), heard(&mut two)),
        (vec![], vec![]),
        "two wait"
    );
    house.answer(&first).await;
    house.answer(&second).await;
    assert!(call.await.is_ok() && other.await.is_ok());
}

#[tokio::test]
async fn progress_is_for_the_session_of_its_call_under_its_own_token() {
    let house = house(Era::Legacy);
    let (mut own, mut same_token) = (house.open(1).unwrap(), house.open(1).unwrap());
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":0.5}}"#;
    let child = async {
        let request = house.child.read().concat();
        house.say(progress).await;
        house.answer(&request).await;
    };
    let caller = caller(1, Some(&own));
    let (answer, ()) = tokio::join!(biased; house.send(caller, CALL), child);
    assert!(answer.is_ok());
    house.say(progress).await;
    let expected = progress.replace("\"progressToken\":1", "\"progressToken\":\"mine\"");
    assert_eq!(
        heard(&mut own),
        [expected],
        "not what comes after the answer"
    );
    assert_eq!(heard(&mut same_token), [""; 0]);
}

#[tokio::test]
async fn a_slow_reader_ends_and_delays_nobody() {
    let house = house(Era::Legacy);
    let (mut slow, mut quick) = (house.open(1).unwrap(), house.open(2).unwrap());
    for _ in 0..10 {
        house.say(CHANGED).await;
        assert_eq!(heard(&mut quick), [CHANGED]);
    }
    let (seen, ended) = drained(&mut slow);
    assert_eq!((seen.len(), ended), (4, true));
}

#[tokio::test]
async fn a_request_of_the_child_is_answered_at_once() {
    let house = house(Era::Legacy);
    let mut stream = house.open(1).unwrap();
    house
        .say(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#)
        .await;
    house
        .say(r#"{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage"}"#)
        .await;
    let answers = house.child.read();
    assert_eq!(
        answers[0],
        "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}\n"
    );
    let refused: Value = serde_json::from_str(&answers[1]).unwrap();
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&Value::from(2), &Value::from(-32601))
    );
    assert_eq!(answers.len(), 2);
    assert_eq!(heard(&mut stream), [""; 0], "and put to nobody");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_in_the_modern_era_only() {
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    for (body, cancels) in [(CALL, false), (modern, true)] {
        let house = house(Era::Legacy);
        let mut call = Box::pin(house.send(caller(1, None), body));
        assert!((&mut call).now_or_never().is_none());
        let request = house.child.read().concat();
        drop(call);
        let told = house.child.read().concat();
        assert_eq!(told.contains("notifications/cancelled"), cancels, "{told}");
        assert_eq!(
            house.upstream.handle.mux().load().in_flight,
            usize::from(!cancels)
        );
        house.answer(&request).await;
        assert_eq!(house.upstream.handle.mux().load().in_flight, 0);
    }
}
