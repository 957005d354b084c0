//! A request as a child gets it, byte by byte.

use bytes::Bytes;

use super::*;
use crate::protocol::request::{NoPlace, Rewriting, framed};
use crate::protocol::splice::{Edit, Patch, patched, replaced};
use crate::protocol::trace_context::TraceContext;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The frame without its newline, by the id 42 and with `P` where the context stands.
fn frame(
    body: &str,
    context: Option<&TraceContext>,
    claims: Option<&[&str]>,
) -> Result<String, NoPlace> {
    let envelope = scan(body.as_bytes()).expect(body);
    let rewriting = Rewriting {
        id: "42",
        context,
        claims: claims.map(|claims| claims.iter().map(|&claim| claim.to_owned()).collect()),
    };
    let frame = framed(body.as_bytes(), &envelope, rewriting)?;
    let line = String::from_utf8(frame)
        .expect("UTF-8")
        .replace(PARENT, "P");
    Ok(line.strip_suffix('\n').expect("a newline").to_owned())
}

fn context(state: Option<&str>) -> TraceContext {
    TraceContext::parse(PARENT, state).expect("valid")
}

#[test]
fn without_context_and_claims_only_id_and_progress_token_change() {
    for (body, expected) in [
        (r#"{"id":"a","method":"m"}"#, r#"{"id":42,"method":"m"}"#),
        (
            r#"{"params":{"_meta":{"progressToken":"t","traceparent":"x"},"id":1},"id":1}"#,
            r#"{"params":{"_meta":{"progressToken":42,"traceparent":"x"},"id":1},"id":42}"#,
        ),
        (r#"{"params":[1],"id":1}"#, r#"{"params":[1],"id":42}"#),
        (r#"{"method":"notice"}"#, r#"{"method":"notice"}"#),
    ] {
        assert_eq!(frame(body, None, None).as_deref(), Ok(expected));
    }
}

#[test]
fn a_context_takes_the_place_of_what_stands_there_or_is_put_in() {
    let (bare, with_state) = (context(None), context(Some("a=1")));
    for (body, context, expected) in [
        // No `params` only to tell of a context.
        (r#"{"id":1}"#, &with_state, r#"{"id":42}"#),
        (r#"{"id":1,"params":[]}"#, &bare, r#"{"id":42,"params":[]}"#),
        (
            r#"{"id":1,"params":{}}"#,
            &bare,
            r#"{"id":42,"params":{"_meta":{"traceparent":"P"}}}"#,
        ),
        (
            r#"{"id":1,"params":{"_meta":{"k":1}}}"#,
            &with_state,
            r#"{"id":42,"params":{"_meta":{"traceparent":"P","tracestate":"a=1","k":1}}}"#,
        ),
        (
            r#"{"id":1,"params":{"_meta":{"traceparent":"x","tracestate":"y"}}}"#,
            &with_state,
            r#"{"id":42,"params":{"_meta":{"traceparent":"P","tracestate":"a=1"}}}"#,
        ),
        // A state of the caller does not stay beside a context that it does not belong to.
        (
            r#"{"id":1,"params":{"_meta":{"tracestate":"y"}}}"#,
            &bare,
            r#"{"id":42,"params":{"_meta":{"traceparent":"P","tracestate":""}}}"#,
        ),
    ] {
        assert_eq!(frame(body, Some(context), None).as_deref(), Ok(expected));
    }
}

#[test]
fn claims_are_put_in_or_there_is_no_frame() {
    let claims: &[&str] = &[r#""a":1"#, r#""b":2"#];
    for (body, expected) in [
        (
            r#"{"id":1}"#,
            Ok(r#"{"id":42,"params":{"_meta":{"a":1,"b":2}}}"#),
        ),
        (
            r#"{"id":1,"params":{"x":0}}"#,
            Ok(r#"{"id":42,"params":{"_meta":{"a":1,"b":2},"x":0}}"#),
        ),
        (
            r#"{"id":1,"params":{"_meta":{"k":1}}}"#,
            Ok(r#"{"id":42,"params":{"_meta":{"a":1,"b":2,"k":1}}}"#),
        ),
        (r#"{"id":1,"params":[]}"#, Err(NoPlace)),
        (r#"{"id":1,"params":{"_meta":7}}"#, Err(NoPlace)),
    ] {
        let frame = frame(body, None, Some(claims));
        assert_eq!(frame.as_deref().map_err(|no| *no), expected, "{body}");
    }
    // With claims there is a `params` anyway, and the context goes along.
    assert_eq!(
        frame(r#"{"id":1}"#, Some(&context(None)), Some(claims)).as_deref(),
        Ok(r#"{"id":42,"params":{"_meta":{"traceparent":"P","a":1,"b":2}}}"#)
    );
}

#[test]
fn patches_are_made_in_any_order_and_the_rest_stays() {
    let cut = Patch::cut(Span { start: 4, end: 6 });
    let put = Patch {
        span: Span::empty_at(1),
        with: "XY".to_owned(),
    };
    assert_eq!(patched(b"abcdef", &[cut, put]), b"aXYbcd");
    assert_eq!(patched(b"abc", &[]), b"abc");
}

#[test]
fn a_long_answer_is_not_copied_for_the_sake_of_its_id() {
    let filler = "x".repeat(100_000);
    for (text, id, with) in [
        (format!(r#"{{"id":1234,"result":"{filler}"}}"#), "1234", "1"),
        (format!(r#"{{"result":"{filler}","id":1234}}"#), "1234", "1"),
        (format!(r#"{{"id":1,"result":"{filler}"}}"#), "1", "\"abc\""),
    ] {
        let mut text = text;
        text.reserve_exact(16);
        let start = text.find(id).unwrap();
        let expected = text.replacen(id, with, 1);
        let span = Span {
            start,
            end: start + id.len(),
        };
        let text = Bytes::from(text.into_bytes());
        let memory = text.as_ptr() as usize..=text.as_ptr() as usize + 16;
        let edit = Edit {
            span,
            with: with.as_bytes(),
        };
        let changed = replaced(text, edit);
        assert!(memory.contains(&(changed.as_ptr() as usize)));
        assert_eq!(changed, expected);
    }
}
