//! One notification of the child, as each kind of hearer gets it.

use bytes::Bytes;

use crate::protocol::era::meta_key;
use crate::protocol::members;
use crate::protocol::splice::{Edit, MetaSlot, Patch, patched, splice};
use crate::protocol::{Envelope, Span, scan};

/// A notification that was scanned.
#[derive(Debug)]
pub(super) struct Told {
    line: Bytes,
    envelope: Envelope,
}

impl Told {
    pub(super) fn new(line: &Bytes, envelope: &Envelope) -> Self {
        Self {
            line: line.clone(),
            envelope: *envelope,
        }
    }

    /// A notification of the gateway's own making.
    pub(super) fn own(text: String) -> Self {
        let envelope = scan(text.as_bytes()).unwrap_or_default();
        Self {
            line: text.into(),
            envelope,
        }
    }

    /// The subscription that the child says it belongs to.
    pub(super) fn subscription(&self) -> Option<Span> {
        self.envelope.params?.meta?.subscription_id
    }

    /// For a legacy client: as it came, without the subscription that a modern child marks it with.
    pub(super) fn unmarked(&self) -> Bytes {
        let Some(id) = self.subscription() else {
            return self.line.clone();
        };
        let cut = members::cut(&self.line, [id]);
        let patches: Vec<_> = cut.spans.into_iter().map(Patch::cut).collect();
        patched(&self.line, &patches).into()
    }

    /// For a modern client: marked with the id of its own subscription, a JSON value. `None` where the
    /// message has no place for it.
    pub(super) fn marked(&self, id: &[u8]) -> Option<Bytes> {
        if let Some(span) = self.subscription() {
            return Some(splice(&self.line, &mut [Edit { span, with: id }]).into());
        }
        let slot = MetaSlot::of(&self.envelope, &self.line)?;
        let member = format!(
            "\"{}\":{}",
            meta_key::SUBSCRIPTION_ID,
            String::from_utf8_lossy(id)
        );
        let text = slot.text(&member);
        let edit = Edit {
            span: slot.at(),
            with: text.as_bytes(),
        };
        Some(splice(&self.line, &mut [edit]).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "\"io.modelcontextprotocol/subscriptionId\"";

    fn both(line: &str) -> (String, Option<String>) {
        let told = Told::own(line.replace("KEY", KEY));
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        (text(told.unmarked()), told.marked(b"\"m\"").map(text))
    }

    #[test]
    fn only_the_mark_differs() {
        let cases = [
            // the child's, a legacy client's, a modern client's
            (
                r#"{"method":"x"}"#,
                r#"{"method":"x"}"#,
                r#"{"method":"x","params":{"_meta":{KEY:"m"}}}"#,
            ),
            (
                r#"{"params":{"_meta":{KEY:17}}}"#,
                r#"{"params":{"_meta":{}}}"#,
                r#"{"params":{"_meta":{KEY:"m"}}}"#,
            ),
            (
                r#"{"params":{"uri":"a","_meta":{"x":1 , KEY : 17 }}}"#,
                r#"{"params":{"uri":"a","_meta":{"x":1  }}}"#,
                r#"{"params":{"uri":"a","_meta":{"x":1 , KEY : "m" }}}"#,
            ),
            (
                r#"{"params":{"_meta":{ KEY:17, "x":1}}}"#,
                r#"{"params":{"_meta":{  "x":1}}}"#,
                r#"{"params":{"_meta":{ KEY:"m", "x":1}}}"#,
            ),
        ];
        for (line, legacy, modern) in cases {
            let modern = modern.replace("KEY", KEY);
            assert_eq!(both(line), (legacy.to_owned(), Some(modern)), "{line}");
        }
    }

    #[test]
    fn a_message_without_a_place_for_a_mark_is_no_modern_clients() {
        for line in [r#"{"params":[1]}"#, r#"{"params":{"_meta":0}}"#] {
            assert_eq!(both(line), (line.to_owned(), None));
        }
    }
}
