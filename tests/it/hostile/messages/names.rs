//! Ids and methods: how they are echoed, how long they may be, and what they may hold (H069 to H072, H077).

use futures_util::future::join_all;

use super::*;

/// H069, H070: an id comes back digit for digit and character for character.
#[tokio::test]
async fn an_id_comes_back_as_it_was_written() {
    let doors = Doors::open().await;
    let digits = "9".repeat(64);
    let negative = format!("-{digits}");
    let long = format!("\"{}\"", "x".repeat(1022));
    let ids = [
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551616",
        "-9223372036854775808",
        &digits,
        &negative,
        r#""\"quoted\" \\ \/""#,
        r#""line\nbreak\r\u000a""#,
        r#""\u0000""#,
        r#""\u0041 é 😀""#,
        &long,
    ];
    for id in ids {
        for door in Door::ALL {
            let (answer, frame) = doors
                .forward(door, &claiming(door, &echo_with(id, "")))
                .await;
            assert_eq!(answer.status, 200, "{door:?}: {id}: {}", answer.text());
            assert_eq!(id_text(&answer), id, "{door:?}");
            let minted = serde_json::from_slice::<Value>(&frame).unwrap()["id"].clone();
            assert!(minted.is_u64(), "{door:?}: the server saw {minted}");
        }
    }
}

/// H069, H070: an id has at most 64 digits or 1024 bytes.
#[tokio::test]
async fn an_id_that_is_too_long_is_refused() {
    let doors = Doors::open().await;
    let ids = [
        "9".repeat(65),
        "9".repeat(400),
        format!("-{}", "9".repeat(65)),
        format!("\"{}\"", "x".repeat(1023)),
        format!("\"CANARY{}\"", "x".repeat(1_000_000)),
    ];
    let bodies = ids.map(|id| (echo_with(&id, ""), NO_MESSAGE));
    doors.refuse(&bodies).await;
}

/// H071: an integer and a string are two ids, and each answer has its own.
#[tokio::test]
async fn a_number_and_the_same_digits_as_text_are_two_ids_in_flight() {
    let doors = Doors::open().await;
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        let asked = ["1", "\"1\"", "\"01\""].map(|id| {
            let doors = &doors;
            let arguments = format!(r#"{{"do":"sleep","ms":40,"say":{id:?}}}"#);
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"gremlin","arguments":{arguments}}}}}"#
            );
            async move {
                let answer = doors.send(door, body.as_bytes()).await;
                assert_eq!(id_text(&answer), id, "{door:?}: {}", answer.text());
                let told = message_in(door, &answer);
                assert_eq!(told["result"]["content"][0]["text"], id, "{told}");
            }
        });
        join_all(asked).await;
    }
}

/// H072: on the plain endpoints, which have no session to be unique in, the same id any number of times at
/// once; fifty clients who all begin with 1 are fifty clients.
#[tokio::test]
async fn one_id_in_many_hands_is_answered_to_each() {
    let doors = Doors::open().await;
    let sessions = (0..50).map(|_| Session::open(&doors.client, "/s1/mcp", "2025-11-25"));
    let sessions = join_all(sessions).await;
    let in_sessions = sessions.iter().enumerate().map(|(number, session)| {
        let said = format!("session {number}");
        let deed = json!({"do": "sleep", "ms": 20, "say": said});
        let call = crate::support::mcp::tool_call(1, "gremlin", &deed);
        async move {
            let told = session.ask(&call).await;
            assert_eq!(
                (&told["id"], &told["result"]["content"][0]["text"]),
                (&json!(1), &json!(said))
            );
        }
    });
    let plain = (0..50).map(|number| {
        let (client, said) = (&doors.client, format!("plain {number}"));
        async move {
            let deed = json!({"do": "sleep", "ms": 20, "say": said});
            let told = client.deed("s1", &deed).await.json();
            assert_eq!(
                (&told["id"], &told["result"]["content"][0]["text"]),
                (&json!(1), &json!(said))
            );
        }
    });
    tokio::join!(join_all(in_sessions), join_all(plain));
}

/// H077: what names nothing is refused; any other method is the server's to know, and one label for all.
#[tokio::test]
async fn a_method_is_a_short_name_and_unknown_ones_share_a_label() {
    let doors = Doors::open().await;
    let with =
        |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":{method}}}"#).into_bytes();
    let bad = [
        "\"\"".to_owned(),
        "7".to_owned(),
        "null".to_owned(),
        "[\"ping\"]".to_owned(),
        format!("\"{}\"", "m".repeat(1023)),
        format!("\"CANARY{}\"", "m".repeat(1_000_000)),
    ];
    doors
        .refuse(&bad.map(|method| (with(&method), NO_MESSAGE)))
        .await;
    let odd = [
        "\"rpc.x\"",
        "\"__proto__\"",
        r#""line\nbreak""#,
        r#""\u001b[31mred""#,
        "\"../../etc\"",
        "\"tools/call \"",
    ];
    let many: Vec<_> = (0..200)
        .map(|number| format!("\"invented/{number}\""))
        .collect();
    let methods = odd.into_iter().chain(many.iter().map(String::as_str));
    for method in methods {
        let (answer, frame) = doors.forward(Door::Rpc, &with(method)).await;
        assert_eq!(answer.json()["error"]["code"], -32601, "{method}");
        assert!(holds(&frame, method.as_bytes()), "{method}");
    }
    let metrics = doors.client.get("/metrics").await.text();
    assert!(metrics.contains("\"_OTHER\""), "{metrics}");
    for odd in [
        "invented",
        "rpc.x",
        "__proto__",
        "[31m",
        "etc",
        "tools/call ",
    ] {
        assert!(!metrics.contains(odd), "{odd:?} is in a label");
    }
    // A line of the log is one line, whatever a method was called.
    let logs = doors.gateway.logs().text();
    assert!(!logs.contains('\u{1b}'));
    for line in logs.lines() {
        assert!(line.starts_with('{'), "{line}");
    }
}
