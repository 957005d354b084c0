//! Resources in what servers say.

use bytes::Bytes;

use super::*;
use crate::relay::aggregate::results::renamed;

fn answered(method: &str, result: &str) -> String {
    let line = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    text(&renamed(method, &id("files"), line.into()))
}

fn answer(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
}

fn text(line: &Bytes) -> String {
    String::from_utf8(line.to_vec()).unwrap()
}

#[test]
fn a_resource_in_a_result_is_called_as_it_can_be_read() {
    for (method, result, expected) in [
        (
            "tools/call",
            r#"{"content":[{"type":"text","text":"\"uri\""},{"type":"resource_link","uri":"a:b","name":"n"},{"resource":{"uri":"c:d","text":""},"type":"resource"}]}"#,
            r#"{"content":[{"type":"text","text":"\"uri\""},{"type":"resource_link","uri":"mcp://files/a:b","name":"n"},{"resource":{"uri":"mcp://files/c:d","text":""},"type":"resource"}]}"#,
        ),
        (
            "tools/call",
            r#"{"content":[{"type":"resource_link","\u0075ri":"a:b"}]}"#,
            r#"{"content":[{"type":"resource_link","\u0075ri":"mcp://files/a:b"}]}"#,
        ),
        (
            "prompts/get",
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a"}}},{"content":[{"type":"resource_link","uri":"b"}]}]}"#,
            r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"mcp://files/a"}}},{"content":[{"type":"resource_link","uri":"mcp://files/b"}]}]}"#,
        ),
        (
            "resources/read",
            r#"{"contents":[{"uri":"a","text":""},{"uri":"b","blob":""}],"ttlMs":0}"#,
            r#"{"contents":[{"uri":"mcp://files/a","text":""},{"uri":"mcp://files/b","blob":""}],"ttlMs":0}"#,
        ),
    ] {
        assert_eq!(answered(method, result), answer(expected));
    }
}

#[test]
fn everything_else_crosses_as_it_is() {
    for (method, result) in [
        (
            "tools/call",
            r#"{"content":[{"type":"text","uri":"a","text":""}]}"#,
        ),
        (
            "tools/call",
            r#"{"structuredContent":{"uri":"a"},"content":[]}"#,
        ),
        (
            "tools/call",
            r#"{"content":{"type":"resource_link","uri":"a"}}"#,
        ),
        (
            "tools/call",
            r#"{"content":[{"type":"resource_link","uri":7}]}"#,
        ),
        (
            "tools/call",
            r#"{"resultType":"input_required","inputRequests":{"a":{"params":{"uri":"x"}}}}"#,
        ),
        (
            "completion/complete",
            r#"{"completion":{"values":["uri"]},"uri":"a"}"#,
        ),
        ("resources/read", r#"[{"uri":"a"}]"#),
        ("tools/call", "7"),
    ] {
        assert_eq!(answered(method, result), answer(result));
    }
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"","data":{"uri":"a"}}}"#;
    let same = renamed("resources/read", &id("files"), error.into());
    assert_eq!(text(&same), error);
}

#[test]
fn an_update_names_the_resource_as_it_was_subscribed_to() {
    let update =
        r#"{"method":"notifications/resources/updated","params":{"uri":"a:b","title":"uri"}}"#;
    let told = |method| text(&renamed(method, &id("files"), update.into()));
    let expected = update.replace("a:b", "mcp://files/a:b");
    assert_eq!(told("notifications/resources/updated"), expected);
    assert_eq!(told("notifications/message"), update);
}

proptest! {
    #[test]
    fn no_answer_loses_more_than_it_gained(result in any_json()) {
        let result = result.to_string();
        for (method, result) in [
            ("tools/call", format!(r#"{{"content":[{result}]}}"#)),
            ("prompts/get", format!(r#"{{"messages":[{{"content":{result}}}]}}"#)),
            ("resources/read", format!(r#"{{"contents":[{result}]}}"#)),
            ("resources/read", result),
        ] {
            let seen = answered(method, &result);
            prop_assert!(serde_json::from_str::<Value>(&seen).is_ok());
            prop_assert_eq!(seen.replace("mcp://files/", ""), answer(&result));
        }
    }
}
