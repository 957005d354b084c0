//! Lines out of a stream of bytes, with a bound on what is kept.

use bytes::{Bytes, BytesMut};

use super::salvage::IdFinder;

/// How much room is made for one read.
const READ_SIZE: usize = 64 * 1024;

/// One line of a child's output.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its line end; it may be blank, which is no message either.
    Whole(Bytes),
    /// A line over the cap, which was discarded.
    Oversize {
        /// Its top-level integer `id`, if it had one.
        id: Option<u64>,
        /// Its length in bytes.
        len: u64,
    },
}

/// Cuts what was read into lines at `\n`; a `\r` before it is dropped.
///
/// Memory stays below the cap plus one read: of a longer line only the id is kept.
#[derive(Debug)]
pub struct LineBuffer {
    buffer: BytesMut,
    /// Bytes at the front of the buffer that hold no newline.
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
            buffer: BytesMut::new(),
            scanned: 0,
            cap,
            discarding: None,
        }
    }

    /// Where the next read goes.
    pub fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_SIZE);
        &mut self.buffer
    }

    /// The next line, if one is complete.
    pub fn next_line(&mut self) -> Option<Line> {
        let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', fresh) else {
            self.scanned = self.buffer.len();
            self.discard_if_over();
            return None;
        };
        let mut line = self.buffer.split_to(self.scanned + found + 1);
        self.scanned = 0;
        line.truncate(line.len() - 1);
        if let Some(Discarding { mut finder, len }) = self.discarding.take() {
            finder.feed(&line);
            return Some(Line::Oversize {
                id: finder.found(),
                len: len + line.len() as u64,
            });
        }
        if line.len() > self.cap {
            let mut finder = IdFinder::default();
            finder.feed(&line);
            return Some(Line::Oversize {
                id: finder.found(),
                len: line.len() as u64,
            });
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(Line::Whole(line.freeze()))
    }

    /// Bytes of a line that was begun and not ended: what is lost when the stream ends here.
    pub fn unfinished(&self) -> usize {
        let discarded = self.discarding.as_ref().map_or(0, |line| line.len);
        self.buffer
            .len()
            .saturating_add(usize::try_from(discarded).unwrap_or(usize::MAX))
    }

    fn discard_if_over(&mut self) {
        if self.discarding.is_none() && self.buffer.len() <= self.cap {
            return;
        }
        let discarding = self.discarding.get_or_insert_default();
        discarding.finder.feed(&self.buffer);
        discarding.len += self.buffer.len() as u64;
        self.buffer.clear();
        self.scanned = 0;
    }
}
