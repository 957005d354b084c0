//! A validating walk over JSON text (RFC 8259) that builds nothing.
//!
//! Iterative, so that depth costs bits and not stack; the whole text has to be UTF-8 already.

use super::envelope::{ScanError, Span};

/// Levels of nesting that are followed, the outermost object included: about as many as the usual readers
/// follow (`serde_json` builds a tree of one level less), so that a child can read what passes here.
pub(super) const MAX_DEPTH: u32 = 128;

/// A place in the text.
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// A string: where it stands, quotes included, and whether it holds an escape.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub(super) span: Span,
    pub(super) escaped: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Stands on the first byte of `span`, and reads no further than its last.
    pub(super) fn within(text: &'a [u8], span: Span) -> Self {
        Self {
            text: text.get(..span.end).unwrap_or_default(),
            at: span.start,
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn fail<T>(&self) -> Result<T, ScanError> {
        Err(ScanError::Syntax { at: self.at })
    }

    /// The next byte that is not white space, not consumed.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Consumes this byte, after white space.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.fail()
        }
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<(), ScanError> {
        if self.peek().is_none() {
            Ok(())
        } else {
            self.fail()
        }
    }

    /// After a member or an element: whether another follows, up to the `close` bracket.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, ScanError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fail(),
        }
    }

    /// Consumes the key of a member and its colon.
    pub(super) fn key(&mut self) -> Result<Text, ScanError> {
        if self.peek() != Some(b'"') {
            return self.fail();
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Consumes a whole value that stands `depth` levels deep; its span has no white space around it.
    pub(super) fn value(&mut self, depth: u32) -> Result<Span, ScanError> {
        self.peek();
        let start = self.at;
        self.skip(depth)?;
        Ok(Span {
            start,
            end: self.at,
        })
    }

    fn skip(&mut self, depth: u32) -> Result<(), ScanError> {
        // One bit a level: set where the level is an object.
        let mut objects = 0u128;
        let mut level = depth;
        'value: loop {
            let opened = match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    false
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    false
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    level += 1;
                    if level > MAX_DEPTH {
                        return Err(ScanError::TooDeep);
                    }
                    objects = objects << 1 | u128::from(bracket == b'{');
                    true
                }
                _ => return self.fail(),
            };
            // What follows is an element or a member of the innermost level, or its end.
            let mut first = opened;
            while level > depth {
                let in_object = objects & 1 == 1;
                let close = if in_object { b'}' } else { b']' };
                let another = if first && self.peek() != Some(close) {
                    true
                } else {
                    self.more_or_close(first, close)?
                };
                if another {
                    if in_object {
                        self.key()?;
                    }
                    continue 'value;
                }
                objects >>= 1;
                level -= 1;
                first = false;
            }
            return Ok(());
        }
    }

    fn more_or_close(&mut self, first: bool, close: u8) -> Result<bool, ScanError> {
        if first {
            self.expect(close)?;
            return Ok(false);
        }
        self.more(close)
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<bool, ScanError> {
        if self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.at += word.len();
            Ok(false)
        } else {
            self.fail()
        }
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start {
            self.fail()
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Result<(), ScanError> {
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Consumes a string; the cursor stands on its opening quote.
    fn string(&mut self) -> Result<Text, ScanError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(plain) = plain(rest) else {
                return self.fail();
            };
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    let end = self.at;
                    let span = Span { start, end };
                    return Ok(Text { span, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape(rest.get(plain..).unwrap_or_default())?;
                }
                // A control character.
                _ => return self.fail(),
            }
        }
    }

    /// Consumes one escape, `at` being what follows from its backslash on.
    fn escape(&mut self, at: &[u8]) -> Result<(), ScanError> {
        match at.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u')
                if at
                    .get(2..6)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                self.at += 6;
            }
            _ => return self.fail(),
        }
        Ok(())
    }
}

/// How many bytes of a string are looked at together.
const CHUNK: usize = 16;
/// So many chunks of a string are looked at one by one. Most strings are names, and most texts have a line end or a quote
/// before long; a search over many bytes takes longer to begin than those to end.
const NEAR: usize = 4;

/// How many bytes of a string stand as they are meant: up to its quote, to a backslash, or to a control character,
/// which is an error. `None` where the text ends before, and where a control character stands far into the string.
fn plain(rest: &[u8]) -> Option<usize> {
    let (chunks, last) = rest.as_chunks::<CHUNK>();
    for (number, chunk) in chunks.iter().take(NEAR).enumerate() {
        let special = first_special(chunk);
        if special < CHUNK {
            return Some(number * CHUNK + special);
        }
    }
    if chunks.len() > NEAR {
        return far(rest, NEAR * CHUNK);
    }
    // Spaces are as they are meant.
    let mut chunk = [b' '; CHUNK];
    chunk.get_mut(..last.len())?.copy_from_slice(last);
    let special = first_special(&chunk);
    (special < CHUNK).then_some(chunks.len() * CHUNK + special)
}

/// The same for what comes after so many bytes. On its own, so that what few strings need is not made ready for all.
#[inline(never)]
fn far(rest: &[u8], seen: usize) -> Option<usize> {
    let rest = rest.get(seen..).unwrap_or_default();
    let found = memchr::memchr2(b'"', b'\\', rest)?;
    // A control character is an error wherever it stands, so the least byte tells. Looked at to the end, unlike
    // by `any`: a loop that may end early is not vectorised.
    let least = rest.iter().take(found).copied().fold(u8::MAX, u8::min);
    (least >= 0x20).then_some(seen + found)
}

/// Which of these bytes is the first that is a quote, a backslash or a control character; as many as there are where none
/// is. All are compared at once: compilers make vector instructions of it, on x86-64 and on arm64.
fn first_special(chunk: &[u8; CHUNK]) -> usize {
    // As compare instructions have it: all bits or none.
    let mark_if = |is_so: bool| u8::from(is_so).wrapping_neg();
    let mut marks = [0_u8; CHUNK];
    for (mark, byte) in marks.iter_mut().zip(chunk) {
        *mark = mark_if(*byte == b'"') | mark_if(*byte == b'\\') | mark_if(*byte < 0x20);
    }
    u128::from_le_bytes(marks).trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(text: &[u8]) -> Option<usize> {
        text.iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for other in [
                0, 0x1f, 0x20, 0x21, b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xff,
            ] {
                for place in 0..CHUNK {
                    let mut chunk = [b'a'; CHUNK];
                    chunk[place] = byte;
                    if let Some(after) = chunk.get_mut(place + 1) {
                        *after = other;
                    }
                    let expected = one_by_one(&chunk).unwrap_or(CHUNK);
                    assert_eq!(first_special(&chunk), expected, "{chunk:?}");
                }
            }
        }
    }

    #[test]
    fn strings_of_every_length_end_where_they_end() {
        for length in 0..200 {
            for end in [&b"\""[..], b"\"}", b"\\n", b"\"] and more of it"] {
                let text = [&b"a\xc3\xa4bcdefg".repeat(30)[..length], end].concat();
                assert_eq!(plain(&text), Some(length), "{length} {end:?}");
            }
            let text = b"a".repeat(length);
            assert_eq!(plain(&text), None, "no end, {length}");
            for place in 0..length {
                let mut text = [&text[..], b"\""].concat();
                text[place] = 0x1f;
                let seen = plain(&text);
                assert!(
                    seen.is_none_or(|seen| text[seen] == 0x1f),
                    "{length} {place}"
                );
            }
        }
    }
}
