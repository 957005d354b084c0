//! Lines out of a stream of bytes, with a bound on what is kept.

use std::ops::Range;

use bytes::Bytes;

use super::salvage::{IdFinder, Salvaged};
use super::spare;

/// How much room is made for the first read: most children say little at a time, and there may be hundreds.
const FIRST_ROOM: usize = 8 * 1024;
/// A read gets at least this much room.
const LEAST_ROOM: usize = FIRST_ROOM / 2;
/// How much room is made after a read that took all there was. A pipe of Linux holds as much (pipe(7)).
const READ_SIZE: usize = 64 * 1024;
/// A buffer that grew beyond this for a long line is given up after it.
const KEPT_ROOM: usize = 2 * READ_SIZE;

/// One line of a child's output.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its line end; it may be blank, which is no message either. It keeps at most
    /// about twice its own length in memory, so a hearer may hold it for as long as it likes.
    Whole(Bytes),
    /// A line over the cap, which was discarded.
    Oversize {
        /// The ids of the messages on it.
        ids: Salvaged,
        /// Its length in bytes.
        len: u64,
    },
}

impl Line {
    /// Whether it begins as JSON does that can be a message.
    pub fn may_be_message(&self) -> bool {
        match self {
            Self::Whole(line) => matches!(line.first(), Some(b'{' | b'[')),
            Self::Oversize { .. } => true,
        }
    }
}

/// Cuts what was read into lines at `\n`; a `\r` before it is dropped.
///
/// Memory stays below twice the cap and one read, and goes back to one read after a long line: of a longer
/// line than the cap only the id is kept.
///
/// A line leaves as a copy, unless it is most of what the buffer has room for, in which case it takes the
/// buffer along. Were every line a part of the buffer, a hundred bytes that wait for a slow client, or are
/// kept for one that comes back, would hold all 64 KiB; and as the next read cannot use what is held,
/// each message in flight would cost another 64 KiB.
#[derive(Debug)]
pub struct LineBuffer {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have left as lines.
    given: usize,
    /// Bytes behind those that hold no newline.
    scanned: usize,
    cap: usize,
    discarding: Option<Discarding>,
}

#[derive(Debug, Default)]
struct Discarding {
    finder: IdFinder,
    len: u64,
}

impl LineBuffer {
    /// A buffer that gives lines of at most `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self {
            buffer: Vec::new(),
            given: 0,
            scanned: 0,
            cap,
            discarding: None,
        }
    }

    /// Where the next read goes: behind what is there of an unfinished line.
    pub fn room(&mut self) -> &mut Vec<u8> {
        let was_taken_up = self.buffer.len() == self.buffer.capacity();
        self.buffer.drain(..self.given);
        self.given = 0;
        if self.buffer.capacity() > KEPT_ROOM && self.buffer.len() <= READ_SIZE {
            self.buffer.shrink_to(READ_SIZE);
        }
        if was_taken_up && self.buffer.capacity() > 0 {
            spare::reserve(&mut self.buffer, READ_SIZE);
        } else if self.buffer.capacity() - self.buffer.len() < LEAST_ROOM {
            self.buffer.reserve(FIRST_ROOM);
        }
        &mut self.buffer
    }

    /// The next line, if one is complete.
    pub fn next_line(&mut self) -> Option<Line> {
        let begin = self.given;
        let fresh = self.buffer.get(begin + self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', fresh) else {
            self.scanned = self.buffer.len() - begin;
            self.discard_if_over();
            return None;
        };
        let mut end = begin + self.scanned + found;
        self.given = end + 1;
        self.scanned = 0;
        let line = self.buffer.get(begin..end).unwrap_or_default();
        if self.discarding.is_some() || line.len() > self.cap {
            let Discarding { mut finder, len } = self.discarding.take().unwrap_or_default();
            finder.feed(line);
            let len = len + line.len() as u64;
            return Some(Line::Oversize {
                ids: finder.finish(),
                len,
            });
        }
        if line.last() == Some(&b'\r') {
            end -= 1;
        }
        Some(Line::Whole(self.give(begin..end)))
    }

    /// A line as it leaves.
    fn give(&mut self, line: Range<usize>) -> Bytes {
        if line.len() < self.buffer.capacity() / 2 {
            return Bytes::copy_from_slice(self.buffer.get(line).unwrap_or_default());
        }
        let rest = self.buffer.split_off(self.given);
        self.given = 0;
        Bytes::from(std::mem::replace(&mut self.buffer, rest)).slice(line)
    }

    /// Bytes of a line that was begun and not ended: what is lost when the stream ends here.
    pub fn unfinished(&self) -> usize {
        let discarded = self.discarding.as_ref().map_or(0, |line| line.len);
        (self.buffer.len() - self.given)
            .saturating_add(usize::try_from(discarded).unwrap_or(usize::MAX))
    }

    /// What is there of a line that was begun and not ended; nothing where it is over the cap.
    pub fn begun(&self) -> &[u8] {
        self.buffer.get(self.given..).unwrap_or_default()
    }

    fn discard_if_over(&mut self) {
        let begun = self.buffer.get(self.given..).unwrap_or_default();
        if self.discarding.is_none() && begun.len() <= self.cap {
            return;
        }
        let discarding = self.discarding.get_or_insert_default();
        discarding.finder.feed(begun);
        discarding.len += begun.len() as u64;
        self.buffer.clear();
        self.given = 0;
        self.scanned = 0;
    }
}
