//! Requests to all servers: each to the one that it names, or to nobody.

use super::*;
use crate::fault::FaultKind;
use crate::protocol::scan;
use crate::relay::aggregate::Kind;
use crate::relay::aggregate::cursor::{More, PageTrail, compose};
use crate::relay::aggregate::route::{Routed, listened, route};

/// Server and body, `list`, `own` or `refused`, or the fault.
fn routed(body: &str) -> Result<(String, String), (FaultKind, String)> {
    let (files, mail) = (id("files"), id("mail"));
    let servers = [&files, &mail];
    let envelope = scan(body.as_bytes()).unwrap();
    let method: String =
        serde_json::from_slice(envelope.method.unwrap().of(body.as_bytes())).unwrap();
    let routed = route(&method, body.as_bytes(), &envelope, Reach(&servers));
    let word = |word: &str, text: &str| (word.to_owned(), text.to_owned());
    match routed {
        Ok(Routed::One(one)) => {
            let body = String::from_utf8(one.body).unwrap();
            Ok((one.server.to_string(), body))
        }
        Ok(Routed::List(kind, None)) => Ok(word("list", kind.method())),
        Ok(Routed::List(kind, Some(more))) => {
            let more: Vec<_> = more
                .iter()
                .map(|more| format!("{}={}", more.server, more.cursor))
                .collect();
            Ok((kind.method().to_owned(), more.join(" ")))
        }
        Ok(Routed::Own) => Ok(word("own", "")),
        Ok(Routed::Refused) => Ok(word("refused", "")),
        Err(fault) => Err((fault.kind, fault.message.into_owned())),
    }
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{ "jsonrpc":"2.0","method":"{method}","params":{params},"id":1 }}"#)
}

#[test]
fn a_request_reaches_the_server_that_it_names_as_if_it_had_been_asked_directly() {
    for (method, asked, server, direct) in [
        (
            "tools/call",
            r#"{"arguments":{"name":"mail__x"},"name": "files__re\u0061d","_meta":{"progressToken":1}}"#,
            "files",
            r#"{"arguments":{"name":"mail__x"},"name": "read","_meta":{"progressToken":1}}"#,
        ),
        (
            "prompts/get",
            r#"{"name":"mail__a__b"}"#,
            "mail",
            r#"{"name":"a__b"}"#,
        ),
        (
            "resources/read",
            r#"{"uri":"mcp://FILES/file:///a b/{x}"}"#,
            "files",
            r#"{"uri":"file:///a b/{x}"}"#,
        ),
        (
            "resources/subscribe",
            r#"{"uri":"mcp://mail/x://y"}"#,
            "mail",
            r#"{"uri":"x://y"}"#,
        ),
        (
            "resources/unsubscribe",
            r#"{"uri":"mcp://mail/x://y"}"#,
            "mail",
            r#"{"uri":"x://y"}"#,
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"mail__p"},"argument":{"name":"files__a","value":""}}"#,
            "mail",
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"files__a","value":""}}"#,
        ),
        (
            "completion/complete",
            r#"{"argument":{"name":"id","value":""},"ref":{"uri":"mcp://files/t://{id}","type":"ref\/resource"}}"#,
            "files",
            r#"{"argument":{"name":"id","value":""},"ref":{"uri":"t://{id}","type":"ref\/resource"}}"#,
        ),
    ] {
        let expected = (server.to_owned(), request(method, direct));
        assert_eq!(routed(&request(method, asked)), Ok(expected));
    }
}

#[test]
fn what_names_nothing_is_a_list_or_the_gateways_own_or_refused() {
    let word = |word: &str, text: &str| Ok((word.to_owned(), text.to_owned()));
    for kind in Kind::ALL {
        let method = kind.method();
        for params in ["{}", r#"{"cursor":null}"#, r#"{"_meta":{}}"#, "[]"] {
            assert_eq!(routed(&request(method, params)), word("list", method));
        }
        let bare = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        assert_eq!(routed(&bare), word("list", method));
    }
    for method in [
        "initialize",
        "server/discover",
        "ping",
        "logging/setLevel",
        "subscriptions/listen",
    ] {
        assert_eq!(routed(&request(method, "{}")), word("own", ""));
    }
    for method in ["tasks/get", "tools/Call", "x"] {
        assert_eq!(
            routed(&request(method, r#"{"name":"mail__x"}"#)),
            word("refused", "")
        );
    }
}

#[test]
fn a_cursor_leads_to_the_servers_that_have_more() {
    let (files, mail) = (id("files"), id("mail"));
    let more = |server, cursor: &str| More {
        server,
        cursor: cursor.to_owned(),
        trail: PageTrail::default(),
    };
    let cursor = compose(Kind::Tools, &[more(&files, ""), more(&mail, "2 3")]).unwrap();
    let page = request("tools/list", &format!(r#"{{"cursor":"{cursor}"}}"#));
    let expected = ("tools/list".to_owned(), "files= mail=2 3".to_owned());
    assert_eq!(routed(&page), Ok(expected));
}

#[test]
fn what_is_nobodys_is_a_fault_of_the_params_that_says_what_was_expected() {
    for (method, params, part) in [
        (
            "tools/call",
            "{}",
            "params.name is missing or no string, expected server_id__name",
        ),
        ("tools/call", "[]", "params.name is missing"),
        (
            "tools/call",
            r#"{"name":7}"#,
            "params.name is missing or no string",
        ),
        (
            "tools/call",
            r#"{"name":"read"}"#,
            "this token reaches files, mail",
        ),
        (
            "prompts/get",
            r#"{"name":"other__read"}"#,
            r#"params.name is "other__read""#,
        ),
        (
            "resources/read",
            r#"{"uri":"file:///x"}"#,
            "expected mcp://server_id/uri",
        ),
        ("completion/complete", "{}", "params.ref is neither"),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/tool","name":"mail__x"}}"#,
            "params.ref is",
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"mail__x","name":"files__x"}}"#,
            "params.ref is neither",
        ),
        (
            "tools/list",
            r#"{"cursor":1}"#,
            "params.cursor is not one string",
        ),
        (
            "tools/list",
            r#"{"cursor":"a","cursor":"b"}"#,
            "params.cursor is not one string",
        ),
        (
            "tools/list",
            r#"{"cursor":"abc"}"#,
            "params.cursor is none of this gateway's",
        ),
    ] {
        let (kind, text) = routed(&request(method, params)).unwrap_err();
        assert_eq!(kind, FaultKind::InvalidParams);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn every_resource_that_is_listened_to_is_told_to_its_server() {
    let (files, mail) = (id("files"), id("mail"));
    let servers = [&files, &mail];
    let of = |params: &str| {
        let body = request("subscriptions/listen", params);
        listened(
            body.as_bytes(),
            &scan(body.as_bytes()).unwrap(),
            Reach(&servers),
        )
    };
    let params = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["mcp://mail/a\u0062","mcp://files/c"]}}"#;
    let expected = vec![(&mail, "ab".to_owned()), (&files, "c".to_owned())];
    assert_eq!(of(params), Ok(expected));
    for none in [
        "{}",
        "[]",
        r#"{"notifications":{}}"#,
        r#"{"notifications":7}"#,
    ] {
        assert_eq!(of(none), Ok(Vec::new()), "{none}");
    }
    for bad in [r#"["file:///x"]"#, "[1]", "{}"] {
        let params = format!(r#"{{"notifications":{{"resourceSubscriptions":{bad}}}}}"#);
        assert_eq!(
            of(&params).unwrap_err().kind,
            FaultKind::InvalidParams,
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_but_the_name_is_another_for_the_server(
        arguments in any_json(),
        name in any::<String>().prop_filter("too long or empty", |name| (1..100).contains(&name.len())),
        uri in any::<bool>(),
    ) {
        let (method, key, prefix) =
            if uri { ("resources/read", "uri", "mcp://mail/") } else { ("tools/call", "name", "mail__") };
        let body = |name: &str| {
            let name = serde_json::json!(name);
            request(method, &format!(r#"{{"arguments":{arguments},"{key}":{name},"z":[1, 2]}}"#))
        };
        let asked = body(&format!("{prefix}{name}"));
        prop_assert_eq!(routed(&asked), Ok(("mail".to_owned(), body(&name))));
    }
}
