//! Promises of the protocol floor: what passes a scan is what `serde_json` reads; bytes that are not
//! ours to change do not change.

use bytes::BufMut;

use super::message::{Ending, InvalidMessage};
use super::splice::{Edit, MetaSlot, into_frame, splice};
use super::*;

mod properties;
mod rewriting;
mod seen;
mod syntax;

fn read(text: &str) -> Result<ClientMessage<'_>, InvalidMessage> {
    let envelope = scan(text.as_bytes())?;
    ClientMessage::read(&envelope, text.as_bytes())
}

fn of(span: Option<Span>, text: &str) -> Option<&str> {
    span.and_then(|span| text.get(span.start..span.end))
}

#[test]
fn members_are_found_at_their_level_only() {
    let text = r#" {"params" : {"x":{"name":"no"},"name":"yes","_meta":{"progressToken": 7 ,"a":{"traceparent":1}}},
        "result_":{"id":5}, "\u0069d":"a", "method":"m","jsonrpc":"2.0"} "#;
    let envelope = scan(text.as_bytes()).expect("valid");
    let params = envelope.params.expect("params");
    assert_eq!(of(envelope.id, text), Some("\"a\""));
    assert_eq!(of(params.name, text), Some("\"yes\""));
    let meta = params.meta.expect("_meta");
    assert_eq!(of(meta.progress_token, text), Some("7"));
    assert_eq!((meta.traceparent, envelope.result), (None, None));
    assert_eq!(text.as_bytes()[envelope.close], b'}');
}

#[test]
fn what_another_round_needs_is_found_in_a_request_and_in_a_result() {
    let text = r#"{"params":{"inputResponses":{"requestState":1},"requestState":"s","_meta":{"io.modelcontextprotocol/logLevel":"info"}}}"#;
    let params = scan(text.as_bytes())
        .expect("valid")
        .params
        .expect("params");
    assert_eq!(
        of(params.input_responses, text),
        Some(r#"{"requestState":1}"#)
    );
    assert_eq!(of(params.request_state, text), Some("\"s\""));
    let level = params.meta.and_then(|meta| meta.log_level);
    assert_eq!(of(level, text), Some("\"info\""));
    let asks = |result: &str| {
        let text = format!(r#"{{"id":1,"result":{result}}}"#);
        matches!(
            ChildMessage::read(text.as_bytes()).0,
            ChildMessage::Response {
                ending: Ending::InputRequired,
                ..
            }
        )
    };
    assert!(asks(r#"{"resultType" : "input\u005frequired"}"#));
    for other in [
        r#"{"resultType":"complete"}"#,
        r#"{"a":{"resultType":"input_required"}}"#,
        "\"input_required\"",
    ] {
        assert!(!asks(other), "{other}");
    }
}

/// H062 and H063: twice the same member is refused where it decides, and let through elsewhere.
#[test]
fn a_member_that_decides_must_not_stand_twice() {
    for (text, member) in [
        (r#"{"id":1,"id":2}"#, "id"),
        (r#"{"id":1,"\u0069d":2}"#, "id"),
        (r#"{"method":"a","method":"b"}"#, "method"),
        (r#"{"params":{"_meta":{},"_meta":{}}}"#, "params._meta"),
        (
            r#"{"params":{"_meta":{"progressToken":1,"progressToken":1}}}"#,
            "params._meta.progressToken",
        ),
    ] {
        assert_eq!(
            scan(text.as_bytes()),
            Err(ScanError::Duplicate(member)),
            "{text}"
        );
    }
    assert!(scan(br#"{"params":{"a":1,"a":2},"x":1,"x":2}"#).is_ok());
}

/// H060.
#[test]
fn nesting_is_followed_to_128_levels() {
    let nested = |levels: usize| {
        format!(
            r#"{{"params":{}{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(scan(nested(127).as_bytes()).is_ok());
    assert_eq!(scan(nested(128).as_bytes()), Err(ScanError::TooDeep));
    assert_eq!(
        scan("[".repeat(1_000_000).as_bytes()),
        Err(ScanError::TooDeep)
    );
}

#[test]
fn what_a_client_may_not_send_is_named() {
    let message = |rest: &str| format!(r#"{{"jsonrpc":"2.0",{rest}}}"#);
    for (text, expected) in [
        (r#"[{"jsonrpc":"2.0"}]"#.to_owned(), "a batch"),
        ("3".to_owned(), "not a JSON object"),
        (r#"{"id":1,"method":"m"}"#.to_owned(), "jsonrpc is missing"),
        (
            r#"{"jsonrpc":2,"id":1,"method":"m"}"#.to_owned(),
            "jsonrpc is another number",
        ),
        (message(r#""id":null,"method":"m""#), "id is null"),
        (message(r#""id":1.5,"method":"m""#), "id is another number"),
        (message(r#""id":1e3,"method":"m""#), "id is another number"),
        (
            message(r#""id":"\ud800","method":"m""#),
            "id is another string",
        ),
        (
            message(&format!(r#""id":{},"method":"m""#, "9".repeat(65))),
            "id is another number",
        ),
        (
            message(&format!(r#""id":-{},"method":"m""#, "9".repeat(65))),
            "id is another number",
        ),
        (message(r#""id":1,"method":"""#), "method is another string"),
        (
            message(r#""id":1,"method":"a\u0000b""#),
            "method is another string",
        ),
        (
            message(r#""id":1,"method":"m","METHOD":"n""#),
            "in another case",
        ),
        (
            message(r#""id":1,"method":"m","param\u017f":{}"#),
            "in another case",
        ),
        (message(r#""Id":1,"method":"m""#), "in another case"),
        (
            message(r#""id":1,"method":"m","result":1"#),
            "neither a request",
        ),
        (
            message(r#""id":1,"result":1,"error":{}"#),
            "neither a request",
        ),
        (
            message(r#""id":1,"method":"m","params":3"#),
            "params is another number",
        ),
        (
            message(r#""id":1,"method":"m","params":null"#),
            "params is null",
        ),
        (
            message(r#""id":1,"method":"m","params":{"_meta":{"progressToken":{}}}"#),
            "progressToken is an object",
        ),
        (
            message(r#""id":1,"method":"m","params":{"name":""}"#),
            "params.name is another string",
        ),
    ] {
        let error = read(&text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_a_client_may_send_is_taken_as_it_is() {
    for id in [
        "1",
        "-0",
        "\"\"",
        "\"1\"",
        &"9".repeat(64),
        &format!("-{}", "9".repeat(64)),
        "9007199254740993",
    ] {
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"\u006d","params":["\ud800",1e400]}}"#);
        let Ok(ClientMessage::Request { id: span, method }) = read(&text) else {
            panic!("{text}")
        };
        assert_eq!((of(Some(span), &text), &*method), (Some(id), "m"));
    }
    assert_eq!(
        read(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
        Ok(ClientMessage::Notification {
            method: "notifications/x".into()
        })
    );
    // A version in other words, and a name that is nobody's to check.
    for text in [
        r#"{"jsonrpc":"2\u002e0","id":1,"method":"m"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":5}}"#,
    ] {
        assert!(read(text).is_ok(), "{text}");
    }
    assert!(matches!(
        read(r#"{"jsonrpc":"2.0","id":3,"result":null}"#),
        Ok(ClientMessage::Response { .. })
    ));
}

/// H096.
#[test]
fn a_childs_line_is_taken_for_what_it_is() {
    let read = |text: &'static str| ChildMessage::read(text.as_bytes()).0;
    assert!(matches!(
        read(r#"{"id":7,"result":{}}"#),
        ChildMessage::Response {
            id: 7,
            ending: Ending::Result,
            ..
        }
    ));
    assert!(matches!(
        read(r#"{"id":"7","error":{"code":1}}"#),
        ChildMessage::Response {
            id: 7,
            ending: Ending::Error(_),
            ..
        }
    ));
    for bad in [
        r#"{"id":7}"#,
        r#"{"id":7,"result":1,"error":{}}"#,
        r#"{"id":7,"error":"x"}"#,
        r#"{"id":7,"error":{"code":1.5,"message":"x"}}"#,
        r#"{"id":7,"error":{"code":"1","message":"x"}}"#,
        r#"{"id":7,"error":{"message":"x"}}"#,
        r#"{"id":7,"error":{"code":1,"code":2,"message":"x"}}"#,
        r#"{"id":7,"error":null}"#,
    ] {
        assert_eq!(read(bad), ChildMessage::BadResponse { id: 7 }, "{bad}");
    }
    let unreadable = read(r#"{"result": no, "id":7}"#);
    let ChildMessage::Unreadable { ids, .. } = unreadable else {
        panic!("{unreadable:?}")
    };
    assert_eq!((ids.response, ids.request), (Some(7), None));
    // Whatever else a child writes beside its response is nobody's business.
    assert!(matches!(
        read(r#"{"ID":1,"id":7,"Result":2,"result":{},"jsonrpc":"1.0"}"#),
        ChildMessage::Response { id: 7, .. }
    ));
    for garbage in [
        "hello",
        r#"{"id":null,"result":1}"#,
        r#"{"id":1.5,"result":1}"#,
        r#"{"id":"x","result":1}"#,
        r#"{"method":5}"#,
    ] {
        assert_eq!(read(garbage), ChildMessage::Garbage, "{garbage}");
    }
    assert!(matches!(
        read(r#"{"id":0,"method":"ping"}"#),
        ChildMessage::Request { .. }
    ));
}

/// H065, H066.
#[test]
fn a_frame_is_one_line_and_says_the_same() {
    let body = b"{\"jsonrpc\":\"2.0\",\r\n \"params\":[\n{\"id\":\"evil\"}\n], \"text\":\"a\xE2\x80\xA8b\"}";
    let frame = into_frame(body.to_vec());
    assert_eq!(
        memchr::memchr2_iter(b'\n', b'\r', &frame).collect::<Vec<_>>(),
        [frame.len() - 1]
    );
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&frame).expect("valid"),
        serde_json::from_slice::<serde_json::Value>(body).expect("valid")
    );
}

#[test]
fn members_can_be_put_into_meta_wherever_it_is_missing() {
    let insert = |text: &str| {
        let envelope = scan(text.as_bytes()).expect("valid");
        let slot = MetaSlot::of(&envelope, text.as_bytes())?;
        let with = slot.text(r#""k":1"#);
        let out = splice(
            text.as_bytes(),
            &mut [Edit {
                span: slot.at(),
                with: with.as_bytes(),
            }],
        );
        Some(String::from_utf8(out).expect("UTF-8"))
    };
    for (before, after) in [
        (
            r#"{"method":"m"}"#,
            Some(r#"{"method":"m","params":{"_meta":{"k":1}}}"#),
        ),
        (r#"{"params":{}}"#, Some(r#"{"params":{"_meta":{"k":1}}}"#)),
        (
            r#"{"params":{ "a":1}}"#,
            Some(r#"{"params":{"_meta":{"k":1}, "a":1}}"#),
        ),
        (
            r#"{"params":{"_meta":{ }}}"#,
            Some(r#"{"params":{"_meta":{"k":1 }}}"#),
        ),
        (
            r#"{"params":{"_meta":{"x":2}}}"#,
            Some(r#"{"params":{"_meta":{"k":1,"x":2}}}"#),
        ),
        (r#"{"params":[]}"#, None),
        (r#"{"params":{"_meta":3}}"#, None),
    ] {
        assert_eq!(insert(before).as_deref(), after, "{before}");
    }
}

#[test]
fn a_line_may_be_as_long_as_the_cap_however_it_comes() {
    for pieces in [
        &[&b"12345678\n"[..]][..],
        &[b"12345678", b"\n"],
        &[b"1234", b"5678\n"],
    ] {
        let mut lines = LineBuffer::new(8);
        let mut told = Vec::new();
        for piece in pieces {
            lines.room().put_slice(piece);
            told.extend(lines.next_line());
        }
        assert_eq!(told, [Line::Whole(bytes::Bytes::from_static(b"12345678"))]);
    }
}

#[test]
fn an_oversize_line_costs_no_memory_and_keeps_its_id() {
    let mut lines = LineBuffer::new(1000);
    lines.room().put_slice(br#"{"id":5,"result":""#);
    for _ in 0..1000 {
        assert_eq!(lines.next_line(), None);
        lines.room().put_slice(&[b'x'; 1000]);
        assert!(lines.room().len() <= 2018, "kept");
        assert!(lines.unfinished() >= 1018, "begun, and not forgotten");
    }
    lines.room().put_slice(b"\"}\n{\"id\":6}\r\n\n  \n");
    assert_eq!(
        lines.next_line(),
        Some(Line::Oversize {
            ids: Salvaged {
                response: Some(5),
                request: None
            },
            len: 1_000_020
        })
    );
    // Blank lines are lines too: whoever reads them counts them.
    for rest in [&b"{\"id\":6}"[..], b"", b"  "] {
        let rest = bytes::Bytes::from_static(rest);
        assert_eq!(lines.next_line(), Some(Line::Whole(rest)));
    }
    assert_eq!((lines.next_line(), lines.unfinished()), (None, 0));
}

#[test]
fn a_line_holds_little_more_than_itself_and_a_long_one_leaves_no_large_buffer() {
    let (mut lines, mut kept) = (LineBuffer::new(1 << 20), Vec::new());
    for length in [10, 100, 30_000, 100, 40_000, 300_000, 700_000, 100] {
        lines.room().put_slice(&vec![b'x'; length]);
        assert_eq!(lines.next_line(), None);
        lines.room().put_slice(b"\nbegun");
        let Some(Line::Whole(line)) = lines.next_line() else {
            panic!("a line of {length}");
        };
        assert_eq!(line.len(), length);
        kept.push(line);
        assert_eq!((lines.next_line(), lines.unfinished()), (None, 5));
        assert!(lines.room().capacity() <= 128 * 1024, "after {length}");
        lines.room().put_slice(b"\n");
        assert!(lines.next_line().is_some());
    }
    for line in kept {
        let length = line.len();
        let holds = line.try_into_mut().expect("shared with nobody").capacity();
        assert!(holds <= 2 * length, "{length} bytes hold {holds}");
    }
}
