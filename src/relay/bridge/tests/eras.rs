//! Responses and requests that change their era: what has to be there is there, what must not be is
//! gone, and the rest is as it was written.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::patched;
use crate::protocol::scan;
use crate::protocol::splice::{MetaSlot, Patch};
use crate::relay::bridge::features::Features;
use crate::relay::bridge::{legacy, modern};

const SERVER: &str = r#"{"name":"n"}"#;

fn features(json: &str) -> Features {
    Features::read(json.as_bytes()).expect(json)
}

fn for_modern(method: &str, line: &str, capabilities: &str) -> String {
    let bytes = Bytes::copy_from_slice(line.as_bytes());
    let patches = modern::response(&bytes, method, SERVER, features(capabilities));
    patched(line, &patches)
}

fn for_legacy(method: &str, line: &str) -> String {
    let patch = legacy::response(line.as_bytes(), method);
    patched(line, patch.as_slice())
}

#[test]
fn a_legacy_result_says_what_a_modern_one_must() {
    let named = r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n"}}"#;
    let cases = [
        (
            "tools/call",
            r#"{"result" : { "content":[1.0 ] }, "id":1}"#,
            format!(
                r#"{{"result" : {{"resultType":"complete",{named}, "content":[1.0 ] }}, "id":1}}"#
            ),
        ),
        (
            "ping",
            r#"{"id":1,"result":{}}"#,
            format!(r#"{{"id":1,"result":{{"resultType":"complete",{named}}}}}"#),
        ),
        (
            "tools/list",
            r#"{"id":1,"result":{"tools":[]}}"#,
            format!(
                r#"{{"id":1,"result":{{"resultType":"complete","ttlMs":0,"cacheScope":"private",{named},"tools":[]}}}}"#
            ),
        ),
        (
            "resources/read",
            r#"{"id":1,"result":{"_meta":{ "a":1},"ttlMs":5}}"#,
            concat!(
                r#"{"id":1,"result":{"resultType":"complete","cacheScope":"private","#,
                r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n"}, "a":1},"ttlMs":5}}"#
            )
            .to_owned(),
        ),
    ];
    for (method, line, expected) in cases {
        assert_eq!(for_modern(method, line, "{}"), expected);
    }
}

#[test]
fn what_a_result_says_already_stays() {
    for line in [
        r#"{"id":1,"result":{"resultType":"task","ttlMs":1,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":0}}}"#,
        r#"{"id":1,"result":[]}"#,
        r#"{"id":1,"error":{"code":-32601,"message":"m"}}"#,
        r#"{"id":1,"error":{"code":"x"}}"#,
        r#"{"id":1,"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":null}}"#,
    ] {
        assert_eq!(for_modern("tools/list", line, "{}"), line);
    }
}

#[test]
fn a_resource_that_is_not_there_has_each_eras_own_code() {
    let error = |code: i64, data: &str| {
        format!(r#"{{"id":1,"error":{{"message":"m" , "code" : {code}, "data":{data}}}}}"#)
    };
    let old = error(-32002, r#"{"uri":"u"}"#);
    let new = error(-32602, r#"{"uri":"u"}"#);
    assert_eq!(for_modern("resources/read", &old, "{}"), new);
    assert_eq!(for_legacy("resources/read", &new), old);
    for stays in [
        error(-32602, "{}"),
        error(-32602, r#"{"uri":1}"#),
        error(-32602, "null"),
    ] {
        assert_eq!(for_legacy("resources/read", &stays), stays);
    }
    assert_eq!(for_legacy("prompts/get", &new), new);
}

#[test]
fn addresses_to_open_become_a_round() {
    let line = concat!(
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"m","data":{"elicitations":["#,
        r#"{"mode":"url","elicitationId":"e1","url":"https:\/\/a","message":"x"},"#,
        r#"{"mode":"url","elicitationId":"e1","url":"https://b"},{"mode":"url","url":"https://c"}]}}}"#
    );
    let params = |url: &str| json!({"method": "elicitation/create", "params": {"mode": "url", "elicitationId": "e1", "url": url}});
    let mut first = params("https://a");
    first["params"]["message"] = "x".into();
    let expected = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "result": {
            "resultType": "input_required",
            "inputRequests": {
                "e1": first,
                "e1-2": params("https://b"),
                "elicitation": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://c"}},
            },
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "n"}},
        },
    });
    let url = r#"{"elicitation":{"url":{}}}"#;
    let asked: Value = serde_json::from_str(&for_modern("tools/call", line, url)).expect("valid");
    assert_eq!(asked, expected);
    for capabilities in ["{}", r#"{"elicitation":{}}"#] {
        let refused = for_modern("tools/call", line, capabilities);
        let refused: Value = serde_json::from_str(&refused).expect("valid");
        let data = json!({"requiredCapabilities": {"elicitation": {"url": {}}}});
        assert_eq!(
            refused["error"],
            json!({"code": -32021, "message": "m", "data": data})
        );
    }
    let other = for_modern("tools/list", line, url);
    assert_eq!(other, line.replace("-32042", "-32603"));
    for data in [
        r#"{"elicitations":[]}"#,
        r#"{"elicitations":[{"mode":"form"}]}"#,
        r#"{"elicitations":[{"mode":"url"}]}"#,
        "{}",
        "null",
    ] {
        let line = format!(r#"{{"error":{{"code":-32042,"data":{data}}}}}"#);
        let told = for_modern("tools/call", &line, url);
        assert_eq!(told, line.replace("-32042", "-32603"));
    }
}

#[test]
fn modern_codes_become_what_a_legacy_client_knows() {
    for (code, told) in [
        (-32020, -32603),
        (-32021, -32602),
        (-32022, -32603),
        (-32601, -32601),
        (-32000, -32000),
        (7, 7),
    ] {
        let error = |code: i64| {
            format!(r#"{{"id":1,"error":{{"code":{code},"message":"m","data":{{"uri":"u"}}}}}}"#)
        };
        assert_eq!(for_legacy("tools/call", &error(code)), error(told));
    }
    let result = r#"{"id":1,"result":{"resultType":"complete","error":{"code":-32020}}}"#;
    assert_eq!(for_legacy("tools/call", result), result);
}

fn stripped(body: &str, inserting: Option<&str>) -> String {
    let envelope = scan(body.as_bytes()).expect("valid");
    let left = patched(body, &modern::strip_claims(body.as_bytes(), &envelope));
    let Some(members) = inserting else {
        return left;
    };
    let envelope = scan(left.as_bytes()).expect("valid still");
    let slot = MetaSlot::of(&envelope, left.as_bytes()).expect("a slot");
    let insertion = Patch {
        span: slot.at(),
        with: slot.text(members),
    };
    patched(&left, &[insertion])
}

const CLAIMS: &str = concat!(
    r#""io.modelcontextprotocol\/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"x":{}},"#,
    r#""io.modelcontextprotocol/clientInfo" : {"name":"c"} , "io.modelcontextprotocol/logLevel":"info""#
);

#[test]
fn what_only_the_modern_era_knows_is_taken_out() {
    let with = |params: &str| format!(r#"{{"id":1,"method":"m","params":{params}}}"#);
    for (before, after) in [
        (format!(r#"{{"_meta":{{{CLAIMS}}}}}"#), r#"{"_meta":{}}"#),
        (
            format!(
                r#"{{ "name":"t","_meta":{{"progressToken":1 ,{CLAIMS}}},"requestState":"s"}}"#
            ),
            r#"{ "name":"t","_meta":{"progressToken":1 }}"#,
        ),
        (
            format!(
                r#"{{"inputResponses":{{"a":{{}}}},"requestState":"s","_meta":{{{CLAIMS}, "a/b":[1.0]}}}}"#
            ),
            r#"{"_meta":{ "a/b":[1.0]}}"#,
        ),
        (r#"{"requestState":"s"}"#.to_owned(), "{}"),
        (
            r#"{"a":{"requestState":"s"}}"#.to_owned(),
            r#"{"a":{"requestState":"s"}}"#,
        ),
        ("[]".to_owned(), "[]"),
    ] {
        assert_eq!(stripped(&with(&before), None), with(after));
    }
    assert_eq!(stripped(r#"{"method":"m"}"#, None), r#"{"method":"m"}"#);
}

#[test]
fn new_members_find_their_place_among_what_is_left() {
    for (before, after) in [
        (
            format!(r#"{{"params":{{"_meta":{{{CLAIMS}}}}}}}"#),
            r#"{"params":{"_meta":{"k":1}}}"#,
        ),
        (
            format!(r#"{{"params":{{"_meta":{{{CLAIMS},"a":2}}}}}}"#),
            r#"{"params":{"_meta":{"k":1,"a":2}}}"#,
        ),
        (
            r#"{"params":{"requestState":"s"}}"#.to_owned(),
            r#"{"params":{"_meta":{"k":1}}}"#,
        ),
    ] {
        assert_eq!(stripped(&before, Some(r#""k":1"#)), after);
    }
}

proptest! {
    #[test]
    fn the_rest_of_a_stripped_request_means_what_it_meant(
        params in prop::collection::btree_map(
            prop::sample::select(&["a", "name", "inputResponses", "requestState", "_meta"][..]),
            prop::collection::btree_map(
                prop::sample::select(&[
                    "a", "progressToken", "io.modelcontextprotocol/protocolVersion",
                    "io.modelcontextprotocol/clientInfo", "io.modelcontextprotocol/logLevel",
                    "io.modelcontextprotocol/clientCapabilities", "io.modelcontextprotocol/subscriptionId",
                ][..]),
                any::<Option<i8>>(),
                0..6,
            ),
            0..5,
        ),
        pretty in any::<bool>(),
    ) {
        let mut expected = json!({"jsonrpc": "2.0", "id": 1, "method": "m", "params": params});
        let body = if pretty { serde_json::to_string_pretty(&expected) } else { serde_json::to_string(&expected) };
        let found = stripped(&body.expect("JSON"), Some(r#""k":1"#));
        let params = expected["params"].as_object_mut().expect("an object");
        params.retain(|name, _| name != "inputResponses" && name != "requestState");
        let meta = params.entry("_meta").or_insert_with(|| json!({})).as_object_mut().expect("an object");
        meta.retain(|name, _| {
            !["protocolVersion", "clientInfo", "logLevel", "clientCapabilities"].iter().any(|claim| name.ends_with(claim))
        });
        meta.insert("k".to_owned(), 1.into());
        prop_assert_eq!(serde_json::from_str::<Value>(&found).expect("valid"), expected);
    }
}
