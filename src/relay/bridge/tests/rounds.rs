//! Rounds: what is asked for and what is brought is read, made and replaced, and nothing else is touched.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::patched;
use crate::protocol::scan;
use crate::protocol::splice::{MetaSlot, Patch};
use crate::relay::bridge::rounds::*;

fn required(line: &str) -> Result<InputRequired, BadRound> {
    InputRequired::read(&Bytes::copy_from_slice(line.as_bytes()))
}

fn retry(body: &str) -> Result<Retry, BadRound> {
    let envelope = scan(body.as_bytes()).expect("valid");
    Retry::read(&Bytes::copy_from_slice(body.as_bytes()), &envelope)
}

fn request(key: &str, method: &str, params: Option<&'static str>) -> InputRequest {
    InputRequest {
        key: key.to_owned(),
        method: method.to_owned(),
        params: params.map(|params| Bytes::from_static(params.as_bytes())),
    }
}

#[test]
fn what_a_server_needs_is_read_in_its_order() {
    let line = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required",
        "inputRequests":{"b":{"method":"elicitation/create","params":{ "message" : "m" }},
        "\u0061":{"params":{"x":1},"method":"sampling/createMessage"},"c":{"method":"roots/list"}},
        "requestState":"s\"\u00e9"}}"#;
    let expected = InputRequired {
        requests: vec![
            request("b", "elicitation/create", Some(r#"{ "message" : "m" }"#)),
            request("a", "sampling/createMessage", Some(r#"{"x":1}"#)),
            request("c", "roots/list", None),
        ],
        state: Some("s\"\u{e9}".to_owned()),
    };
    assert_eq!(required(line), Ok(expected));
}

#[test]
fn what_no_server_may_ask_is_refused() {
    for (result, reason) in [
        ("3", "result is not an object"),
        ("{}", "neither result.inputRequests nor"),
        (
            r#"{"inputRequests":{}}"#,
            "neither result.inputRequests nor",
        ),
        (
            r#"{"inputRequests":[]}"#,
            "result.inputRequests is not an object",
        ),
        (r#"{"inputRequests":{"a":1}}"#, "what is not an object"),
        (
            r#"{"inputRequests":{"a":{"method":1}}}"#,
            "without a method",
        ),
        (
            r#"{"inputRequests":{"a":{"method":"m"},"\u0061":{"method":"m"}}}"#,
            "a key twice",
        ),
        (
            r#"{"requestState":{}}"#,
            "result.requestState is not a string",
        ),
    ] {
        let line = format!(r#"{{"id":1,"result":{result}}}"#);
        let error = required(&line).expect_err(result).to_string();
        assert!(error.contains(reason), "{result}: {error}");
    }
    assert!(required(r#"{"id":1,"error":{}}"#).is_err());
}

#[test]
fn a_result_that_asks_names_its_kind_and_its_server() {
    let asked = InputRequired {
        requests: vec![
            request("a\"", "roots/list", None),
            request("b", "x", Some("{ }")),
        ],
        state: Some("s\n".to_owned()),
    };
    let result = asked.to_result(r#"{"name":"n"}"#);
    assert_eq!(
        result,
        concat!(
            r#"{"resultType":"input_required","inputRequests":{"a\"":{"method":"roots/list"},"#,
            r#""b":{"method":"x","params":{ }}},"requestState":"s\n","#,
            r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n"}}}"#
        )
    );
    let only_state = InputRequired {
        requests: Vec::new(),
        ..asked
    };
    let result: Value = serde_json::from_str(&only_state.to_result("{}")).expect("valid");
    assert_eq!(result["requestState"], "s\n");
    assert_eq!(result.get("inputRequests"), None);
}

#[test]
fn only_the_state_of_a_response_is_replaced() {
    for (before, after) in [
        (
            r#"{"id":1, "result" : {"a" : 1.0, "requestState" : "old" }}"#,
            r#"{"id":1, "result" : {"a" : 1.0, "requestState" : "n\"w" }}"#,
        ),
        (
            r#"{"result":{ "a":1}}"#,
            r#"{"result":{"requestState":"n\"w", "a":1}}"#,
        ),
        (r#"{"result":{}}"#, r#"{"result":{"requestState":"n\"w"}}"#),
    ] {
        let patch = with_state(before.as_bytes(), "n\"w").expect("a result");
        assert_eq!(patched(before, &[patch]), after);
    }
    assert_eq!(with_state(br#"{"error":{}}"#, "s"), None);
}

#[test]
fn what_a_client_brings_is_read() {
    let body = r#"{"method":"tools/call","params":{"name":"t","inputResponses":{"b":{ "action":"accept" },"a":7},"requestState":"s"}}"#;
    let expected = Retry {
        responses: vec![
            (
                "b".to_owned(),
                Bytes::from_static(br#"{ "action":"accept" }"#),
            ),
            ("a".to_owned(), Bytes::from_static(b"7")),
        ],
        state: Some("s".to_owned()),
    };
    assert_eq!(
        expected.responses_to_json(),
        r#"{"b":{ "action":"accept" },"a":7}"#
    );
    assert_eq!(retry(body), Ok(expected));
    for none in [
        r#"{"method":"m"}"#,
        r#"{"params":{"name":"t"}}"#,
        r#"{"params":[]}"#,
    ] {
        assert!(retry(none).expect(none) == Retry::default(), "{none}");
    }
    for (params, reason) in [
        (
            r#"{"inputResponses":[]}"#,
            "params.inputResponses is not an object",
        ),
        (
            r#"{"inputResponses":null}"#,
            "params.inputResponses is not an object",
        ),
        (
            r#"{"inputResponses":{"a":1,"a":1}}"#,
            "params.inputResponses holds a key twice",
        ),
        (
            r#"{"requestState":7}"#,
            "params.requestState is not a string",
        ),
    ] {
        let error = retry(&format!(r#"{{"params":{params}}}"#)).expect_err(params);
        assert_eq!(error.to_string(), reason);
    }
}

#[test]
fn a_request_is_made_again_with_exactly_what_belongs_to_the_round() {
    let plain = r#"{"params":{ "name":"t"}}"#;
    let full = r#"{"params":{"inputResponses":{"x":0},"name":"t", "requestState":"old"}}"#;
    let (responses, state) = (Some(r#"{"a":{}}"#), Some("n\"w"));
    for (before, responses, state, after) in [
        (plain, None, None, plain),
        (
            plain,
            responses,
            None,
            r#"{"params":{"inputResponses":{"a":{}}, "name":"t"}}"#,
        ),
        (
            plain,
            responses,
            state,
            r#"{"params":{"inputResponses":{"a":{}},"requestState":"n\"w", "name":"t"}}"#,
        ),
        (full, None, None, r#"{"params":{"name":"t"}}"#),
        (
            full,
            None,
            state,
            r#"{"params":{"name":"t", "requestState":"n\"w"}}"#,
        ),
        (
            full,
            responses,
            None,
            r#"{"params":{"inputResponses":{"a":{}},"name":"t"}}"#,
        ),
        (
            r#"{"params":{"requestState":"old","name":"t"}}"#,
            responses,
            None,
            r#"{"params":{"inputResponses":{"a":{}},"name":"t"}}"#,
        ),
    ] {
        let envelope = scan(before.as_bytes()).expect("valid");
        let patches = with_retry(before.as_bytes(), &envelope, responses, state).expect("params");
        assert_eq!(patched(before, &patches), after, "{before}");
    }
    for none in [
        r#"{"params":{}}"#,
        r#"{"params":[]}"#,
        "{}",
        r#"{"params":{"requestState":"s"}}"#,
    ] {
        let envelope = scan(none.as_bytes()).expect("valid");
        assert_eq!(
            with_retry(none.as_bytes(), &envelope, None, None),
            None,
            "{none}"
        );
    }
}

#[test]
fn claims_and_a_round_find_their_places_together() {
    for (before, after) in [
        (
            r#"{"params":{"requestState":"old","name":"t"}}"#,
            r#"{"params":{"_meta":{"k":1},"inputResponses":{},"name":"t"}}"#,
        ),
        (
            r#"{"params":{"_meta":{},"name":"t"}}"#,
            r#"{"params":{"inputResponses":{},"_meta":{"k":1},"name":"t"}}"#,
        ),
    ] {
        let envelope = scan(before.as_bytes()).expect("valid");
        let slot = MetaSlot::of(&envelope, before.as_bytes()).expect("a slot");
        let mut patches = vec![Patch {
            span: slot.at(),
            with: slot.text(r#""k":1"#),
        }];
        patches.extend(with_retry(before.as_bytes(), &envelope, Some("{}"), None).expect("params"));
        assert_eq!(patched(before, &patches), after);
    }
}

#[test]
fn a_childs_request_is_asked_for_under_its_id() {
    let keys = std::cell::RefCell::new(Vec::<String>::new());
    for (id, key) in [
        ("0", "0"),
        (r#""0""#, "0-2"),
        (r#""a\"b""#, "a\"b"),
        ("-12", "-12"),
        (r#""\u0030""#, "0-3"),
        (r#""\ud800""#, r#""\ud800""#),
    ] {
        let found = key_of(id.as_bytes(), |key| {
            keys.borrow().iter().any(|taken| taken == key)
        });
        assert_eq!(found, key, "{id}");
        keys.borrow_mut().push(found);
    }
}

#[test]
fn a_response_that_cannot_be_one_is_refused() {
    let good = [
        (
            "elicitation/create",
            r#"{"action":"accept","content":{"a":1}}"#,
        ),
        ("elicitation/create", r#"{"action":"d\u0065cline"}"#),
        (
            "sampling/createMessage",
            r#"{"role":"assistant","content":{"type":"text"},"model":"m"}"#,
        ),
        (
            "sampling/createMessage",
            r#"{"role":"assistant","content":[]}"#,
        ),
        ("roots/list", r#"{"roots":[]}"#),
        ("own/method", "{}"),
    ];
    for (method, response) in good {
        assert_eq!(
            check_response(method, response.as_bytes()),
            Ok(()),
            "{response}"
        );
    }
    let bad = [
        ("elicitation/create", "{}"),
        ("elicitation/create", r#"{"action":true}"#),
        ("elicitation/create", r#"{"action":"maybe"}"#),
        ("sampling/createMessage", r#"{"content":{}}"#),
        (
            "sampling/createMessage",
            r#"{"role":"user","content":"text"}"#,
        ),
        ("roots/list", r#"{"roots":{}}"#),
        ("own/method", "[]"),
        ("roots/list", "null"),
    ];
    for (method, response) in bad {
        assert!(
            check_response(method, response.as_bytes()).is_err(),
            "{method} {response}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_asked_for_is_read_back(
        keys in prop::collection::hash_set(any::<String>(), 0..4),
        state in any::<Option<String>>(),
        id in any::<u32>(),
    ) {
        prop_assume!(!keys.is_empty() || state.is_some());
        let requests = keys.into_iter().map(|key| request(&key, "elicitation/create", Some(r#"{"a":[1.0]}"#)));
        let asked = InputRequired { requests: requests.collect(), state };
        let result = asked.to_result("{}");
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        prop_assert!(scan(line.as_bytes()).expect("valid").result_is_input_required);
        prop_assert_eq!(required(&line), Ok(asked));
    }

    #[test]
    fn what_is_brought_is_read_back(
        responses in prop::collection::hash_map(any::<String>(), any::<i32>(), 0..4),
        state in any::<Option<String>>(),
    ) {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
        let brought = Retry {
            responses: responses.iter().map(|(key, value)| (key.clone(), json!(value).to_string().into())).collect(),
            state,
        };
        let envelope = scan(body.as_bytes()).expect("valid");
        let json = brought.responses_to_json();
        let patches = with_retry(body.as_bytes(), &envelope, Some(&json), brought.state.as_deref());
        let again = patched(body, &patches.expect("params"));
        prop_assert_eq!(retry(&again), Ok(brought));
    }
}
