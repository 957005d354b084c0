//! Modern clients among the hearers: what they are told, and how it is marked.

use super::*;
use crate::memory_budget::MemoryBudget;
use crate::relay::hub::{Filter, Listening};
use crate::relay::queue::Queue;

const EVERYTHING: &str = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}"#;
const KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// A house whose child can tell of everything.
pub(super) fn telling(era: Era) -> House {
    house_of(&Handshake {
        capabilities: EVERYTHING.into(),
        ..handshake(era)
    })
}

pub(super) fn filter(notifications: &str) -> Filter {
    let params = format!(r#"{{"notifications":{notifications}}}"#);
    Filter::of_params(params.as_bytes()).unwrap()
}

pub(in crate::relay) fn changed(list: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#)
}

fn marked(list: &str, id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed","params":{{"_meta":{{"{KEY}":{id}}}}}}}"#
    )
}

fn acknowledged(id: &str, notifications: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"{KEY}":{id}}},"notifications":{notifications}}}}}"#
    )
}

pub(in crate::relay) fn queue() -> Arc<Queue> {
    let memory = MemoryBudget::new(usize::MAX).process_account();
    Arc::new(Queue::new(16, 10_000, memory))
}

/// What waits in a queue by now.
pub(in crate::relay) fn waiting(queue: &Queue) -> Vec<String> {
    let context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut seen = Vec::new();
    while let std::task::Poll::Ready(Some(message)) = queue.poll(&context) {
        seen.push(text(&message));
    }
    seen
}

impl House {
    /// A modern client of a legacy child listens; the child answers what it is asked with empty results.
    async fn listen(&self, id: &str, notifications: &str) -> (Listening, Arc<Queue>, Vec<String>) {
        let queue = queue();
        let (id, sink) = (Bytes::copy_from_slice(id.as_bytes()), Arc::clone(&queue));
        let hub = &self.upstream.hub;
        let listen = hub.listen(PrincipalId(7), id, filter(notifications), sink as _);
        let child = async {
            let asked = self.child.read();
            for line in &asked {
                self.answer(line).await;
            }
            asked
        };
        let (listening, asked) = tokio::join!(biased; listen, child);
        (listening.unwrap(), queue, asked)
    }
}

#[tokio::test]
async fn the_acknowledgement_comes_first_and_says_what_is_honoured() {
    let house = house_of(&Handshake {
        capabilities: r#"{"tools":{"listChanged":true},"prompts":{}}"#.into(),
        ..handshake(Era::Legacy)
    });
    let (_listening, queue, asked) = house
        .listen(
            "1",
            r#"{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a:"]}"#,
        )
        .await;
    house.say(&changed("tools")).await;
    house.say(&changed("prompts")).await;
    let expected = [
        acknowledged("1", r#"{"toolsListChanged":true}"#),
        marked("tools", "1"),
    ];
    assert_eq!(waiting(&queue), expected);
    assert!(asked.is_empty(), "the child has no resources: {asked:?}");
}

#[tokio::test]
async fn each_hears_what_it_asked_for_under_its_own_id_and_once() {
    let house = telling(Era::Legacy);
    let mut ear = house.open(1).unwrap();
    let (_one, first, _) = house.listen("\"é\"", r#"{"toolsListChanged":true}"#).await;
    let (_two, second, _) = house
        .listen(
            "9007199254740993",
            r#"{"promptsListChanged":true,"toolsListChanged":true}"#,
        )
        .await;
    waiting(&first);
    waiting(&second);
    house.say(&changed("prompts")).await;
    house.say(&changed("tools")).await;
    house.say(&changed("resources")).await;
    assert_eq!(waiting(&first), [marked("tools", "\"é\"")]);
    let id = "9007199254740993";
    assert_eq!(
        waiting(&second),
        [marked("prompts", id), marked("tools", id)]
    );
    let all = ["prompts", "tools", "resources"].map(changed);
    assert_eq!(heard(&mut ear), all);
}

#[tokio::test]
async fn a_legacy_child_has_one_subscription_for_both_eras() {
    let house = telling(Era::Legacy);
    let ear = house.open(1).unwrap();
    let subscribe =
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a:"}}"#;
    house.asked(caller(1, Some(&ear)), subscribe).await;
    let (one, first, asked) = house
        .listen("1", r#"{"resourceSubscriptions":["a:","b:"]}"#)
        .await;
    assert_eq!(asked.len(), 1, "what nobody wanted before: {asked:?}");
    assert!(asked[0].contains(r#""method":"resources/subscribe","params":{"uri":"b:"}"#));
    waiting(&first);
    let updated =
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"b:"}}"#;
    house.say(updated).await;
    let expected = updated.replace(r#"{"uri""#, &format!(r#"{{"_meta":{{"{KEY}":1}},"uri""#));
    assert_eq!(waiting(&first), [expected]);
    drop(one);
    let told = house.child.read();
    assert_eq!(told.len(), 1, "the other is wanted still: {told:?}");
    assert!(told[0].contains(r#""method":"resources/unsubscribe","params":{"uri":"b:"}"#));
    drop(ear);
    assert_eq!(house.child.read().len(), 1);
}

#[tokio::test]
async fn a_resource_that_the_child_refuses_is_not_acknowledged() {
    let house = telling(Era::Legacy);
    let queue = queue();
    let wishes = filter(r#"{"resourceSubscriptions":["a:","b:"]}"#);
    let sink = Arc::clone(&queue) as _;
    let listen = house
        .upstream
        .hub
        .listen(PrincipalId(7), Bytes::from_static(b"1"), wishes, sink);
    let child = async {
        house.child.read();
        house
            .say(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#)
            .await;
        house.say(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#).await;
    };
    let (listening, ()) = tokio::join!(biased; listen, child);
    assert!(listening.is_ok());
    let expected = acknowledged("1", r#"{"resourceSubscriptions":["b:"]}"#);
    assert_eq!(waiting(&queue), [expected]);
    assert!(!house.upstream.hub.is_wanted("a:"));
}

#[tokio::test]
async fn a_stream_that_the_gateway_ends_says_so_and_nothing_after_it() {
    let house = telling(Era::Legacy);
    let (listening, queue, _) = house.listen("\"x\"", r#"{"toolsListChanged":true}"#).await;
    waiting(&queue);
    let end: Value = serde_json::from_slice(&listening.finish()).unwrap();
    assert_eq!(
        end,
        serde_json::json!({"jsonrpc": "2.0", "id": "x", "result": {
            "resultType": "complete",
            "_meta": {KEY: "x", "io.modelcontextprotocol/serverInfo": {"name": "a \"b\"", "version": "1"}},
        }})
    );
    house.say(&changed("tools")).await;
    assert_eq!(waiting(&queue), [""; 0]);
}

#[tokio::test]
async fn after_a_restart_a_legacy_child_is_told_again_and_lists_are_to_be_read_again() {
    let house = telling(Era::Legacy);
    let (_one, first, _) = house
        .listen(
            "1",
            r#"{"toolsListChanged":true,"resourceSubscriptions":["a:"]}"#,
        )
        .await;
    waiting(&first);
    let shaken = Handshake {
        capabilities: EVERYTHING.into(),
        ..handshake(Era::Legacy)
    };
    become_ready(&house.upstream.hub, Incarnation(2), &shaken);
    let told = house.child.read();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(r#""method":"resources/subscribe","params":{"uri":"a:"}"#));
    assert_eq!(waiting(&first), [marked("tools", "1")]);
}

#[tokio::test]
async fn who_listens_to_several_servers_waits_for_none_of_them() {
    let house = telling(Era::Legacy);
    let queue = queue();
    let id = Bytes::from_static(b"1");
    let wishes = filter(r#"{"toolsListChanged":true,"resourceSubscriptions":["a:"]}"#);
    let sink = Arc::clone(&queue);
    let hub = &house.upstream.hub;
    let listening = hub.listen_at_once(PrincipalId(7), id, wishes, sink as _);
    let told = house.child.read();
    assert_eq!(told.len(), 1, "the child is told of the wish");
    house.answer(&told[0]).await;
    house.say(&changed("tools")).await;
    house.say(&changed("prompts")).await;
    assert_eq!(
        waiting(&queue),
        [marked("tools", "1")],
        "and no acknowledgement"
    );
    drop(listening);
    assert_eq!(
        house.child.read().len(),
        1,
        "and that nobody has it any more"
    );
    house.say(&changed("tools")).await;
    assert_eq!(waiting(&queue), Vec::<String>::new());
}

/// A client that is told asks at once, and must not be shown the lists without this server's again.
#[tokio::test]
async fn a_life_is_announced_when_it_takes_requests_and_not_before() {
    for missed_after_handshake in [false, true] {
        let hub = hub_of(&"test".parse().unwrap());
        let queue = queue();
        let _ear = hub.join(PrincipalId(7), Arc::clone(&queue) as _);
        if !missed_after_handshake {
            hub.was_missing();
        }
        hub.handshake_completed(Incarnation(1), &handshake(Era::Legacy));
        assert!(hub.is_unborn());
        if missed_after_handshake {
            hub.was_missing();
        }
        assert_eq!(waiting(&queue), [""; 0]);
        hub.ready(Incarnation(1));
        assert_eq!(waiting(&queue), [changed("tools")]);
        hub.ready(Incarnation(2));
        assert_eq!(waiting(&queue), [""; 0], "there is no such life");
    }
}

#[tokio::test]
async fn the_first_life_is_announced_where_somebody_may_have_missed_it() {
    for is_missed in [false, true] {
        let hub = hub_of(&"test".parse().unwrap());
        let queue = queue();
        let _ear = hub.join(PrincipalId(7), Arc::clone(&queue) as _);
        if is_missed {
            hub.may_be_missing();
        }
        become_ready(&hub, Incarnation(1), &handshake(Era::Legacy));
        let expected = if is_missed {
            vec![changed("tools")]
        } else {
            Vec::new()
        };
        assert_eq!(waiting(&queue), expected);
    }
}
