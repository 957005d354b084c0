//! Odd messages that are the server's to judge: one frame each, as it was written (H063, H065, H066, H075).

use super::*;

/// H063: doubled members of arguments are what the client wrote.
#[tokio::test]
async fn doubled_members_of_arguments_cross_as_they_are() {
    let doors = Doors::open().await;
    let member = r#","a":1,"a":2,"\u0061":3,"id":1,"id":2,"method":"x","method":"y""#;
    for door in Door::ALL {
        let (answer, frame) = doors
            .forward(door, &claiming(door, &echo_with("7", member)))
            .await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        assert!(holds(&frame, member.as_bytes()), "{door:?}");
    }
}

/// H065, H066: a body that was laid out for people is one frame without a line break, and a message in its
/// params is none. What some readers take for line ends crosses untouched in strings.
#[tokio::test]
async fn a_laid_out_body_is_one_line_and_smuggles_none() {
    let doors = Doors::open().await;
    let evil = r#"{"jsonrpc":"2.0","id":"evil","method":"tools/call","params":{"name":"echo","arguments":{}}}"#;
    let separators = "a\u{2028}b\u{2029}c\u{85}d";
    for end in ["\n", "\r\n", "\r", "\n\n\t"] {
        let laid_out = format!(
            r#"{{@"jsonrpc":@"2.0",@"id":7,@"method":"tools/call",@"params":{{"name":@"echo",@"arguments":@{{"text":"{separators}",@"list":[@{evil}@,@{evil}@]@}}@}}@}}@"#
        );
        let laid_out = laid_out.replace('@', end);
        for door in Door::ALL {
            let body = claiming(door, laid_out.as_bytes());
            let (answer, frame) = doors.forward(door, &body).await;
            let told = message_in(door, &answer);
            assert_eq!(told["id"], 7, "{door:?}: {told}");
            assert_eq!(told["result"]["content"][0]["text"], separators, "{told}");
            assert!(
                !frame.contains(&b'\n') && !frame.contains(&b'\r'),
                "{door:?}"
            );
            assert!(holds(&frame, separators.as_bytes()), "{door:?}");
        }
    }
    let entries = doors.gateway.journal("s1").entries();
    assert!(entries.iter().all(|entry| entry.json()["id"] != "evil"));
}

/// H066: also as the only thing in a list of params.
#[tokio::test]
async fn a_message_in_a_list_of_params_is_none() {
    let doors = Doors::open().await;
    let evil = r#"{"jsonrpc":"2.0","id":"evil","method":"tools/call","params":{"name":"echo"}}"#;
    let body = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"example/x\",\"params\":[\n{evil}\n]}}"
    );
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        let (answer, _) = doors.forward(door, body.as_bytes()).await;
        let told = message_in(door, &answer);
        assert_eq!(told["error"]["code"], -32601, "{door:?}: {told}");
    }
    assert_eq!(
        doors.gateway.journal("s1").of_method("tools/call").len(),
        Door::ALL.len()
    );
}

/// H075: a notification is taken over with 202 and no body, is one frame, and its failure has no id.
#[tokio::test]
async fn a_notification_is_taken_over_once_or_refused_without_an_id() {
    let doors = Doors::open().await;
    let note = br#"{"jsonrpc":"2.0","method":"notifications/example","params":{"a":1}}"#;
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        let (answer, frame) = doors.forward(door, note).await;
        assert_eq!(
            (answer.status, answer.text()),
            (202, String::new()),
            "{door:?}"
        );
        assert_eq!(frame, note, "{door:?}");
    }
    // The modern transport has no notification of clients that a server would get.
    let before = doors.frames().await;
    let answer = doors.send(Door::Modern, note).await;
    assert_eq!((answer.status, answer.text()), (202, String::new()));
    for bad in [
        &br#"{"jsonrpc":"2.0","method":"notifications/\u0000"}"#[..],
        br#"{"jsonrpc":"2.0","method":"notifications/x","params":1}"#,
    ] {
        for door in Door::ALL {
            let answer = doors.send(door, bad).await;
            let told = answer.json();
            assert_eq!(answer.status, 400, "{door:?}: {told}");
            assert!(told.get("id").is_none_or(Value::is_null), "{told}");
            assert!(
                told["error"].get("request_id").is_none_or(Value::is_null),
                "{told}"
            );
        }
    }
    assert_eq!(doors.frames().await, before);
    // One that cannot be written is not taken over.
    let stop = doors.client.request(Method::POST, "/servers/s1/stop?wait");
    assert_eq!(doors.client.send(stop).await.status, 200);
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        let answer = doors.send(door, note).await;
        let told = answer.json();
        assert_eq!(answer.status, 503, "{door:?}: {told}");
        assert!(told.get("id").is_none_or(Value::is_null), "{told}");
        assert!(answer.text().contains("server_stopped"), "{told}");
    }
}
