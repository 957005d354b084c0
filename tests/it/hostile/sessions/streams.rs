//! Streams that somebody else reads, or had read (H088, H089).

use super::*;
use crate::support::sse::Sse;

async fn changes(session: &Session, of: &str) {
    session.deed(&json!({"do": "list_changed", "of": of})).await;
}

async fn hears(stream: &mut Sse, of: &str) {
    let heard = stream.message(SOON).await;
    let method = format!("notifications/{of}/list_changed");
    assert_eq!(heard["method"], method, "{heard}");
}

/// H088: a client that lost its connection without the gateway knowing may open the stream again: each
/// message goes to the newest reader alone, the one before it stays open and is told again when that one
/// goes. Nobody else can open it.
#[tokio::test]
async fn a_second_reader_of_a_stream_takes_turns_with_the_first() {
    let gateway = two_people();
    let own = open(&gateway.alice()).await;
    let mut first = own.listen().await;
    first.event(SOON).await;
    assert_eq!(own.stolen_by(&gateway.bob()).get_whole().await.status, 404);
    changes(&own, "tools").await;
    hears(&mut first, "tools").await;

    let mut second = own.listen().await;
    second.event(SOON).await;
    changes(&own, "prompts").await;
    hears(&mut second, "prompts").await;
    drop(second);
    // The gateway notices that a connection is gone when it wants to write: what it writes then is kept.
    crate::support::wait::wait_for("the first reader's turn", SOON, async || {
        changes(&own, "resources").await;
        let next = tokio::time::timeout(Duration::from_millis(200), first.message(SOON)).await;
        let heard = next.ok()?;
        assert_ne!(
            heard["method"], "notifications/prompts/list_changed",
            "{heard}"
        );
        Some(())
    })
    .await;
    assert_eq!(own.end().await.status, 204);
}

/// A call that tells its progress so often, with a note, and the ids of the events of its stream.
async fn event_ids(session: &Session, note: &str) -> Vec<String> {
    let deed = json!({"do": "progress", "count": 3, "interval_ms": 20, "note": note, "say": note});
    let mut call = tool_call(note, "gremlin", &deed);
    call["params"]["_meta"] = json!({"progressToken": note});
    let mut stream = session.stream(&call).await;
    let mut ids = Vec::new();
    while let Some(item) = stream.next(SOON).await {
        if let crate::support::sse::Item::Event(event) = item {
            ids.extend(event.id);
        }
    }
    assert!(ids.len() >= 4, "{ids:?}");
    ids
}

/// H089: the ids of somebody else's events replay one's own or nothing, also in another session of the
/// same client.
#[tokio::test]
async fn the_last_event_of_another_replays_nothing_of_it() {
    let gateway = two_people();
    let alice = gateway.alice();
    let (own, second) = (open(&alice).await, open(&alice).await);
    let foreign = open(&gateway.bob()).await;
    let ids = event_ids(&own, "secret of alice").await;
    event_ids(&foreign, "of bob").await;
    for id in &ids {
        for thief in [&second, &foreign] {
            let answer = thief
                .get()
                .header("last-event-id", id)
                .send()
                .await
                .unwrap();
            if answer.status() == 400 {
                continue;
            }
            // The same id of the thief's own: a stream that has ended, replayed to its end.
            let heard = Sse::new(answer).messages(SOON).await;
            assert!(
                !json!(heard).to_string().contains("alice"),
                "{id}: {heard:?}"
            );
        }
        let stolen = own.stolen_by(&gateway.bob()).get();
        let stolen = gateway.bob().send(stolen.header("last-event-id", id)).await;
        assert_eq!(stolen.status, 404, "{id}");
    }
    let replayed = own.resume(&ids[0]).await.messages(SOON).await;
    assert!(json!(replayed).to_string().contains("secret of alice"));
}

/// H089: what is no id of an event of this session is refused.
#[tokio::test]
async fn a_last_event_that_never_was_is_refused() {
    let gateway = two_people();
    let own = open(&gateway.alice()).await;
    event_ids(&own, "mine").await;
    let long = "1".repeat(8000);
    for id in [
        "-1",
        "0--1",
        "-",
        "1-",
        "-0",
        "abc",
        "1-1x",
        "1-1-1",
        "+1-0",
        "1.0-0",
        " 1 - 1",
        "0x1-0",
        "18446744073709551615-0",
        "18446744073709551616-0",
        "0-18446744073709551615",
        "0-99999999999999999999999",
        "0-1000",
        "7-0",
        &long,
    ] {
        let request = own.get().header("last-event-id", id);
        let refused = gateway.alice().send(request).await;
        assert_eq!(refused.status, 400, "{id:.40}: {}", refused.text());
        assert!(!refused.text().contains("mine"));
    }
    for bytes in [&b"\xff"[..], b"1\xe9-0"] {
        let request = own.get().header("last-event-id", bytes);
        let refused = gateway.alice().send(request).await;
        assert_eq!(refused.status, 400, "{bytes:?}");
    }
    let request = own.get().header("last-event-id", "0-0");
    let two = gateway
        .alice()
        .send(request.header("last-event-id", "0-0"))
        .await;
    assert_eq!(two.status, 400);
}
