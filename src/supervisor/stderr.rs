//! The newest lines of a server's stderr, for operators and for error reports.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

/// Lines that are kept.
const KEPT_LINES: usize = 200;
/// Bytes of one line that are kept.
const MAX_LINE: usize = 2 * 1024;
/// Lines that wait for a follower who is slow.
const FOLLOW_LINES: usize = 256;

/// A ring of the newest lines, in which control characters are escaped.
#[derive(Debug)]
pub(super) struct StderrRing {
    state: Mutex<State>,
    follow: broadcast::Sender<Arc<str>>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Arc<str>>,
    partial: Vec<u8>,
}

impl StderrRing {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            follow: broadcast::Sender::new(FOLLOW_LINES),
        }
    }

    /// Takes what was read.
    pub(super) fn take(&self, mut bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            state.append(line);
            self.finish(&mut state);
            bytes = rest.get(1..).unwrap_or_default();
        }
        state.append(bytes);
    }

    /// The stream has ended: what there is of a line is a line.
    pub(super) fn flush(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.partial.is_empty() {
            self.finish(&mut state);
        }
    }

    fn finish(&self, state: &mut State) {
        let text = String::from_utf8_lossy(&state.partial);
        let line: Arc<str> = escape_controls(text.trim_end_matches('\r')).into();
        state.partial.clear();
        if state.lines.len() == KEPT_LINES {
            state.lines.pop_front();
        }
        // Fails where nobody follows, which is no fault.
        let _ = self.follow.send(Arc::clone(&line));
        state.lines.push_back(line);
    }

    /// The newest lines, at most `count`, oldest first.
    pub(super) fn tail(&self, count: usize) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = state.lines.len().saturating_sub(count);
        state
            .lines
            .iter()
            .skip(skip)
            .map(|line| line.as_ref().to_owned())
            .collect()
    }

    /// The lines from now on.
    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.follow.subscribe()
    }
}

impl State {
    fn append(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.partial.len());
        self.partial
            .extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
    }
}

/// The text with control characters written as escapes, so that no line can steer a terminal or forge
/// another line.
fn escape_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_in_bounds_and_escaped() {
        let ring = StderrRing::new();
        ring.take(b"one\r\ntw");
        ring.take(b"o\x1b[31m\n");
        ring.take(&vec![b'x'; 100_000]);
        ring.flush();
        let tail = ring.tail(20);
        assert_eq!(tail[..2], ["one", "two\\u{1b}[31m"]);
        assert_eq!(tail[2].len(), MAX_LINE);
        for number in 0..1000 {
            ring.take(format!("{number}\n").as_bytes());
        }
        assert_eq!(ring.tail(2), ["998", "999"]);
        assert_eq!(ring.tail(1000).len(), KEPT_LINES);
    }
}
