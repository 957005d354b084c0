//! JSON that is no message, or more than one (H062 to H068, H073, H074, H076).

use super::*;

fn no_message(bodies: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<(Vec<u8>, i64)> {
    let bodies = bodies.into_iter();
    bodies
        .map(|body| (body.as_ref().to_vec(), NO_MESSAGE))
        .collect()
}

/// H062: a member that decides what a message is stands in it once, however it is written.
#[tokio::test]
async fn a_member_of_the_message_stands_in_it_once() {
    let doors = Doors::open().await;
    doors
        .refuse(&no_message([
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","\u0069d":2}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"gremlin"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a","uri":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{},"_meta":{}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"result":2}"#,
        ]))
        .await;
}

/// H064: names are compared exactly, after their escapes (CVE-2026-27896). What only looks like one of
/// them is refused, because a server that folds case would read another message than the gateway did.
#[tokio::test]
async fn a_member_is_named_exactly_and_what_only_looks_like_one_is_refused() {
    let doors = Doors::open().await;
    doors
        .refuse(&no_message([
            r#"{"jsonrpc":"2.0","id":1,"Method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"METHOD":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","METHOD":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","paramſ":{"name":"echo"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","param\u017f":{"name":"echo"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"Params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"ID":2,"method":"ping"}"#,
            r#"{"JsonRPC":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","Result":1}"#,
        ]))
        .await;
    let message = br#"{"jsonrpc":"2.0","id":1,"\u006dethod":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#;
    for door in Door::ALL {
        let (answer, frame) = doors.forward(door, &claiming(door, message)).await;
        let told = message_in(door, &answer);
        assert_eq!(told["result"]["content"][0]["text"], "hi", "{told}");
        assert!(holds(&frame, br#""\u006dethod":"tools/call""#), "{door:?}");
    }
}

/// H067: JSON-RPC 2.0 says that it is.
#[tokio::test]
async fn the_version_of_json_rpc_is_two() {
    let doors = Doors::open().await;
    let without = |version: &str| format!(r#"{{{version}"id":1,"method":"ping"}}"#);
    doors
        .refuse(&no_message(
            [
                "",
                r#""jsonrpc":2,"#,
                r#""jsonrpc":2.0,"#,
                r#""jsonrpc":"1.0","#,
                r#""jsonrpc":"2.0 ","#,
                r#""jsonrpc":"2","#,
                r#""jsonrpc":null,"#,
                r#""jsonrpc":["2.0"],"#,
                r#""version":"2.0","#,
            ]
            .map(without),
        ))
        .await;
    let escaped = without(r#""jsonrpc":"\u0032.0","#);
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        let answer = doors.send(door, escaped.as_bytes()).await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
    }
}

/// H068: an id is an integer or a string; null, which could not be told from none, is neither.
#[tokio::test]
async fn an_id_is_an_integer_or_a_string() {
    let doors = Doors::open().await;
    let with_id = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
    let bad = [
        "null", "true", "false", "1.5", "1.0", "1e3", "1E0", "{}", "[]", "[1]",
    ];
    doors.refuse(&no_message(bad.map(with_id))).await;
    for id in ["\"\"", "0", "-0", "-7", "1000"] {
        for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
            let answer = doors.send(door, with_id(id).as_bytes()).await;
            assert_eq!(answer.status, 200, "{door:?}: {id}: {}", answer.text());
            assert_eq!(id_text(&answer), id, "{door:?}");
        }
    }
}

/// H073: there are no batches but in sessions of 2025-03-26; an array is one refusal.
#[tokio::test]
async fn a_batch_is_refused_once_and_nothing_of_it_is_done() {
    let doors = Doors::open().await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let many = |count: usize| format!("[{}]", vec![request; count].join(","));
    doors
        .refuse(&no_message([
            "[]".to_owned(),
            many(1),
            many(2),
            many(60_000),
            "[1]".to_owned(),
            format!("[{}]", many(1)),
            " [ ] ".to_owned(),
            "[[]]".to_owned(),
        ]))
        .await;
    // In the one revision that has them they are bounded, and reach no server as such.
    let path = "/s1/mcp";
    let session = Session::open(&doors.client, path, "2025-03-26").await;
    let requests = |count: usize| {
        (0..count).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}))
    };
    for batch in [json!([]), requests(20_000).collect()] {
        let before = doors.frames().await;
        let refused = session.tell(&batch).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["error"]["code"], NO_MESSAGE);
        assert_eq!(doors.frames().await, before);
    }
}

/// H074: a message is one of the three kinds, and a response answers what was asked.
#[tokio::test]
async fn what_is_two_kinds_of_message_or_answers_nothing_is_refused() {
    let doors = Doors::open().await;
    doors
        .refuse(&no_message([
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/x","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0"}"#,
            "{}",
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
            // Responses to nothing that anybody has asked.
            r#"{"jsonrpc":"2.0","id":0,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":null}"#,
        ]))
        .await;
}

/// H076: params are an object or an array.
#[tokio::test]
async fn params_are_an_object_or_an_array() {
    let doors = Doors::open().await;
    let with = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"example/x","params":{params}}}"#)
    };
    let scalars = ["1", "\"a\"", "true", "null", "1e400"];
    doors.refuse(&no_message(scalars.map(with))).await;
    for params in ["{}", "[]", "[1,{}]", r#"{"a":null}"#] {
        for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
            let (answer, frame) = doors.forward(door, with(params).as_bytes()).await;
            let told = message_in(door, &answer);
            assert_eq!(told["error"]["code"], -32601, "{door:?}: {told}");
            assert!(holds(&frame, format!(r#""params":{params}"#).as_bytes()));
        }
    }
}
