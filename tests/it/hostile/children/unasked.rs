//! What a server says that nobody wanted to hear (H100 to H102).

use super::*;
use crate::support::wait::wait_until;

/// H100: the ids of a server's requests and ours are two sets of names.
#[tokio::test]
async fn a_server_may_call_its_requests_as_it_likes() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let journal = gateway.journal("s1");
    let held = json!({"do": "sleep", "ms": 400, "say": "own answer"});
    let (answer, ()) = tokio::join!(client.deed("s1", &held), async {
        wait_until("the call", SOON, || journal.count("own answer") == 1).await;
        let calls = journal.of_method("tools/call");
        let minted = calls.last().unwrap()["id"].to_string();
        for id in [
            minted.as_str(),
            "\"a\\u0000b\"",
            "-7",
            "18446744073709551616",
        ] {
            let frame = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#);
            let written = client
                .deed("s1", &json!({"do": "write", "frame": frame}))
                .await;
            assert_eq!(text_of(&written.json()), "written");
            wait_until("the refusal", SOON, || {
                let refused = format!(r#""id":{id},"error":{{"code":-32601"#);
                journal.count(&refused) == 1
            })
            .await;
        }
    });
    assert_eq!(text_of(&answer.json()), "own answer");
    is_well(&client).await;
}

/// RA03: a request of the server that is too long or that cannot be read, under the number of a call, is refused to the
/// server; the call goes on to its own answer.
#[tokio::test]
async fn a_request_that_cannot_be_taken_ends_no_call_of_its_number() {
    let gateway = Gateway::builder()
        .limit("max_line_bytes", 65_536)
        .server(Server::gremlin("s1"))
        .start();
    let client = gateway.client();
    let journal = gateway.journal("s1");
    let held = json!({"do": "sleep", "ms": 1500, "say": "own answer"});
    let (answer, ()) = tokio::join!(client.deed("s1", &held), async {
        wait_until("the call", SOON, || journal.count("own answer") == 1).await;
        let id = journal.of_method("tools/call").last().unwrap()["id"].to_string();
        let long = "x".repeat(100_000);
        let frames = [
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list","params":{{"x":"{long}"}}}}"#
            ),
            format!(
                r#"{{"method":"roots/list","params":{{"x":"{long}"}},"id":{id},"jsonrpc":"2.0"}}"#
            ),
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list","params":{{"x":NaN}}}}"#),
        ];
        for (count, frame) in (1..).zip(frames) {
            let write = json!({"do": "write", "frame": frame});
            let written = client.deed("s1", &write).await;
            assert_eq!(text_of(&written.json()), "written");
            wait_until("the refusal", SOON, || {
                let refused = format!(r#""id":{id},"error":"#);
                journal.count(&refused) == count
            })
            .await;
        }
    });
    assert_eq!(text_of(&answer.json()), "own answer");
    is_well(&client).await;
}

/// H101: progress of what is not under way, and updates of what nobody subscribed to, are dropped.
#[tokio::test]
async fn what_nobody_waits_for_is_dropped() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let mut stream = client.listen("/s1/rpc").await;
    let session = Session::open(&client, "/s1/mcp", REVISION).await;
    let mut own = session.listen().await;
    let progress = |token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
        )
    };
    // Never given out, given out and over, and none at all.
    for token in ["99999", "1", "\"mine\"", "null", "{}"] {
        let before = dropped(&client, "unknown_progress").await;
        client
            .deed("s1", &json!({"do": "write", "frame": progress(token)}))
            .await;
        dropped_since(&client, "unknown_progress", before, 1).await;
    }
    let before = dropped(&client, "no_listener").await;
    let updated = json!({"do": "updated", "uri": "gremlin://elsewhere"});
    client.deed("s1", &updated).await;
    dropped_since(&client, "no_listener", before, 1).await;
    let before = dropped(&client, "unattributed").await;
    let invented = r#"{"jsonrpc":"2.0","method":"notifications/invented","params":{"a":1}}"#;
    client
        .deed("s1", &json!({"do": "write", "frame": invented}))
        .await;
    dropped_since(&client, "unattributed", before, 1).await;

    client
        .deed("s1", &json!({"do": "list_changed", "of": "tools"}))
        .await;
    for stream in [&mut stream, &mut own] {
        let heard = stream.message(SOON).await;
        assert_eq!(
            heard["method"], "notifications/tools/list_changed",
            "{heard}"
        );
    }
}

/// H102: a log message of the server's reaches the one call that can have caused it, or nobody; none of
/// it is in the gateway's own log, at whatever level.
#[tokio::test]
async fn what_a_server_logs_is_told_to_its_cause_and_to_no_log() {
    const CANARY: &str = "canary-of-the-child-48c1";
    let gateway = Gateway::builder()
        .people()
        .set("log", json!({"level": "trace", "format": "json"}))
        .server(Server::gremlin("s1"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let of_alice = Session::open(&alice, "/s1/mcp", REVISION).await;
    let of_bob = Session::open(&bob, "/s1/mcp", REVISION).await;
    let (mut to_alice, mut to_bob) = (of_alice.listen().await, of_bob.listen().await);
    let log = json!({"do": "log", "level": "error", "text": CANARY});
    // Bob has a call under way: it can be meant for either.
    let held = tool_call(
        "held",
        "gremlin",
        &json!({"do": "sleep", "ms": 700, "say": "done"}),
    );
    let mut held = of_bob.stream(&held).await;
    wait_until("the call", SOON, || {
        gateway.journal("s1").count("\"sleep\"") == 1
    })
    .await;
    let before = dropped(&alice, "unattributed").await;
    let answer = of_alice.deed(&log).await;
    assert_eq!(text_of(&answer), "logged");
    dropped_since(&alice, "unattributed", before, 1).await;
    let done = held.message(SOON).await;
    assert_eq!(text_of(&done), "done");
    // Now she is alone, and is told on the stream of her call.
    let heard = of_alice
        .stream(&tool_call("logs", "gremlin", &log))
        .await
        .messages(SOON)
        .await;
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[0]["params"]["data"], CANARY, "{heard:?}");

    of_alice
        .deed(&json!({"do": "list_changed", "of": "tools"}))
        .await;
    for stream in [&mut to_alice, &mut to_bob] {
        let heard = stream.message(SOON).await;
        assert_eq!(
            heard["method"], "notifications/tools/list_changed",
            "{heard}"
        );
    }
    for path in ["/servers", "/metrics", "/health"] {
        let shown = gateway.client().get(path).await.text();
        assert!(!shown.contains(CANARY), "{path}");
    }
    assert!(!gateway.logs().text().contains(CANARY));
}
