//! The one listen that is open at a modern child.

use super::listening::{changed, filter, queue, telling, waiting};
use super::*;

const KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The same line on the child's listen of this id.
fn on(listen: u64, line: &str) -> String {
    let params = format!(r#""params":{{"_meta":{{"{KEY}":{listen}}}"#);
    match line.split_once(r#""params":{"#) {
        Some((before, after)) => format!("{before}{params},{after}"),
        None => format!("{},{params}}}}}", line.strip_suffix('}').unwrap()),
    }
}

fn updated(uri: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
    )
}

/// A listen as the child reads it: its id and its filter; or the id of one that is cancelled.
#[derive(Debug, PartialEq)]
enum Seen {
    Listen(u64, Value),
    Cancel(u64),
}

impl House {
    /// Lets the keeper do what it has to, and gives what the child can read by then.
    async fn seen(&self) -> Vec<Seen> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let seen = |line: &String| {
            let message: Value = serde_json::from_str(line).unwrap();
            let params = &message["params"];
            match message["method"].as_str() {
                Some("subscriptions/listen") => {
                    assert!(params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string());
                    let wishes = params["notifications"].clone();
                    Seen::Listen(message["id"].as_u64().unwrap(), wishes)
                }
                Some("notifications/cancelled") => {
                    Seen::Cancel(params["requestId"].as_u64().unwrap())
                }
                other => panic!("{other:?}"),
            }
        };
        self.child.read().iter().map(seen).collect()
    }

    async fn acknowledge(&self, listen: u64) {
        let line = r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}"#;
        self.say(&on(listen, line)).await;
    }
}

fn lists() -> Value {
    serde_json::json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true})
}

fn with_resource(mut wishes: Value, uri: &str) -> Value {
    wishes["resourceSubscriptions"] = serde_json::json!([uri]);
    wishes
}

#[tokio::test]
async fn a_legacy_client_hears_a_modern_child_without_its_marks() {
    let house = telling(Era::Modern);
    assert_eq!(house.seen().await, [], "nobody wants anything");
    let mut stream = house.open(1).unwrap();
    assert_eq!(house.seen().await, [Seen::Listen(1, lists())]);
    house.acknowledge(1).await;
    house.say(&on(1, &changed("tools"))).await;
    house.say(&on(5, &changed("prompts"))).await;
    house.say(&changed("prompts")).await;
    let bare = changed("tools").replace('}', r#","params":{"_meta":{}}}"#);
    assert_eq!(heard(&mut stream), [bare]);
    drop(stream);
    assert_eq!(house.seen().await, [Seen::Cancel(1)]);
    assert!(house.upstream.handle.mux().load().in_flight == 0);
}

#[tokio::test]
async fn nothing_is_missed_and_nothing_comes_twice_while_one_listen_follows_another() {
    let house = telling(Era::Modern);
    let sink = queue();
    let hub = &house.upstream.hub;
    let ear = hub.join(PrincipalId(1), Arc::clone(&sink) as _);
    assert_eq!(house.seen().await, [Seen::Listen(1, lists())]);
    house.acknowledge(1).await;
    assert!(house.seen().await.is_empty());
    assert_eq!(ear.wants("a:"), Ok(true));
    assert_eq!(
        house.seen().await,
        [Seen::Listen(2, with_resource(lists(), "a:"))]
    );
    // The old one is good until the new one is acknowledged; both say everything in between.
    house.say(&on(1, &changed("tools"))).await;
    house.acknowledge(2).await;
    house.say(&on(1, &changed("prompts"))).await;
    house.say(&on(2, &changed("prompts"))).await;
    house.say(&on(2, &updated("a:"))).await;
    house.say(&on(2, &updated("b:"))).await;
    let methods: Vec<Value> = waiting(&sink)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["method"].clone())
        .collect();
    let expected = [
        "tools/list_changed",
        "prompts/list_changed",
        "resources/updated",
    ];
    assert_eq!(
        methods,
        expected.map(|name| format!("notifications/{name}"))
    );
    assert_eq!(house.seen().await, [Seen::Cancel(1)]);
    assert!(ear.forgets("a:"), "nobody wants it");
    assert_eq!(house.seen().await, [Seen::Listen(3, lists())]);
}

/// The gateway answers what a modern child does not know.
#[tokio::test]
async fn a_legacy_client_subscribes_at_a_modern_child() {
    let house = telling(Era::Modern);
    let mut stream = house.open(1).unwrap();
    house.seen().await;
    house.acknowledge(1).await;
    let about = |method: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"s","method":"resources/{method}","params":{{"uri":"a:"}}}}"#
        )
    };
    let subscribe = about("subscribe");
    let child = async {
        let seen = house.seen().await;
        house.acknowledge(2).await;
        seen
    };
    let (answer, seen) =
        tokio::join!(biased; house.reply(caller(1, Some(&stream)), &subscribe), child);
    assert_eq!(answer, r#"{"jsonrpc":"2.0","id":"s","result":{}}"#);
    assert_eq!(seen, [Seen::Listen(2, with_resource(lists(), "a:"))]);
    house.say(&on(2, &updated("a:"))).await;
    assert_eq!(heard(&mut stream).len(), 1);
    house.seen().await;
    house
        .reply(caller(1, Some(&stream)), &about("unsubscribe"))
        .await;
    assert_eq!(house.seen().await, [Seen::Listen(3, lists())]);
}

#[tokio::test]
async fn a_modern_client_is_acknowledged_after_the_child_has_acknowledged() {
    let house = telling(Era::Modern);
    let sink = queue();
    let id = Bytes::from_static(b"\"mine\"");
    let wishes = filter(r#"{"resourceSubscriptions":["a:"]}"#);
    let listen = house
        .upstream
        .hub
        .listen(PrincipalId(1), id, wishes, Arc::clone(&sink) as _);
    let child = async {
        let seen = house.seen().await;
        let before = waiting(&sink);
        let Some(Seen::Listen(id, wishes)) = seen.last() else {
            panic!("{seen:?}")
        };
        house.acknowledge(*id).await;
        house.say(&on(*id, &updated("a:"))).await;
        (*id, wishes.clone(), before)
    };
    let (listening, (id, wishes, before)) = tokio::join!(biased; listen, child);
    let listening = listening.unwrap();
    assert_eq!(wishes, with_resource(serde_json::json!({}), "a:"));
    assert_eq!(before, [""; 0]);
    house.say(&on(id, &updated("a:"))).await;
    let heard = waiting(&sink);
    assert!(heard[0].contains("subscriptions/acknowledged"), "{heard:?}");
    let mine = on(0, &updated("a:")).replace(":0}", ":\"mine\"}");
    assert_eq!(heard[1..], [mine], "what came after the acknowledgement");
    drop(listening);
    assert_eq!(house.seen().await, [Seen::Cancel(id)]);
}

#[tokio::test]
async fn a_child_that_refuses_is_no_reason_to_wait() {
    let house = telling(Era::Modern);
    let sink = queue();
    let _ear = house.upstream.hub.join(PrincipalId(1), sink as _);
    let child = async {
        let seen = house.seen().await;
        house
            .say(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such"}}"#)
            .await;
        seen
    };
    let (renewed, _) = tokio::join!(biased; house.upstream.hub.renew(PrincipalId(1), []), child);
    let fault = renewed.unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidParams);
    assert!(fault.message.contains("no such"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_says_nothing_is_not_waited_for_without_end() {
    let house = telling(Era::Modern);
    let _ear = house.upstream.hub.join(PrincipalId(1), queue() as _);
    let (renewed, seen) =
        tokio::join!(biased; house.upstream.hub.renew(PrincipalId(1), []), house.seen());
    assert_eq!(renewed.unwrap_err().kind, FaultKind::ServerTimeout);
    assert_eq!(seen, [Seen::Listen(1, lists())]);
    assert_eq!(house.seen().await[0], Seen::Cancel(1));
}

#[tokio::test(start_paused = true)]
async fn a_listen_that_the_child_ends_is_opened_again_after_a_pause() {
    for ending in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    ] {
        let house = telling(Era::Modern);
        let _ear = house.upstream.hub.join(PrincipalId(1), queue() as _);
        assert_eq!(house.seen().await.len(), 1);
        house.acknowledge(1).await;
        assert!(house.seen().await.is_empty());
        house.say(ending).await;
        let at_once = house.seen().await;
        assert!(!at_once.contains(&Seen::Listen(2, lists())), "{at_once:?}");
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(house.seen().await, [Seen::Listen(2, lists())], "{ending}");
    }
}

#[tokio::test]
async fn a_new_life_is_told_anew_before_lists_are_read_again() {
    let house = telling(Era::Modern);
    let sink = queue();
    let _ear = house
        .upstream
        .hub
        .join(PrincipalId(1), Arc::clone(&sink) as _);
    assert_eq!(house.seen().await, [Seen::Listen(1, lists())]);
    house.acknowledge(1).await;
    assert!(house.seen().await.is_empty());
    let shaken = house.upstream.handle.handshake().unwrap();
    become_ready(&house.upstream.hub, Incarnation(2), &shaken);
    assert_eq!(house.seen().await, [Seen::Listen(2, lists())]);
    house.say(&on(1, &changed("tools"))).await;
    assert_eq!(waiting(&sink), [""; 0], "of the last life");
    house.acknowledge(2).await;
    house.seen().await;
    assert_eq!(
        waiting(&sink),
        ["tools", "prompts", "resources"].map(changed)
    );
}

/// What is wished for while there is no child is not lost.
#[tokio::test]
async fn a_child_that_is_away_is_told_when_it_is_back() {
    let house = telling(Era::Modern);
    let shaken = house.upstream.handle.handshake().unwrap();
    house.upstream.hub.lost(Incarnation(1));
    let stream = house.open(1).unwrap();
    let subscribe =
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a:"}}"#;
    house.reply(caller(1, Some(&stream)), subscribe).await;
    assert_eq!(house.seen().await, []);
    become_ready(&house.upstream.hub, Incarnation(1), &shaken);
    assert_eq!(house.seen().await, [], "over before it was known as ready");
    become_ready(&house.upstream.hub, Incarnation(2), &shaken);
    assert_eq!(
        house.seen().await,
        [Seen::Listen(1, with_resource(lists(), "a:"))]
    );
}
