//! Bounded reading of lines: a message that never ends must not fill the memory.

use std::io::{self, BufRead};

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The line without its line break.
    Whole(&'a [u8]),
    /// The line was longer than the bound; it was read to its end and dropped.
    TooLong,
}

/// A reader of lines of at most `max` bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    max: usize,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, max: usize) -> Self {
        Self {
            input,
            max,
            line: Vec::new(),
        }
    }

    /// The next line that is not blank; `None` at the end of the input. A last line without a line
    /// break counts.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            let mut too_long = false;
            let ended = loop {
                let chunk = match self.input.fill_buf() {
                    Ok(chunk) => chunk,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                if chunk.is_empty() {
                    break true;
                }
                let newline = memchr::memchr(b'\n', chunk);
                let part = chunk.get(..newline.unwrap_or(chunk.len())).unwrap_or(chunk);
                if too_long || self.line.len().saturating_add(part.len()) > self.max {
                    too_long = true;
                    self.line.clear();
                } else {
                    self.line.extend_from_slice(part);
                }
                let used = part.len() + usize::from(newline.is_some());
                self.input.consume(used);
                if newline.is_some() {
                    break false;
                }
            };
            if too_long {
                return Ok(Some(Line::TooLong));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(Line::Whole(self.line.trim_ascii())));
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_bounded_and_blank_ones_skipped() {
        let mut lines = Lines::new(
            io::BufReader::with_capacity(3, &b"ab\r\n\n \nabcdefgh\nabcd\nlast"[..]),
            4,
        );
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            seen.push(match line {
                Line::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        assert_eq!(seen, ["ab", "too long", "abcd", "last"]);
    }
}
