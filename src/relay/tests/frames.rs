//! What the child gets to read, byte by byte.

use super::*;
use crate::protocol::trace_context::TraceContext;
use crate::supervisor::claims;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn traced(state: Option<&str>) -> TraceContext {
    TraceContext::parse(PARENT, state).unwrap()
}

/// The frame of the first request of a house, whose minted id is 1.
async fn framed(era: Era, trace: Option<TraceContext>, body: &str) -> String {
    let house = house(era);
    let caller = Caller {
        trace,
        ..caller(1, None)
    };
    let seen = house.asked(caller, body).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    let frame = seen.concat();
    frame.strip_suffix('\n').expect("a newline").to_owned()
}

#[tokio::test]
async fn only_the_id_and_the_progress_token_are_ours() {
    let cases = [
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"x/y"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x/y"}"#,
        ),
        (
            r#"{"method":"x/y","params":{"id":5, "n" : 1.0e2},"jsonrpc":"2.0","id":12345}"#,
            r#"{"method":"x/y","params":{"id":5, "n" : 1.0e2},"jsonrpc":"2.0","id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"_meta":{"progressToken":"t","k":"t"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"k":"t"}}}"#,
        ),
        (
            "\u{feff} {\n\"jsonrpc\":\"2.0\",\r\n\"id\":7,\n\"method\":\"x\",\"params\":[\"a\\n\"]}\n",
            r#"{ "jsonrpc":"2.0",  "id":1, "method":"x","params":["a\n"]}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(framed(Era::Legacy, None, body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn the_callers_context_is_passed_on_where_there_is_a_place_for_it() {
    let told =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{params}}}"#);
    let cases = [
        // params of the client, tracestate of its header, params of the child
        (
            "{}".to_owned(),
            None,
            format!(r#"{{"_meta":{{"traceparent":"{PARENT}"}}}}"#),
        ),
        (
            r#"{"a":1}"#.to_owned(),
            Some("k=v"),
            format!(r#"{{"_meta":{{"traceparent":"{PARENT}","tracestate":"k=v"}},"a":1}}"#),
        ),
        (
            r#"{"_meta":{"b":2}}"#.to_owned(),
            None,
            format!(r#"{{"_meta":{{"traceparent":"{PARENT}","b":2}}}}"#),
        ),
        // What the client wrote into the message itself goes before its header, if it is valid.
        (
            format!(r#"{{"_meta":{{"traceparent":"{OTHER}"}}}}"#),
            Some("k=v"),
            format!(r#"{{"_meta":{{"traceparent":"{OTHER}"}}}}"#),
        ),
        (
            r#"{"_meta":{"traceparent":"junk","tracestate":"x=y"}}"#.to_owned(),
            Some("k=v"),
            format!(r#"{{"_meta":{{"traceparent":"{PARENT}","tracestate":"k=v"}}}}"#),
        ),
        ("[1]".to_owned(), None, "[1]".to_owned()),
        (
            r#"{"_meta":3}"#.to_owned(),
            None,
            r#"{"_meta":3}"#.to_owned(),
        ),
    ];
    for (params, state, expected) in cases {
        let expected = told(&expected).replace("\"id\":7", "\"id\":1");
        let frame = framed(Era::Legacy, Some(traced(state)), &told(&params)).await;
        assert_eq!(frame, expected, "{params}");
    }
    let bare = r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#;
    let frame = framed(Era::Legacy, Some(traced(None)), bare).await;
    assert_eq!(frame, bare.replace('7', "1"), "no params are made for it");
}

#[tokio::test]
async fn a_modern_child_gets_the_claims_that_its_client_does_not_make() {
    let all = claims(|_| false);
    let claims = all.join(",");
    let own = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let cases = [
        ("{}", format!(r#"{{"_meta":{{{claims}}}}}"#)),
        (r#"{"a":1}"#, format!(r#"{{"_meta":{{{claims}}},"a":1}}"#)),
        (r#"{"_meta":{}}"#, format!(r#"{{"_meta":{{{claims}}}}}"#)),
        (
            r#"{"_meta":{"progressToken":2}}"#,
            format!(r#"{{"_meta":{{{claims},"progressToken":1}}}}"#),
        ),
        (own, own.to_owned()),
        (
            r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"a":{}}}}"#,
            format!(
                r#"{{"_meta":{{{},{},"io.modelcontextprotocol/clientCapabilities":{{"a":{{}}}}}}}}"#,
                all[0], all[2]
            ),
        ),
    ];
    for (params, expected) in cases {
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{params}}}"#);
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{expected}}}"#);
        assert_eq!(framed(Era::Modern, None, &body).await, expected, "{params}");
    }
    let bare = framed(
        Era::Modern,
        None,
        r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#,
    )
    .await;
    let expected =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{{{claims}}}}}}}"#);
    assert_eq!(bare, expected);
    let both = framed(
        Era::Modern,
        Some(traced(None)),
        r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#,
    )
    .await;
    let with_context = format!(r#""_meta":{{"traceparent":"{PARENT}",{claims}}}"#);
    assert!(both.contains(&with_context), "{both}");
}

#[tokio::test]
async fn claims_that_find_no_place_are_refused_before_anything_is_written() {
    let house = house(Era::Modern);
    for params in ["[]", r#"{"_meta":[]}"#, r#"{"_meta":null}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{params}}}"#);
        let failure = house.send(caller(1, None), &body).await.unwrap_err();
        assert_eq!(failure.fault.kind, FaultKind::InvalidRequest);
        assert_eq!(failure.fault.delivered, Some(Delivered::No));
        assert_eq!(failure.id.as_deref(), Some(&b"7"[..]));
    }
    assert!(house.child.read().is_empty());
}

#[tokio::test]
async fn the_answer_bears_the_clients_own_id() {
    for id in [r#""a \"b\" é""#, "9007199254740993", "-1"] {
        let house = house(Era::Legacy);
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#);
        let child = async {
            house.child.read();
            house
                .say(r#"{"result":{"id":1},"id":1 ,"jsonrpc":"2.0"}"#)
                .await;
        };
        let (answer, ()) = tokio::join!(biased; house.send(caller(1, None), &body), child);
        let Ok(Answer::Reply(reply)) = answer else {
            panic!("{answer:?}")
        };
        let expected = format!(r#"{{"result":{{"id":1}},"id":{id} ,"jsonrpc":"2.0"}}"#);
        assert_eq!(text(&reply.message), expected);
    }
}
