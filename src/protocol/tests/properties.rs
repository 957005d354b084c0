//! What holds for every text: a scan and `serde_json` agree, and lines do not depend on how they arrive.

use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use crate::protocol::splice::{Edit, replaced, splice};
use crate::protocol::{LineBuffer, ScanError, Span, scan};

/// JSON with everything that is odd and legal in it.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("-0.5e+3".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).expect("string")),
        Just(r#""\u00e9\/\b\\\"""#.to_owned()),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop_oneof![
            Just("id".to_owned()),
            Just("params".to_owned()),
            Just("_meta".to_owned()),
            "[a-c]"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|v| format!("[ {} ]", v.join(" ,\n"))),
            prop::collection::vec((key, inner), 0..5).prop_map(|v| {
                let members: Vec<_> = v
                    .iter()
                    .map(|(key, value)| format!("\"{key}\" : {value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Legal JSON with up to two bytes of it changed.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![
            any::<u8>(),
            prop::sample::select(&br#"{}[]",:\0u1e.- "#[..])
        ],
    );
    (json(), prop::collection::vec(change, 0..3)).prop_map(|(text, changes)| {
        let mut text = text.into_bytes();
        for (index, byte) in changes {
            let at = index.index(text.len());
            text[at] = byte;
        }
        text
    })
}

proptest! {
    /// Long texts and short ones, near either end and in the middle, with room and without, held by others or not.
    #[test]
    fn a_text_that_is_changed_where_it_lies_is_as_its_copy_would_be(
        len in prop_oneof![0_usize..40, 16_380..16_480_usize],
        place in any::<prop::sample::Index>(),
        from_the_end in any::<bool>(),
        old in 0_usize..24,
        with in "[a-z0-9]{0,24}",
        room in 0_usize..24,
        cut in 0_usize..8,
        shared in any::<bool>(),
    ) {
        let mut text: Vec<u8> = (b'A'..=b'Z').cycle().take(len + cut).collect();
        text.reserve_exact(room);
        let text = Bytes::from(text).slice(cut..);
        let start = place.index(len.min(60) + 1);
        let start = if from_the_end { len - start } else { start };
        let span = Span { start, end: (start + old).min(len) };
        let edit = Edit { span, with: with.as_bytes() };
        let expected = splice(&text, &mut [edit]);
        let held = shared.then(|| (text.clone(), text.to_vec()));
        prop_assert_eq!(replaced(text, edit), expected);
        if let Some((held, as_it_was)) = held {
            prop_assert_eq!(held, as_it_was);
        }
    }

    #[test]
    fn a_scan_agrees_with_serde_json(text in nearly_json()) {
        let reference = serde_json::from_slice::<&serde_json::value::RawValue>(&text).is_ok()
            && std::str::from_utf8(&text).is_ok();
        let ours = match scan(&text) {
            Ok(_) | Err(ScanError::Duplicate(_) | ScanError::NotAnObject { .. }) => true,
            Err(ScanError::Syntax { .. } | ScanError::NotUtf8 { .. } | ScanError::TooDeep) => false,
        };
        // A duplicate is seen before the rest of the text was read.
        prop_assert!(ours == reference || matches!(scan(&text), Err(ScanError::Duplicate(_))));
    }

    #[test]
    fn lines_do_not_depend_on_how_they_were_read(
        text in prop::collection::vec(prop::sample::select(&b"ab\r\n \"{}:,id7"[..]), 0..300),
        cuts in prop::collection::vec(1usize..40, 1..40),
    ) {
        let lines = |pieces: Vec<&[u8]>| {
            let mut buffer = LineBuffer::new(20);
            let mut lines = Vec::new();
            for piece in pieces {
                buffer.room().put_slice(piece);
                while let Some(line) = buffer.next_line() {
                    lines.push(line);
                }
            }
            lines
        };
        let mut pieces = Vec::new();
        let mut rest = &text[..];
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(lines(vec![&text]), lines(pieces));
    }
}
