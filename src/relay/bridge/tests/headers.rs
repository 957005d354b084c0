//! Routing headers: what repeats the body passes, whatever else is refused with the header's name.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use crate::protocol::scan;
use crate::relay::api::{RoutingHeaders, Sent};
use crate::relay::bridge::tool_headers::ToolHeaders;

fn tools() -> HashMap<String, ToolHeaders> {
    let list = json!({"tools": [
        {"name": "sql", "inputSchema": {"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "priority": {"type": "integer", "x-mcp-header": "Priority"},
            "debug": {"type": "boolean", "x-mcp-header": "Debug"},
            "where": {"type": "object", "properties": {"tenant": {"type": "string", "x-mcp-header": "Tenant-Id"}}},
            "query": {"type": "string"},
        }}},
        {"name": "plain", "inputSchema": {"type": "object", "properties": {"region": {"type": "string"}}}},
    ]});
    ToolHeaders::from_list(list.to_string().as_bytes())
}

/// Headers as `name: value`, the name in lower case; what they say of this call of `sql`.
fn checked(lines: &[(&str, &str)], method: &str, params: &str) -> Result<(), String> {
    let lines = lines.iter();
    let headers = RoutingHeaders::pick(lines.map(|(name, value)| (*name, value.as_bytes())));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let envelope = scan(body.as_bytes()).expect("valid");
    let tools = tools();
    let checked = headers.check(&envelope, body.as_bytes(), method);
    let tool = tools.get("sql").filter(|_| method == "tools/call");
    let checked = checked.and_then(|()| {
        tool.map_or(Ok(()), |tool| {
            headers.check_arguments(&envelope, body.as_bytes(), tool)
        })
    });
    checked.map_err(|fault| fault.to_string())
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;

#[test]
fn only_routing_headers_are_picked() {
    let all: [(&str, &[u8]); 6] = [
        ("mcp-session-id", b"s"),
        ("mcp-protocol-version", b"a\xff"),
        ("mcp-name", b"a"),
        ("authorization", b"x"),
        ("mcp-name", b"a"),
        ("mcp-param-region", b"us"),
    ];
    let picked = RoutingHeaders {
        version: Sent::Once(b"a\xff"[..].into()),
        name: Sent::Repeatedly,
        params: vec![("region".to_owned(), "us".into())],
        ..RoutingHeaders::default()
    };
    assert_eq!(RoutingHeaders::pick(all), picked);
}

#[test]
fn version_and_method_are_required_and_say_what_the_body_says() {
    let list = |lines: &[_]| checked(lines, "tools/list", &format!("{{{META}}}"));
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/list");
    assert_eq!(list(&[version, method]), Ok(()));
    assert_eq!(list(&[version, ("mcp-method", " \ttools/list  ")]), Ok(()));
    for (lines, complaint) in [
        (&[method][..], "mcp-protocol-version is missing"),
        (
            &[version, version, method],
            "mcp-protocol-version is there more than once",
        ),
        (
            &[("mcp-protocol-version", "2025-11-25"), method],
            "mcp-protocol-version says another thing",
        ),
        (&[version], "mcp-method is missing"),
        (
            &[version, ("mcp-method", "prompts/list")],
            "mcp-method says another thing",
        ),
        (
            &[version, ("mcp-method", "TOOLS/LIST")],
            "mcp-method says another thing",
        ),
        (
            &[version, ("mcp-method", "tools/list\u{e9}")],
            "mcp-method has a character",
        ),
        (
            &[version, ("mcp-method", "=?base64?dG9vbHMvbGlzdA==?=")],
            "mcp-method says another thing",
        ),
    ] {
        let fault = list(lines).expect_err(complaint);
        assert!(fault.starts_with(complaint), "{fault}");
    }
    // The claim that is not there is another's to complain of.
    assert_eq!(checked(&[version, method], "tools/list", "{}"), Ok(()));
}

fn call<'a>(method: &'a str, more: &[(&'a str, &'a str)], params: &str) -> Result<(), String> {
    let mut lines = vec![
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    lines.extend(more);
    checked(&lines, method, params)
}

#[test]
fn what_is_asked_for_is_named_as_in_the_body() {
    let uri = r#"{"uri":"file:\/\/a b"}"#;
    for (method, name, params) in [
        ("tools/call", "  t ", r#"{"name":"t"}"#),
        ("prompts/get", "p", r#"{"name":"p"}"#),
        ("resources/read", "file://a b", uri),
        ("resources/read", "=?base64?ZmlsZTovL2EgYg==?=", uri),
        ("tools/call", "=?base64?4pyT?=", r#"{"name":"✓"}"#),
        ("tasks/cancel", "7", r#"{"taskId":"7"}"#),
        // Not one of those that have a name.
        ("tools/list", "anything", "{}"),
    ] {
        assert_eq!(
            call(method, &[("mcp-name", name)], params),
            Ok(()),
            "{method} {name}"
        );
    }
    assert_eq!(
        call("tools/call", &[], "{}"),
        Ok(()),
        "the child complains of the body"
    );
    for (method, name, params, complaint) in [
        (
            "tools/call",
            "T",
            r#"{"name":"t"}"#,
            "mcp-name says another thing than the body, expected params.name",
        ),
        (
            "resources/read",
            "u",
            r#"{"uri":"v"}"#,
            "mcp-name says another thing than the body, expected params.uri",
        ),
        (
            "tasks/get",
            "8",
            r#"{"taskId":"7"}"#,
            "mcp-name says another thing than the body, expected params.taskId",
        ),
        ("tools/call", "t", "{}", "mcp-name is there without one"),
        (
            "tools/call",
            "=?base64?4pyT=?=",
            r#"{"name":"✓"}"#,
            "mcp-name is not base64",
        ),
        (
            "tools/call",
            "=?base64?/w==?=",
            r#"{"name":"t"}"#,
            "mcp-name is not base64",
        ),
        (
            "tools/call",
            "✓",
            r#"{"name":"✓"}"#,
            "mcp-name has a character",
        ),
    ] {
        let fault = call(method, &[("mcp-name", name)], params).expect_err(complaint);
        assert!(fault.starts_with(complaint), "{fault}");
    }
    for (method, params) in [
        ("tools/call", r#"{"name":"t"}"#),
        ("tasks/update", r#"{"taskId":"7"}"#),
    ] {
        let fault = call(method, &[], params).expect_err(method);
        assert!(fault.starts_with("mcp-name is missing"), "{fault}");
    }
}

fn sql(more: &[(&str, &str)], arguments: &str) -> Result<(), String> {
    let mut lines = vec![("mcp-name", "sql")];
    lines.extend(more);
    call(
        "tools/call",
        &lines,
        &format!(r#"{{"name":"sql","arguments":{arguments}}}"#),
    )
}

#[test]
fn annotated_arguments_are_repeated() {
    for (lines, arguments) in [
        (
            &[("mcp-param-region", "us")][..],
            r#"{"region":"us","query":"q"}"#,
        ),
        (
            &[("mcp-param-region", "=?base64?SGVsbG8=?=")],
            r#"{"region":"Hello"}"#,
        ),
        (
            &[("mcp-param-region", "SGVsbG8=")],
            r#"{"region":"SGVsbG8="}"#,
        ),
        (
            &[("mcp-param-region", "=?base64?SGVsbG8=")],
            r#"{"region":"=?base64?SGVsbG8="}"#,
        ),
        (&[("mcp-param-region", "")], r#"{"region":""}"#),
        (&[("mcp-param-priority", "42.0")], r#"{"priority":42}"#),
        (&[("mcp-param-priority", "-7")], r#"{"priority":-7e0}"#),
        (&[("mcp-param-debug", "true")], r#"{"debug":true}"#),
        (
            &[("mcp-param-tenant-id", "t")],
            r#"{"where":{"tenant":"t"}}"#,
        ),
        (&[("mcp-param-other", "x")], r#"{"query":"q"}"#),
        (&[], r#"{"region":null,"where":{},"query":"q"}"#),
        (&[], r#"{"where":"nowhere"}"#),
        (&[], "null"),
    ] {
        assert_eq!(sql(lines, arguments), Ok(()), "{lines:?} {arguments}");
    }
}

#[test]
fn what_does_not_repeat_an_annotated_argument_is_refused() {
    for (lines, arguments, complaint) in [
        (
            &[][..],
            r#"{"region":"us"}"#,
            "mcp-param-region is missing, expected the argument region",
        ),
        (
            &[],
            r#"{"where":{"tenant":"t"}}"#,
            "mcp-param-tenant-id is missing, expected the argument where.tenant",
        ),
        (
            &[("mcp-param-region", "US")],
            r#"{"region":"us"}"#,
            "mcp-param-region says another thing",
        ),
        (
            &[("mcp-param-region", "us")],
            "{}",
            "mcp-param-region is there without one",
        ),
        (
            &[("mcp-param-region", "us")],
            r#"{"region":null}"#,
            "mcp-param-region is there without one",
        ),
        (
            &[("mcp-param-region", "us"), ("mcp-param-region", "us")],
            r#"{"region":"us"}"#,
            "mcp-param-region is there more",
        ),
        (
            &[("mcp-param-region", "us")],
            r#"{"region":"eu","region":"us"}"#,
            "mcp-param-region has no one argument",
        ),
        (
            &[("mcp-param-region", "=?base64?SGVsbG8?=")],
            r#"{"region":"Hello"}"#,
            "mcp-param-region is not base64",
        ),
        (
            &[("mcp-param-region", "=?base64?SGVs!!!bG8=?=")],
            r#"{"region":"Hello"}"#,
            "mcp-param-region is not base64",
        ),
        (
            &[("mcp-param-priority", "43")],
            r#"{"priority":42}"#,
            "mcp-param-priority says another thing",
        ),
        (
            &[("mcp-param-priority", "inf")],
            r#"{"priority":42}"#,
            "mcp-param-priority says another thing",
        ),
        (
            &[("mcp-param-priority", "9007199254740993")],
            r#"{"priority":9007199254740992}"#,
            "mcp-param-priority says another",
        ),
        (
            &[("mcp-param-debug", "TRUE")],
            r#"{"debug":true}"#,
            "mcp-param-debug says another thing",
        ),
        (
            &[("mcp-param-debug", "{}")],
            r#"{"debug":{}}"#,
            "mcp-param-debug says another thing",
        ),
    ] {
        let fault = sql(lines, arguments).expect_err(complaint);
        assert!(fault.starts_with(complaint), "{fault}");
    }
}

#[test]
fn only_tools_whose_annotations_follow_the_rules_are_checked() {
    let names: Vec<_> = tools().into_keys().collect();
    assert_eq!(names, ["sql"]);
    let property = |schema: &str| {
        let list = format!(
            r#"{{"tools":[{{"name":"t","inputSchema":{{"properties":{{"a":{schema},"b":{{"x-mcp-header":"B"}}}}}}}}]}}"#
        );
        ToolHeaders::from_list(list.as_bytes()).len()
    };
    for good in [
        r#"{"type":"string","x-mcp-header":"A"}"#,
        r#"{"type":["integer","null"],"x-\u006dcp-header":"A"}"#,
        r#"{"x-mcp-header":"!#$%&'*+-.^_`|~"}"#,
        "true",
        r#"{"items":{"x-mcp-header":"C"}}"#,
    ] {
        assert_eq!(property(good), 1, "{good}");
    }
    for bad in [
        r#"{"x-mcp-header":""}"#,
        r#"{"x-mcp-header":"b"}"#,
        r#"{"x-mcp-header":7}"#,
        r#"{"x-mcp-header":"My A"}"#,
        r#"{"x-mcp-header":"A:B"}"#,
        r#"{"x-mcp-header":"Région"}"#,
        r#"{"x-mcp-header":"A\t1"}"#,
        r#"{"type":"number","x-mcp-header":"A"}"#,
        r#"{"type":"object","x-mcp-header":"A"}"#,
        r#"{"type":"array","x-mcp-header":"A"}"#,
        r#"{"type":"null","x-mcp-header":"A"}"#,
    ] {
        assert_eq!(property(bad), 0, "{bad}");
    }
    for none in [
        "",
        "[]",
        r#"{"tools":{"x-mcp-header":1}}"#,
        r#"{"tools":["x-mcp-header",{"name":"x-mcp-header"}]}"#,
    ] {
        assert_eq!(ToolHeaders::from_list(none.as_bytes()).len(), 0, "{none}");
    }
}

proptest! {
    #[test]
    fn any_text_can_be_repeated_in_base64(text in any::<String>()) {
        use base64::Engine as _;
        let header = format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(&text));
        let arguments = json!({"region": text}).to_string();
        prop_assert_eq!(sql(&[("mcp-param-region", &header)], &arguments), Ok(()));
        let other = json!({"region": format!("{text}.")}).to_string();
        prop_assert!(sql(&[("mcp-param-region", &header)], &other).is_err());
    }

    #[test]
    fn integers_are_what_they_are_worth(number in -9_007_199_254_740_991i64..=9_007_199_254_740_991, off in 0i64..3) {
        let arguments = json!({"priority": number}).to_string();
        let other = number.saturating_add(off);
        for header in [format!("{other}"), format!("{other}.0"), format!("{other}e0")] {
            let found = sql(&[("mcp-param-priority", &header)], &arguments);
            prop_assert_eq!(found.is_ok(), off == 0, "{}", header);
        }
    }
}
