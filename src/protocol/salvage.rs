//! Ids out of a message that cannot be kept or is not valid: found on the fly, without the message.

use super::json::Cursor;
use super::message::minted;

/// Longest id that is kept, in bytes of JSON text: a UUID as a string has 38.
const MAX_ID: usize = 128;
/// Longest key that matters: `method`, each letter written as an escape.
const MAX_KEY: usize = 36;

/// The requests and responses that an unreadable line may have been meant as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The id of ours that the first answer on the line bears.
    pub response: Option<u64>,
    /// The id of the first request on the line, a string or a number as JSON text.
    pub request: Option<Vec<u8>>,
}

/// Follows strings and brackets loosely, in pieces of any size, and keeps of each object that is not
/// part of another its member `id`, and that it has a member `method`. Several objects can stand on a
/// line: a server that forgets a newline writes two messages on one.
#[derive(Debug, Default)]
pub(super) struct IdFinder {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// The text of the present or last string at the top level, as far as it matters.
    key: Vec<u8>,
    /// The text of the value of `id`, from the colon on.
    value: Option<Vec<u8>>,
    /// The first id of the present object.
    id: Option<Vec<u8>>,
    has_method: bool,
    found: Salvaged,
}

impl IdFinder {
    /// Looks at the next piece of the message.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            self.step(byte);
        }
    }

    /// Gives what was found; an object that was not closed counts as one.
    pub(super) fn finish(mut self) -> Salvaged {
        self.end_object();
        self.found
    }

    fn step(&mut self, byte: u8) {
        self.value(byte);
        if self.in_string {
            self.in_string(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.key.clear();
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.end_object();
                }
            }
            b':' if self.depth == 1 => {
                self.value = self.key_is(b"id").then(Vec::new);
                self.has_method |= self.key_is(b"method");
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
        // One more than matters tells a longer key from one that fits.
        if self.in_string && self.key.len() <= MAX_KEY {
            self.key.push(byte);
        }
    }

    /// Whether the last string means this name, which it may write with escapes.
    fn key_is(&self, name: &[u8]) -> bool {
        if !self.key.contains(&b'\\') {
            return self.key == name;
        }
        let quoted = [b"\"", self.key.as_slice(), b"\""].concat();
        let meant: Result<String, _> = serde_json::from_slice(&quoted);
        meant.is_ok_and(|meant| meant.as_bytes() == name)
    }

    fn value(&mut self, byte: u8) {
        let Some(value) = &mut self.value else {
            return;
        };
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let is_string = value.first() == Some(&b'"');
        if value.is_empty() && is_space {
            return;
        }
        let ends = if is_string {
            // The quote that opened it made this a string; the one that closes it stands here.
            self.in_string && !self.escaped && byte == b'"'
        } else {
            is_space || matches!(byte, b',' | b'}')
        };
        if value.len() > MAX_ID {
            self.value = None;
            return;
        }
        if is_string || !ends {
            value.push(byte);
        }
        if ends {
            let id = self.value.take().filter(|id| is_id(id));
            self.id = self.id.take().or(id);
        }
    }

    fn end_object(&mut self) {
        self.value = None;
        let has_method = std::mem::take(&mut self.has_method);
        let Some(id) = self.id.take() else {
            return;
        };
        if has_method {
            self.found.request.get_or_insert(id);
        } else if let (None, Some(id)) = (self.found.response, minted(&id)) {
            self.found.response = Some(id);
        }
    }
}

/// Whether this is a string or a number, which an answer may bear: anything else in its place could break
/// the line that it stands in.
fn is_id(json: &[u8]) -> bool {
    let mut cursor = Cursor::new(json);
    json.len() <= MAX_ID
        && matches!(json.first(), Some(b'"' | b'-' | b'0'..=b'9'))
        && std::str::from_utf8(json).is_ok()
        && cursor.value(0).is_ok()
        && cursor.end().is_ok()
}

/// The ids on a line that did not pass the scan.
pub(super) fn ids_of(line: &[u8]) -> Salvaged {
    let mut finder = IdFinder::default();
    finder.feed(line);
    finder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_found(line: &str, response: Option<u64>, request: Option<&str>) {
        let expected = Salvaged {
            response,
            request: request.map(|id| id.as_bytes().to_vec()),
        };
        assert_eq!(ids_of(line.as_bytes()), expected, "{line}");
        let mut finder = IdFinder::default();
        line.bytes().for_each(|byte| finder.feed(&[byte]));
        assert_eq!(finder.finish(), expected, "in pieces: {line}");
    }

    #[test]
    fn the_top_level_id_is_found_wherever_it_stands() {
        for (line, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#, Some(7)),
            (
                r#"{"result":{"id":8,"x":["}","\"id\":9"]}, "id" : 12 }"#,
                Some(12),
            ),
            (r#"{"result":{"id":8}}"#, None),
            (r#"{"id":"7"}"#, Some(7)),
            (r#"{"id":"a"}"#, None),
            (r#"{"a":"id","b":5}"#, None),
            (r#"{"result": nonsense, "id":3}"#, Some(3)),
            ("{\"id\" :\r\t 7\r}", Some(7)),
            (r#"{"id":7.5}"#, None),
            (r#"{"id":7.0,"#, Some(7)),
            (r#"{"id":7"}"#, None),
            (r#"{"id":7 5}"#, Some(7)),
            (r#"{"result":"an end \"","id":3}"#, Some(3)),
            (r#"{"result":"an end \\","id":3}"#, Some(3)),
            (r#"{"result":{"method":"x"},"id":3"#, None),
            (r#"{"result":{"method":"x"},"id":3,"#, Some(3)),
        ] {
            assert_found(line, id, None);
        }
    }

    #[test]
    fn a_line_with_a_method_is_a_request_and_no_answer() {
        for (line, id) in [
            (r#"{"id":7,"method":"m","params":NaN}"#, "7"),
            (r#"{"method":5,"id":"7""#, r#""7""#),
            (r#"{"\u006dethod":"m","id":7.0,"#, "7.0"),
            (r#"{"id":"a\"b","params":{,},"method":"m"}"#, r#""a\"b""#),
        ] {
            assert_found(line, None, Some(id));
        }
        let long = format!(r#"{{"method":"m","id":"{}"}}"#, "x".repeat(MAX_ID));
        assert_found(&long, None, None);
        assert_found(r#"{"method":"m","id":null}"#, None, None);
        assert_found(r#"{"method":"m","id":{"a":1}}"#, None, None);
    }

    #[test]
    fn of_two_messages_on_a_line_each_is_what_it_is() {
        let (notice, request, answer) = (
            r#"{"method":"notice"}"#,
            r#"{"method":"ask","id":"q"}"#,
            r#"{"id":7,"result":{}}"#,
        );
        for (line, request) in [
            (format!("{notice}{answer}"), None),
            (format!("{answer}{notice}"), None),
            (format!("{request}{answer}"), Some("\"q\"")),
            (format!("{answer} {request}"), Some("\"q\"")),
        ] {
            assert_found(&line, Some(7), request);
        }
    }
}
