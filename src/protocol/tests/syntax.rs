//! What is JSON and what is not, production by production (RFC 8259), and where a value ends.

use super::*;

/// Whether a text passes as a value of a message.
fn passes(value: &str) -> bool {
    let text = format!(r#"{{"params":{{"name":{value}}}}}"#);
    let scanned = scan(text.as_bytes());
    let reference = serde_json::from_str::<&serde_json::value::RawValue>(&text);
    assert_eq!(scanned.is_ok(), reference.is_ok(), "{text}");
    let found = scanned.map(|envelope| envelope.params.and_then(|params| params.name));
    assert!(
        found.is_err() || of(found.unwrap(), &text) == Some(value.trim_ascii()),
        "{text}"
    );
    found.is_ok()
}

#[test]
fn every_form_of_a_value_is_read_to_its_end() {
    let words = "true false null";
    let numbers = "0 -0 7 -10 105 0.5 -1.25 1e3 1E3 1e+30 1e-3 10.50E-07";
    for value in words.split(' ').chain(numbers.split(' ')) {
        assert!(passes(value), "{value}");
    }
    for value in [" 1 ", "\t1", "\n1", "\r1"] {
        assert!(passes(value), "{value}");
    }
    for value in [
        r#""""#,
        r#""\"""#,
        r#""\\""#,
        r#""\/\b\f\n\r\t""#,
        r#""\u00e9\uABCD\u0123""#,
        r#""a\u0041b\\c""#,
        "\" \u{7f}\u{e9}\"",
    ] {
        assert!(passes(value), "{value}");
    }
    for value in [
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        r#"{"a":1}"#,
        r#"{"a":1,"b":2}"#,
        r#"{ "a" : 1 , "b" : 2 }"#,
        r#"[[],{},[1],{"a":[]}]"#,
        r#"{"a":{"b":[{"c":1},2]},"d":[[[]]]}"#,
        r#"[{"a":[1,{"b":2}]},[3,{"c":[4]}]]"#,
    ] {
        assert!(passes(value), "{value}");
    }
}

#[test]
fn what_is_nearly_a_value_is_none() {
    let words = "tru truE True fals nul nulll undefined NaN Infinity";
    let numbers = "- +1 01 -01 00 .5 1. 1.e3 -.5 1e 1e+ 1E- 1e1.5 1.5.5 0x10 1_000 --1";
    for value in words.split(' ').chain(numbers.split(' ')) {
        assert!(!passes(value), "{value}");
    }
    for value in ["", "1 2"] {
        assert!(!passes(value), "{value}");
    }
    for value in [
        r#"""#,
        r#""a"#,
        r#""\""#,
        r#""\a""#,
        r#""\U0041""#,
        r#""\u""#,
        r#""\u12""#,
        r#""\u123""#,
        r#""\u12g4""#,
        r#""\ug234""#,
        r#""\u123g""#,
        r#""\u+123""#,
        "\"a\tb\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "'a'",
    ] {
        assert!(!passes(value), "{value}");
    }
    for value in [
        "[",
        "]",
        "[1",
        "[1}",
        "[}",
        "{]",
        "[,]",
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        "{",
        "}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1"#,
        r#"{"a":1]"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":1,,"b":2}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a" 1}"#,
        r#"{"a",1}"#,
        "{a:1}",
        "{1:1}",
        "{null:1}",
        r#"[{"a":1]}"#,
        r#"{"a":[1}]"#,
        r#"[[1],{"a":1],2]"#,
        "[1]]",
        "{}}",
        "1}",
        "// comment\n1",
        "\u{b}1",
        "\u{a0}1",
    ] {
        assert!(!passes(value), "{value}");
    }
}

#[test]
fn a_mistake_is_told_by_its_place() {
    for (text, at) in [
        ("", 0),
        ("{", 1),
        (r#"{"id":1}x"#, 8),
        (r#"{"id":1} {}"#, 9),
        (r#"{"id":x}"#, 6),
        (r#"{"id": 1 2}"#, 9),
        (r#"{"id":[1,x]}"#, 9),
        (r#"{"id":"\x"}"#, 7),
        ("[1] x", 4),
    ] {
        let syntax = Err(ScanError::Syntax { at });
        assert_eq!(scan(text.as_bytes()), syntax, "{text}");
    }
    let not_utf8 = Err(ScanError::NotUtf8 { at: 7 });
    assert_eq!(scan(b"{\"id\":\"\xff\"}"), not_utf8);
}

/// H060: objects and arrays count alike, wherever in a message they stand.
#[test]
fn levels_are_counted_wherever_they_stand() {
    let arrays = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    for (before, after, around) in [
        (r#"{"x":"#, "}", 1),
        (r#"{"id":"#, "}", 1),
        (r#"{"result":{"isError":"#, "}}", 2),
        (r#"{"params":{"name":"#, "}}", 2),
        (r#"{"params":{"_meta":{"k":"#, "}}}", 3),
        (r#"{"params":{"_meta":{"progressToken":"#, "}}}", 3),
        ("[", "]", 1),
    ] {
        for nested in [arrays, objects as fn(usize) -> String] {
            let text = |levels: usize| [before, &nested(levels - around), after].concat();
            assert_ne!(
                scan(text(128).as_bytes()),
                Err(ScanError::TooDeep),
                "{before}"
            );
            assert_eq!(
                scan(text(129).as_bytes()),
                Err(ScanError::TooDeep),
                "{before}"
            );
        }
    }
    // What was closed does not count.
    let wide = format!(r#"{{"x":[{}]}}"#, [arrays(126), objects(126)].join(","));
    assert!(scan(wide.as_bytes()).is_ok());
}
