//! What a scan sees: each member that a gateway must see, at its level, under its own name and no other.

use super::*;

/// What of a scan can be told apart: a name for each member, and the text at its span.
fn seen(text: &str) -> Vec<(&'static str, &str)> {
    let envelope = scan(text.as_bytes()).expect(text);
    let params = envelope.params.unwrap_or_default();
    let meta = params.meta.unwrap_or_default();
    let members = [
        ("jsonrpc", envelope.jsonrpc),
        ("id", envelope.id),
        ("method", envelope.method),
        ("params", envelope.params.map(|params| params.span)),
        ("result", envelope.result),
        ("error", envelope.error),
        ("params._meta", params.meta.map(|meta| meta.span)),
        ("params.name", params.name),
        ("params.uri", params.uri),
        ("params.requestId", params.request_id),
        ("params.progressToken", params.progress_token),
        ("params.inputResponses", params.input_responses),
        ("params.requestState", params.request_state),
        ("params._meta.progressToken", meta.progress_token),
        ("params._meta.traceparent", meta.traceparent),
        ("params._meta.tracestate", meta.tracestate),
        (era::meta_key::PROTOCOL_VERSION, meta.protocol_version),
        (era::meta_key::CLIENT_CAPABILITIES, meta.client_capabilities),
        (era::meta_key::CLIENT_INFO, meta.client_info),
        (era::meta_key::LOG_LEVEL, meta.log_level),
        (era::meta_key::SUBSCRIPTION_ID, meta.subscription_id),
    ];
    let there = members.into_iter().filter(|(_, span)| span.is_some());
    there
        .map(|(name, span)| (name, of(span, text).expect("of this text")))
        .collect()
}

/// The members of each level that are seen.
const OUTER: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS: [&str; 7] = [
    "_meta",
    "name",
    "uri",
    "requestId",
    "progressToken",
    "inputResponses",
    "requestState",
];
const META: [&str; 8] = [
    "progressToken",
    "traceparent",
    "tracestate",
    era::meta_key::PROTOCOL_VERSION,
    era::meta_key::CLIENT_CAPABILITIES,
    era::meta_key::CLIENT_INFO,
    era::meta_key::LOG_LEVEL,
    era::meta_key::SUBSCRIPTION_ID,
];

/// What a member of `params._meta` is called where it stands twice.
fn full_name(key: &'static str) -> String {
    if key.contains('/') {
        key.to_owned()
    } else {
        format!("params._meta.{key}")
    }
}

#[test]
fn every_member_that_decides_is_seen_under_its_own_name() {
    for key in OUTER {
        let text = format!(r#"{{"a":0, "{key}" : [7] ,"z":0}}"#);
        assert_eq!(seen(&text), [(key, "[7]")]);
    }
    for key in PARAMS {
        let params = format!(r#"{{"a":0, "{key}" : [7] ,"z":0}}"#);
        let text = format!(r#"{{"params": {params} }}"#);
        let name = format!("params.{key}");
        let expected = [("params", params.as_str()), (name.as_str(), "[7]")];
        assert_eq!(seen(&text), expected);
    }
    for key in META {
        let meta = format!(r#"{{"a":0, "{key}" : [7] ,"z":0}}"#);
        let params = format!(r#"{{"_meta": {meta} }}"#);
        let text = format!(r#"{{"params":{params}}}"#);
        let name = full_name(key);
        let expected = [
            ("params", params.as_str()),
            ("params._meta", meta.as_str()),
            (name.as_str(), "[7]"),
        ];
        assert_eq!(seen(&text), expected);
    }
}

/// H062: each of them, and the refusal names it.
#[test]
fn every_member_that_decides_is_refused_where_it_stands_twice() {
    let duplicate = |text: &str| match scan(text.as_bytes()) {
        Err(ScanError::Duplicate(name)) => name,
        other => panic!("{text}: {other:?}"),
    };
    for key in OUTER {
        let text = format!(r#"{{"{key}":1,"a":0,"{key}":1}}"#);
        assert_eq!(duplicate(&text), key);
    }
    for key in PARAMS {
        let text = format!(r#"{{"params":{{"{key}":1,"a":0,"{key}":1}}}}"#);
        assert_eq!(duplicate(&text), format!("params.{key}"));
    }
    for key in META {
        let text = format!(r#"{{"params":{{"_meta":{{"{key}":1,"a":0,"{key}":1}}}}}}"#);
        assert_eq!(duplicate(&text), full_name(key));
    }
}

#[test]
fn an_object_without_members_is_known_for_one() {
    let empty = |text: &str| {
        let params = scan(text.as_bytes()).expect(text).params.expect(text);
        (params.empty, params.meta.map(|meta| meta.empty))
    };
    for (text, expected) in [
        (r#"{"params":{}}"#, (true, None)),
        (r#"{"params":{ }}"#, (true, None)),
        (r#"{"params":{"a":1}}"#, (false, None)),
        (r#"{"params":{"_meta":{}}}"#, (false, Some(true))),
        (r#"{"params":{"_meta":{"a":1}}}"#, (false, Some(false))),
        (r#"{"params":[]}"#, (false, None)),
        (r#"{"params":{"_meta":[]}}"#, (false, Some(false))),
    ] {
        assert_eq!(empty(text), expected, "{text}");
    }
}

#[test]
fn a_tool_that_failed_says_so_in_its_result_and_nowhere_else() {
    let failed = |result: &str| {
        let text = format!(r#"{{"id":1,"result":{result}}}"#);
        scan(text.as_bytes()).expect(&text).result_is_error
    };
    assert!(failed(r#"{"content":[], "isError" : true }"#));
    for other in [
        "true",
        "{}",
        r#"{"isError":false}"#,
        r#"{"isError":"true"}"#,
        r#"{"iserror":true}"#,
        r#"{"a":{"isError":true}}"#,
        r#"{"resultType":true}"#,
    ] {
        assert!(!failed(other), "{other}");
    }
    let outside = scan(br#"{"isError":true,"error":{"isError":true},"result":{}}"#);
    assert!(!outside.expect("valid").result_is_error);
}

/// Members of an extension, and whatever else a client puts beside the message, are its own business.
#[test]
fn a_member_of_another_name_is_no_look_alike() {
    let look_alike = |name: &str| {
        let text = format!(r#"{{"{name}":1}}"#);
        scan(text.as_bytes()).expect(&text).look_alike
    };
    for other in [
        "", "x", "ids", "i", "_id", "i d", "meta", "errors", "\\ud800",
    ] {
        assert!(!look_alike(other), "{other}");
    }
    for alike in [
        "ID",
        "iD",
        "Method",
        "\\u0049d",
        "PARAM\u{17f}",
        "Re\u{17f}ult",
    ] {
        assert!(look_alike(alike), "{alike}");
    }
    for itself in OUTER {
        assert!(!look_alike(itself), "{itself}");
    }
}

#[test]
fn a_span_is_of_its_own_text_only() {
    assert_eq!(Span::whole(b"abc"), Span { start: 0, end: 3 });
    assert_eq!(Span::whole(b"abc").of(b"abc"), b"abc");
    assert_eq!(Span { start: 1, end: 2 }.of(b"abc"), b"b");
    assert_eq!(Span { start: 2, end: 4 }.of(b"abc"), b"");
    assert_eq!(Span::empty_at(2).of(b"abc"), b"");
    assert_eq!(Span::empty_at(2), Span { start: 2, end: 2 });
}
