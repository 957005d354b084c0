//! Ways in which servers write messages that are not the specification's, and that other clients take.

use bytes::{Buf, Bytes};

use super::envelope::{ScanError, Span, scan};
use super::members::{elements, entries};

/// The byte order mark (U+FEFF) in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A deviation whose meaning is beyond doubt: the message is taken, and the deviation is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// The id of ours comes back as a string of its digits.
    IdAsString,
    /// The id of ours comes back as a number of the same value, such as `3.0`.
    IdAsFraction,
    /// A member that should not be there is `null`, such as `"error": null` beside a result.
    NullMember,
    /// The text begins with a byte order mark.
    ByteOrderMark,
    /// Several messages stand in one array (MCP 2025-03-26, basic: JSON-RPC batching).
    Batch,
}

impl Deviation {
    /// All deviations.
    pub const ALL: [Self; 5] = [
        Self::IdAsString,
        Self::IdAsFraction,
        Self::NullMember,
        Self::ByteOrderMark,
        Self::Batch,
    ];

    /// The deviation as a metric attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdAsString => "id_as_string",
            Self::IdAsFraction => "id_as_fraction",
            Self::NullMember => "null_member",
            Self::ByteOrderMark => "byte_order_mark",
            Self::Batch => "batch",
        }
    }

    /// The deviation as an operator is told of it, after "the server".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::IdAsString => "returns ids as strings, expected the numbers that it was given",
            Self::IdAsFraction => "returns ids in another notation, such as 3.0 for 3",
            Self::NullMember => {
                "writes null for members that should be absent, such as \"error\": null beside a result"
            }
            Self::ByteOrderMark => "begins its output with a byte order mark, expected plain UTF-8",
            Self::Batch => "writes several messages as one JSON array, expected one message a line",
        }
    }

    /// The deviation of an id that is one of ours.
    pub(super) fn of_id(json: &[u8]) -> Option<Self> {
        match json.first() {
            Some(b'"') => Some(Self::IdAsString),
            _ if json.iter().all(u8::is_ascii_digit) => None,
            _ => Some(Self::IdAsFraction),
        }
    }

    /// The deviation that keeps a text from passing the scan, if one does.
    pub(super) fn of_text(text: &[u8], error: ScanError) -> Option<Self> {
        if text.starts_with(BYTE_ORDER_MARK) {
            return Some(Self::ByteOrderMark);
        }
        (error == ScanError::NotAnObject { array: true }).then_some(Self::Batch)
    }

    /// The messages that a line with this deviation stands for, of which none has it any more; a batch may
    /// hold what is no message.
    pub fn undo(self, mut line: Bytes) -> Vec<Bytes> {
        match self {
            Self::IdAsString | Self::IdAsFraction => vec![line],
            Self::NullMember => vec![without_nulls(&line)],
            Self::ByteOrderMark => {
                while line.starts_with(BYTE_ORDER_MARK) {
                    line.advance(BYTE_ORDER_MARK.len());
                }
                vec![line]
            }
            Self::Batch => {
                let messages = elements(&line, Span::whole(&line)).unwrap_or_default();
                // Copied, or each would keep the whole line in memory. An array in an array is no batch.
                let messages = messages.into_iter().map(|span| span.of(&line));
                messages
                    .filter(|message| message.starts_with(b"{"))
                    .map(Bytes::copy_from_slice)
                    .collect()
            }
        }
    }
}

/// The message without those members of JSON-RPC's that are null: but for a result where it is the answer.
fn without_nulls(text: &[u8]) -> Bytes {
    let envelope = scan(text).unwrap_or_default();
    let is_null = |span: Option<Span>| span.is_some_and(|span| span.of(text) == b"null");
    let is_answer = envelope.error.is_none() || is_null(envelope.error);
    let kept = entries(text, Span::whole(text)).unwrap_or_default();
    let kept = kept.into_iter().filter(|(name, value)| {
        let removable = match name.as_str() {
            "id" | "method" | "params" | "error" => true,
            "result" => !is_answer,
            _ => false,
        };
        !(removable && value.of(text) == b"null")
    });
    let mut out = Vec::with_capacity(text.len());
    out.push(b'{');
    for (name, value) in kept {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(serde_json::Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.of(text));
    }
    out.push(b'}');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChildMessage;
    use crate::protocol::message::Ending;

    /// The messages that a reader gets out of a line, and the deviations that it met.
    fn read(line: &str) -> (Vec<String>, Vec<Deviation>) {
        let (mut messages, mut met) = (Vec::new(), Vec::new());
        let mut lines = vec![Bytes::copy_from_slice(line.as_bytes())];
        while let Some(line) = lines.pop() {
            match ChildMessage::read(&line).0 {
                ChildMessage::Deviant(deviation) => {
                    met.push(deviation);
                    lines.extend(deviation.undo(line.clone()).into_iter().rev());
                    assert!(met.len() < 100, "no end");
                }
                ChildMessage::Response { deviation, .. } => {
                    met.extend(deviation);
                    messages.push(String::from_utf8_lossy(&line).into_owned());
                }
                _ => messages.push(String::from_utf8_lossy(&line).into_owned()),
            }
        }
        (messages, met)
    }

    /// RB02: each deviation alone.
    #[test]
    fn what_is_meant_beyond_doubt_is_read() {
        let result = r#"{"jsonrpc":"2.0","id":3,"result":{}}"#;
        let error = r#"{"jsonrpc":"2.0","id":3,"error":{"code":1,"message":"m"}}"#;
        let notice = r#"{"jsonrpc":"2.0","method":"n"}"#;
        for (line, message, deviation) in [
            (
                r#"{"jsonrpc":"2.0", "id":3,"result":{}, "error": null}"#.to_owned(),
                result,
                Deviation::NullMember,
            ),
            (
                r#"{"jsonrpc":"2.0","id":3,"result":null,"error":{"code":1,"message":"m"}}"#
                    .to_owned(),
                error,
                Deviation::NullMember,
            ),
            (
                r#"{"jsonrpc":"2.0","method":null,"params":null,"id":3,"result":{}}"#.to_owned(),
                result,
                Deviation::NullMember,
            ),
            (
                r#"{"jsonrpc":"2.0","id":null,"method":"n","params":null}"#.to_owned(),
                notice,
                Deviation::NullMember,
            ),
            (
                format!("\u{feff}\u{feff}{result}"),
                result,
                Deviation::ByteOrderMark,
            ),
            (format!(" [ {error} ]"), error, Deviation::Batch),
        ] {
            let expected = (vec![message.to_owned()], vec![deviation]);
            assert_eq!(read(&line), expected, "{line}");
        }
    }

    #[test]
    fn deviations_may_come_together() {
        let line = "\u{feff}[{\"id\":3.0,\"result\":{},\"error\":null},7,[[]],{\"method\":\"n\"}]";
        let messages = [r#"{"id":3.0,"result":{}}"#, r#"{"method":"n"}"#];
        let met = [
            Deviation::ByteOrderMark,
            Deviation::Batch,
            Deviation::NullMember,
            Deviation::IdAsFraction,
        ];
        let expected = (messages.map(str::to_owned).to_vec(), met.to_vec());
        assert_eq!(read(line), expected);
    }

    /// RB02: an id is ours by its value.
    #[test]
    fn an_id_of_the_same_value_is_the_same_id() {
        for (id, value) in [
            ("3", Some(3)),
            ("3.0", Some(3)),
            ("3.000", Some(3)),
            ("3E0", Some(3)),
            ("3e+0", Some(3)),
            ("0.3e1", Some(3)),
            ("300e-2", Some(3)),
            ("30.0E-1", Some(3)),
            ("\"3\"", Some(3)),
            ("\"3.0\"", Some(3)),
            ("18446744073709551615.0", Some(u64::MAX)),
            ("0e999999999", Some(0)),
            ("1e20", None),
            ("1e99999999999", None),
            ("1e-999999999", None),
            ("3.5", None),
            ("-3", None),
            ("-3.0", None),
            ("\"\"", None),
            ("\"+3\"", None),
            ("\"3.+5\"", None),
            ("\".3e1\"", None),
            ("true", None),
            ("[3]", None),
        ] {
            let text = format!(r#"{{"id":{id},"result":{{}}}}"#);
            let read = match ChildMessage::read(text.as_bytes()).0 {
                ChildMessage::Response { id, ending, .. } => {
                    assert_eq!(ending, Ending::Result);
                    Some(id)
                }
                other => {
                    assert_eq!(other, ChildMessage::Garbage, "{id}");
                    None
                }
            };
            assert_eq!(read, value, "{id}");
        }
    }
}
