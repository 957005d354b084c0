//! Lists of two servers as one.

use super::*;
use crate::protocol::Era;
use crate::relay::aggregate::Kind;
use crate::relay::aggregate::cursor::parse;
use crate::relay::aggregate::merge::{Part, merge};

fn part<'a>(kind: Kind, server: &'a ServerId, result: &str) -> Part<'a> {
    Part::read(kind, server, result.as_bytes(), whole(result)).unwrap()
}

/// The list of two servers, from what each has answered.
fn merged(kind: Kind, era: Era, a: &str, b: &str) -> String {
    let (files, mail) = (id("files"), id("mail"));
    let parts = [part(kind, &files, a), part(kind, &mail, b)];
    merge(kind, &parts, era, true)
}

#[test]
fn items_keep_their_bytes_and_bear_their_server() {
    let a = r#"{"tools":[ {"name" : "re\u0061d","x":{"name":"y"},"n":1e400} , {"inputSchema":{},"name":"w"} ],"other":1}"#;
    let b = r#"{"tools":[{"name":"__x"}]}"#;
    assert_eq!(
        merged(Kind::Tools, Era::Legacy, a, b),
        r#"{"tools":[{"name" : "files__re\u0061d","x":{"name":"y"},"n":1e400} , {"inputSchema":{},"name":"files__w"},{"name":"mail____x"}]}"#
    );
    let one = r#"{"resources":[{"uri":"test://a//b","name":"a"}]}"#;
    assert_eq!(
        merged(Kind::Resources, Era::Legacy, one, r#"{"resources":[]}"#),
        r#"{"resources":[{"uri":"mcp://files/test://a//b","name":"a"}]}"#
    );
    let one = r#"{"resourceTemplates":[{"uriTemplate":"t://{+a}/{?b}","name":"a"}]}"#;
    assert_eq!(
        merged(
            Kind::Templates,
            Era::Legacy,
            r#"{"resourceTemplates":[ ]}"#,
            one
        ),
        r#"{"resourceTemplates":[{"uriTemplate":"mcp://mail/t://{+a}/{?b}","name":"a"}]}"#
    );
    let one = r#"{"prompts":[{"name":"p","arguments":[{"name":"q"}]}]}"#;
    assert_eq!(
        merged(Kind::Prompts, Era::Legacy, one, one),
        r#"{"prompts":[{"name":"files__p","arguments":[{"name":"q"}]},{"name":"mail__p","arguments":[{"name":"q"}]}]}"#
    );
}

#[test]
fn a_list_goes_on_where_any_server_has_more() {
    let (files, mail) = (id("files"), id("mail"));
    let servers = [&files, &mail];
    let next = |a: &str, b: &str| {
        let list = merged(Kind::Tools, Era::Legacy, a, b);
        let list: Value = serde_json::from_str(&list).unwrap();
        let cursor = list.get("nextCursor")?.as_str().unwrap().to_owned();
        let more = parse(Kind::Tools, &cursor, Reach(&servers)).unwrap();
        let more = more
            .iter()
            .map(|more| format!("{}={}", more.server, more.cursor));
        Some(more.collect::<Vec<_>>())
    };
    let end = r#"{"tools":[]}"#;
    let more = r#"{"tools":[],"nextCursor":"\u0032"}"#;
    let empty = r#"{"tools":[],"nextCursor":""}"#;
    assert_eq!(next(end, r#"{"tools":[],"nextCursor":null}"#), None);
    assert_eq!(next(end, more), Some(vec!["mail=2".to_owned()]));
    let both = vec!["files=".to_owned(), "mail=2".to_owned()];
    assert_eq!(next(empty, more), Some(both));
}

#[test]
fn a_modern_client_is_told_how_long_it_may_keep_the_list() {
    let (files, mail) = (id("files"), id("mail"));
    let read = |server, ttl: &str| {
        let result = format!(r#"{{"tools":[],"cacheScope":"public"{ttl}}}"#);
        part(Kind::Tools, server, &result)
    };
    let both = [
        read(&files, r#","ttlMs":5000"#),
        read(&mail, r#","ttlMs":70"#),
    ];
    let list = |parts: &[Part<'_>], whole| -> Value {
        serde_json::from_str(&merge(Kind::Tools, parts, Era::Modern, whole)).unwrap()
    };
    let expected = serde_json::json!({
        "resultType": "complete", "tools": [], "ttlMs": 70, "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo":
            {"name": "host-mcp-gateway", "version": env!("CARGO_PKG_VERSION")}},
    });
    assert_eq!(list(&both, true), expected);
    assert_eq!(list(&both, false)["ttlMs"], 0, "a server is missing");
    let [first, second] = both;
    assert_eq!(
        list(&[first.clone(), second.out_of_date()], true)["ttlMs"],
        0
    );
    assert_eq!(list(&[first, read(&mail, "")], true)["ttlMs"], 0);
    assert_eq!(list(&[], true)["ttlMs"], 0);
}

#[test]
fn a_result_that_is_no_list_is_no_part_of_one() {
    let files = id("files");
    for result in [
        "null",
        "[]",
        "{}",
        r#"{"tools":{}}"#,
        r#"{"tools":[1]}"#,
        r#"{"tools":[{}]}"#,
        r#"{"tools":[{"name":1}]}"#,
        r#"{"tools":[{"name":"a","name":"b"}]}"#,
        r#"{"tools":[],"tools":[]}"#,
        r#"{"tools":[],"nextCursor":1}"#,
    ] {
        let read = Part::read(Kind::Tools, &files, result.as_bytes(), whole(result));
        let text = read.unwrap_err().to_string();
        assert!(
            text.starts_with("its answer to tools/list has no "),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_but_the_names_of_a_list_changes(
        items in prop::collection::vec((any::<String>(), any_json()), 0..4),
    ) {
        let list = |prefix: &str| {
            let items: Vec<_> = items
                .iter()
                .map(|(name, rest)| {
                    let name = serde_json::json!(format!("{prefix}{name}"));
                    format!(r#"{{"rest":{rest}, "name":{name}}}"#)
                })
                .collect();
            format!(r#"{{"tools":[{}]}}"#, items.join(","))
        };
        let files = id("files");
        let part = part(Kind::Tools, &files, &list(""));
        prop_assert_eq!(merge(Kind::Tools, &[part], Era::Legacy, true), list("files__"));
    }

    #[test]
    fn no_result_makes_it_panic(result in any_json(), text in any::<String>()) {
        for kind in Kind::ALL {
            for text in [&text, &result.to_string()] {
                let _ = Part::read(kind, &id("a"), text.as_bytes(), whole(text));
            }
        }
    }
}
