//! The id of a message that cannot be kept or is not valid: found on the fly, without the message.

/// Longest run of id text that is kept; the ids that we mint have at most 20 digits.
const MAX_ID: usize = 32;

/// Follows strings and brackets loosely, in pieces of any size, and keeps the value of the top-level
/// member `id` where that is an integer.
#[derive(Debug, Default)]
pub(super) struct IdFinder {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// The text of the present or last string at the top level, as far as it matters.
    key: Vec<u8>,
    /// A colon followed the key `id`.
    at_value: bool,
    value: Vec<u8>,
    found: Option<u64>,
}

impl IdFinder {
    /// Looks at the next piece of the message.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            self.step(byte);
        }
    }

    /// The id, if one was found; the first wins.
    pub(super) fn found(&self) -> Option<u64> {
        self.found
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.in_string(byte);
            return;
        }
        if self.at_value {
            self.value(byte);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.key.clear();
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 && self.key == b"id" => {
                self.at_value = true;
                self.value.clear();
            }
            _ => {}
        }
    }

    fn in_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        if self.in_string && self.key.len() < MAX_ID {
            self.key.push(byte);
        }
    }

    fn value(&mut self, byte: u8) {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        if self.value.is_empty() && is_space {
            return;
        }
        if byte.is_ascii_digit() && self.value.len() < MAX_ID {
            self.value.push(byte);
            return;
        }
        self.at_value = false;
        // What goes on, as `7.5` and `7e1` do, is no integer.
        let is_whole = is_space || matches!(byte, b',' | b'}');
        let text = std::str::from_utf8(&self.value).unwrap_or_default();
        if let (None, true, Ok(id)) = (self.found, is_whole, text.parse()) {
            self.found = Some(id);
        }
    }
}

/// The integer `id` of a line that did not pass the scan.
pub(super) fn id_of(line: &[u8]) -> Option<u64> {
    let mut finder = IdFinder::default();
    finder.feed(line);
    finder.found()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_id_is_found_wherever_it_stands() {
        for (line, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#, Some(7)),
            (
                r#"{"result":{"id":8,"x":["}","\"id\":9"]}, "id" : 12 }"#,
                Some(12),
            ),
            (r#"{"result":{"id":8}}"#, None),
            (r#"{"id":"7"}"#, None),
            (r#"{"a":"id","b":5}"#, None),
            (r#"{"result": nonsense, "id":3}"#, Some(3)),
            ("{\"id\" :\r\t 7\r}", Some(7)),
            (r#"{"id":7.5}"#, None),
            (r#"{"id":7e1}"#, None),
            (r#"{"id":7"}"#, None),
            (r#"{"id":7 5}"#, Some(7)),
            (r#"{"result":"an end \"","id":3}"#, Some(3)),
            (r#"{"result":"an end \\","id":3}"#, Some(3)),
        ] {
            assert_eq!(id_of(line.as_bytes()), id, "{line}");
            let mut finder = IdFinder::default();
            line.bytes().for_each(|byte| finder.feed(&[byte]));
            assert_eq!(finder.found(), id, "in pieces: {line}");
        }
    }
}
