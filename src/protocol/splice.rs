//! New bytes in place of old ones, everything else as it was.

use bytes::{Buf, Bytes, BytesMut};

use super::envelope::{Envelope, Params, Span};
use super::spare;

/// From this length on, in bytes, a text is rather changed where it lies than copied.
const LONG: usize = 16 * 1024;

/// One replacement; an empty span inserts.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// What is replaced.
    pub span: Span,
    /// What stands there afterwards.
    pub with: &'a [u8],
}

/// An edit that owns what it puts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// What is replaced.
    pub span: Span,
    /// What stands there afterwards.
    pub with: String,
}

impl Patch {
    /// A patch that takes something away.
    pub fn cut(span: Span) -> Self {
        Self {
            span,
            with: String::new(),
        }
    }

    /// The same as an edit.
    pub fn edit(&self) -> Edit<'_> {
        Edit {
            span: self.span,
            with: self.with.as_bytes(),
        }
    }
}

/// The text with the edits made, in any order; none may overlap another. What is inserted where
/// something else is replaced stands before it.
pub fn splice(text: &[u8], edits: &mut [Edit<'_>]) -> Vec<u8> {
    splice_with_room(text, edits, 0)
}

/// [`splice`] and [`into_frame`] in one go.
pub fn spliced_frame(text: &[u8], edits: &mut [Edit<'_>]) -> Vec<u8> {
    into_frame(splice_with_room(text, edits, "\n".len()))
}

/// The spliced text in memory that it fills but for the room: [`Bytes`] of a vector with more than it holds need a second
/// piece of memory, to remember how much it was.
fn splice_with_room(text: &[u8], edits: &mut [Edit<'_>], room: usize) -> Vec<u8> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let put_in: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let taken_out: usize = edits.iter().map(|edit| edit.span.of(text).len()).sum();
    let mut out = Vec::with_capacity((text.len() + put_in).saturating_sub(taken_out) + room);
    let mut from = 0;
    for edit in edits {
        out.extend_from_slice(text.get(from..edit.span.start).unwrap_or_default());
        out.extend_from_slice(edit.with);
        from = edit.span.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

/// The text with one edit made; as [`splice`], but a long text that nobody else holds is changed where it lies, if it
/// has room for that. It goes on to hold all the memory that it held.
pub fn replaced(text: Bytes, edit: Edit<'_>) -> Bytes {
    if text.len() < LONG {
        return splice(&text, &mut [edit]).into();
    }
    match text.try_into_mut() {
        Ok(text) => replaced_in_place(text, edit),
        Err(text) => splice(&text, &mut [edit]).into(),
    }
}

fn replaced_in_place(mut text: BytesMut, edit: Edit<'_>) -> Bytes {
    let Edit { span, with } = edit;
    let (before, behind) = (span.start, text.len().checked_sub(span.end));
    let (Some(behind), Some(old)) = (behind, span.end.checked_sub(before)) else {
        // No span of this text.
        return splice(&text, &mut [edit]).into();
    };
    if let Some(more) = with.len().checked_sub(old) {
        if text.capacity() - text.len() < more {
            return splice(&text, &mut [edit]).into();
        }
        text.resize(text.len() + more, 0);
        text.copy_within(span.end..span.end + behind, span.end + more);
    } else {
        let less = old - with.len();
        // The shorter side moves: an id stands near one end of its message.
        if before < behind {
            text.copy_within(..before, less);
            text.advance(less);
        } else {
            text.copy_within(span.end.., span.end - less);
            text.truncate(before + with.len() + behind);
        }
    }
    // Where the front has moved, its first byte has moved as far.
    if let Some(place) = text.get_mut(before..before + with.len()) {
        place.copy_from_slice(with);
    }
    spare::used_again(text)
}

/// The text with the patches made; as [`splice`].
pub fn patched(text: &[u8], patches: &[Patch]) -> Vec<u8> {
    let mut edits: Vec<_> = patches.iter().map(Patch::edit).collect();
    splice(text, &mut edits)
}

/// Makes a message of validated JSON one line with its newline.
///
/// JSON allows a raw line break between tokens only, where it means nothing: a space takes its place,
/// so that no body can smuggle a second line to the child.
pub fn into_frame(mut message: Vec<u8>) -> Vec<u8> {
    if memchr::memchr2(b'\n', b'\r', &message).is_some() {
        for byte in &mut message {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    message.push(b'\n');
    message
}

/// Where members are inserted into `params._meta`, and what has to stand around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaSlot {
    at: Span,
    before: &'static str,
    after: &'static str,
}

impl MetaSlot {
    /// The slot of a scanned request; `None` where `params` or its `_meta` is no object.
    pub fn of(envelope: &Envelope, text: &[u8]) -> Option<Self> {
        let slot = |at, before, after| {
            Some(Self {
                at: Span::empty_at(at),
                before,
                after,
            })
        };
        let is_object = |span: Span| span.of(text).first() == Some(&b'{');
        match envelope.params {
            None => slot(envelope.close, r#","params":{"_meta":{"#, "}}"),
            Some(Params {
                meta: Some(meta), ..
            }) if is_object(meta.span) => {
                slot(meta.span.start + 1, "", if meta.empty { "" } else { "," })
            }
            Some(Params {
                span,
                meta: None,
                empty,
                ..
            }) if is_object(span) => slot(
                span.start + 1,
                r#""_meta":{"#,
                if empty { "}" } else { "}," },
            ),
            Some(_) => None,
        }
    }

    /// The text to insert for these members (`"key":value`, comma between them).
    pub fn text(self, members: &str) -> String {
        [self.before, members, self.after].concat()
    }

    /// Where it is inserted.
    pub fn at(self) -> Span {
        self.at
    }
}
