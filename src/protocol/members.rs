//! Where chosen members of one object stand, how they are taken out of it, and how others are put in.
//!
//! For the few messages that are changed more than in their ids: each function walks one object of a
//! text that was scanned already, and what it does not name stays as it was written, byte for byte.

use super::envelope::{Key, Span, object};
use super::json::Cursor;

/// An object and the values of `N` members that were looked for, in the order of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<const N: usize> {
    /// The whole value, from its brace on, whatever white space was around it.
    pub span: Span,
    /// It has no members.
    pub empty: bool,
    /// The values that were found; of a member that stands twice, the last.
    pub values: [Option<Span>; N],
    /// A member that was looked for stands there twice.
    pub ambiguous: bool,
}

impl<const N: usize> Object<N> {
    /// Looks for members in the value at `span`; `None` where it is no object.
    pub fn read(text: &[u8], span: Span, names: [&str; N]) -> Option<Self> {
        let mut cursor = Cursor::within(text, span);
        if cursor.peek() != Some(b'{') {
            return None;
        }
        let start = cursor.at();
        let mut values = [None; N];
        let mut ambiguous = false;
        let members = object(&mut cursor, |cursor, key| {
            let value = cursor.value(1)?;
            let key = Key(text, key);
            let name = key.name();
            for (wanted, place) in names.iter().zip(&mut values) {
                if name.as_ref() == wanted.as_bytes() {
                    ambiguous |= place.replace(value).is_some();
                }
            }
            Ok(())
        })
        .ok()?;
        let end = cursor.at();
        Some(Self {
            span: Span { start, end },
            empty: members == 0,
            values,
            ambiguous,
        })
    }

    /// Where members are put in front of the others, and these members (`"key":value`, comma between
    /// them) with the comma that has to follow.
    pub fn insertion(&self, mut members: String) -> super::splice::Patch {
        if !self.empty {
            members.push(',');
        }
        super::splice::Patch {
            span: Span::empty_at(self.span.start + 1),
            with: members,
        }
    }
}

/// Every member of the object at `span` in the order in which they stand: name and value. `None` where
/// it is no object, or where a name is no text (a lone surrogate).
pub fn entries(text: &[u8], span: Span) -> Option<Vec<(String, Span)>> {
    let mut cursor = Cursor::within(text, span);
    if cursor.peek() != Some(b'{') {
        return None;
    }
    let mut keys = Vec::new();
    object(&mut cursor, |cursor, key| {
        keys.push((key.span, cursor.value(1)?));
        Ok(())
    })
    .ok()?;
    let named = keys.into_iter().map(|(key, value)| {
        let name = super::message::string(key.of(text))?;
        Some((name.into_owned(), value))
    });
    named.collect()
}

/// The elements of the array at `span`; `None` where it is no array.
pub fn elements(text: &[u8], span: Span) -> Option<Vec<Span>> {
    let mut cursor = Cursor::within(text, span);
    cursor.expect(b'[').ok()?;
    let mut elements = Vec::new();
    let mut another = cursor.peek() != Some(b']');
    while another {
        elements.push(cursor.value(1).ok()?);
        another = cursor.more(b']').ok()?;
    }
    Some(elements)
}

/// What is taken out of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The parts to take out, commas included.
    pub spans: Vec<Span>,
    /// Nothing is left in the object.
    pub all: bool,
}

/// Takes members out of one object, given by their values, in any order.
///
/// Their names must hold neither `"` nor `\`, so that the first quote before the end of a key is its
/// beginning.
pub fn cut(text: &[u8], values: impl IntoIterator<Item = Span>) -> Cut {
    let mut members: Vec<Span> = values
        .into_iter()
        .map(|value| member(text, value))
        .collect();
    members.sort_by_key(|member| member.start);
    let mut runs: Vec<Span> = Vec::with_capacity(members.len());
    for member in members {
        match runs.last_mut() {
            // The members stand side by side: the comma between them goes too.
            Some(run)
                if comma_after(text, *run)
                    .is_some_and(|comma| after_space(text, comma) == member.start) =>
            {
                run.end = member.end;
            }
            _ => runs.push(member),
        }
    }
    let mut all = false;
    let spans = runs.into_iter().map(|run| {
        let before = text.get(..run.start).unwrap_or_default();
        let before = before.trim_ascii_end();
        if let Some(end) = comma_after(text, run) {
            Span { end, ..run }
        } else if before.ends_with(b",") {
            Span {
                start: before.len() - 1,
                ..run
            }
        } else {
            all = true;
            run
        }
    });
    let spans = spans.collect();
    Cut { spans, all }
}

/// A member from its key to the end of its value, given by the value; names as [`cut`] wants them.
pub fn member(text: &[u8], value: Span) -> Span {
    let before = text.get(..value.start).unwrap_or_default();
    // `"key" :`, read from its end.
    let key = before
        .trim_ascii_end()
        .strip_suffix(b":")
        .unwrap_or_default()
        .trim_ascii_end()
        .strip_suffix(b"\"")
        .unwrap_or_default();
    Span {
        start: memchr::memrchr(b'"', key).unwrap_or(value.start),
        end: value.end,
    }
}

/// The byte after the comma that follows a member, if one does.
fn comma_after(text: &[u8], member: Span) -> Option<usize> {
    let comma = after_space(text, member.end);
    (text.get(comma) == Some(&b',')).then_some(comma + 1)
}

/// The first byte from `at` on that is not white space.
fn after_space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.len() - rest.trim_ascii_start().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::protocol::splice::{Edit, splice};

    fn whole(text: &str) -> Span {
        Span {
            start: 0,
            end: text.len(),
        }
    }

    fn without(text: &str, names: [&str; 2]) -> (String, bool) {
        let found = Object::read(text.as_bytes(), whole(text), names).expect("an object");
        let cut = cut(text.as_bytes(), found.values.into_iter().flatten());
        let mut edits: Vec<_> = cut
            .spans
            .iter()
            .map(|&span| Edit { span, with: b"" })
            .collect();
        let left = splice(text.as_bytes(), &mut edits);
        (String::from_utf8(left).expect("UTF-8"), cut.all)
    }

    #[test]
    fn members_go_with_their_commas_and_the_rest_stays() {
        for (text, left, all) in [
            (r#"{"x":1}"#, "{}", true),
            (r#"{ "x" : 1 , "y":[2] }"#, "{  }", true),
            (r#"{"a":0,"x":1}"#, r#"{"a":0}"#, false),
            (r#"{"x":1,"a":0}"#, r#"{"a":0}"#, false),
            (r#"{"x":1 , "a":0,"y":{}}"#, r#"{ "a":0}"#, false),
            (r#"{"a":0 ,"y":1, "x":2}"#, r#"{"a":0 }"#, false),
            (r#"{"a":0,"\u0078":"\"x\":,"}"#, r#"{"a":0}"#, false),
            (r#"{"a":0,"b":1}"#, r#"{"a":0,"b":1}"#, false),
        ] {
            assert_eq!(without(text, ["x", "y"]), (left.to_owned(), all), "{text}");
        }
    }

    #[test]
    fn a_member_is_put_behind_the_brace_whatever_stands_before_it() {
        let text = " \n{\"a\":1} ";
        let object = Object::read(text.as_bytes(), whole(text), []).expect("an object");
        assert_eq!(object.span.of(text.as_bytes()), br#"{"a":1}"#);
        let put = object.insertion(r#""b":2"#.to_owned());
        let with = splice(text.as_bytes(), &mut [put.edit()]);
        assert_eq!(with, b" \n{\"b\":2,\"a\":1} ");
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["[]", "null", "\"{}\"", "7"] {
            assert_eq!(Object::read(text.as_bytes(), whole(text), ["x"]), None);
            assert_eq!(entries(text.as_bytes(), whole(text)), None);
        }
    }

    #[test]
    fn elements_are_told_in_their_order() {
        let text = r#" [ 1 , [2] ,{"a":[]}] "#;
        let found = elements(text.as_bytes(), whole(text)).expect("an array");
        let found: Vec<_> = found.iter().map(|span| span.of(text.as_bytes())).collect();
        assert_eq!(found, [&b"1"[..], b"[2]", br#"{"a":[]}"#]);
        assert_eq!(elements(b"[ ]", whole("[ ]")), Some(Vec::new()));
        for text in ["{}", "\"[]\"", "null"] {
            assert_eq!(elements(text.as_bytes(), whole(text)), None, "{text}");
        }
    }

    #[test]
    fn a_member_that_stands_twice_is_seen() {
        let text = r#"{"x":1,"\u0078":2}"#;
        let found = Object::read(text.as_bytes(), whole(text), ["x"]).expect("an object");
        assert!(found.ambiguous);
        assert_eq!(
            found.values[0].map(|span| span.of(text.as_bytes())),
            Some(&b"2"[..])
        );
    }

    #[test]
    fn entries_are_told_in_their_order_by_their_names() {
        let text = r#" {"b":{"c":1}, "\u0061" :[ ]} "#;
        let span = Span {
            start: 1,
            end: text.len() - 1,
        };
        let all = entries(text.as_bytes(), span).expect("an object");
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.of(text.as_bytes())))
            .collect();
        assert_eq!(all, [("b", &br#"{"c":1}"#[..]), ("a", b"[ ]")]);
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_serde_json_leaves(
            members in prop::collection::vec(("[a-cxy]", "[ \n]{0,2}", any::<Option<i8>>()), 0..8),
        ) {
            let mut seen = std::collections::HashSet::new();
            let members: Vec<_> = members
                .into_iter()
                .filter(|(name, ..)| seen.insert(name.clone()))
                .map(|(name, space, value)| {
                    let value = serde_json::json!(value);
                    format!("{space}\"{name}\"{space}:{space}{value}{space}")
                })
                .collect();
            let text = format!("{{{}}}", members.join(","));
            let mut expected: Value = serde_json::from_str(&text).expect("valid");
            let object = expected.as_object_mut().expect("an object");
            object.retain(|name, _| name != "x" && name != "y");
            let emptied = object.is_empty() && !seen.is_empty();
            let (left, all) = without(&text, ["x", "y"]);
            prop_assert_eq!(serde_json::from_str::<Value>(&left).expect("valid"), expected);
            prop_assert_eq!(all, emptied);
        }
    }
}
