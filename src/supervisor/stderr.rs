//! The newest lines of a server's stderr, for operators and for error reports.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::types::Incarnation;

/// Lines that are kept.
const KEPT_LINES: usize = 200;
/// Of them, lines of stdout: a server whose logger writes there must not hide what it writes to stderr.
const KEPT_STDOUT: usize = 50;
/// What stands before a line of stdout.
const STDOUT: &str = "[stdout] ";
/// What stands before a line of the gateway's own.
const GATEWAY: &str = "[gateway] ";
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
    lines: VecDeque<Kept>,
    partial: Vec<u8>,
    /// The present life, or the last one.
    life: Incarnation,
}

#[derive(Clone, Debug)]
struct Kept {
    text: Arc<str>,
    at: Instant,
    source: LineSource,
    /// The life that wrote it.
    life: Incarnation,
}

/// The writer of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineSource {
    Stderr,
    Stdout,
    /// The gateway itself, between the lines of two lives.
    Gateway,
}

/// One line, and when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// Without its end, control characters escaped.
    pub text: Arc<str>,
    /// Orders the lines of several processes.
    pub at: Instant,
}

impl Default for StderrRing {
    fn default() -> Self {
        Self::new()
    }
}

impl StderrRing {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            follow: broadcast::Sender::new(FOLLOW_LINES),
        }
    }

    /// A life begins: marks where its lines do, where there are any of an earlier one.
    pub(super) fn begin_life(&self, life: Incarnation) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.life = life;
        let Some(last) = state.lines.back() else {
            return;
        };
        if last.source == LineSource::Gateway {
            // The life before has written nothing: many of them push no lines out.
            state.lines.pop_back();
        }
        let text = format!("{GATEWAY}incarnation {} begins", life.0);
        self.keep(&mut state, text.into(), LineSource::Gateway);
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

    /// Takes a line of stdout that is no message, so that it stands among those of stderr.
    pub(super) fn take_stdout(&self, line: &[u8]) {
        let line = line.get(..MAX_LINE).unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let text = format!("{STDOUT}{}", escape_controls(text.trim_end_matches('\r')));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stdout = state.lines.iter();
        let stdout = stdout
            .filter(|line| line.source == LineSource::Stdout)
            .count();
        if stdout >= KEPT_STDOUT
            && let Some(oldest) = state
                .lines
                .iter()
                .position(|line| line.source == LineSource::Stdout)
        {
            state.lines.remove(oldest);
        }
        self.keep(&mut state, text.into(), LineSource::Stdout);
    }

    fn finish(&self, state: &mut State) {
        let text = String::from_utf8_lossy(&state.partial);
        let text = escape_controls(text.trim_end_matches('\r')).into();
        state.partial.clear();
        self.keep(state, text, LineSource::Stderr);
    }

    fn keep(&self, state: &mut State, text: Arc<str>, source: LineSource) {
        let life = state.life;
        if state.lines.len() == KEPT_LINES {
            state.lines.pop_front();
        }
        // Fails where nobody follows, which is no fault.
        let _ = self.follow.send(Arc::clone(&text));
        state.lines.push_back(Kept {
            text,
            at: Instant::now(),
            source,
            life,
        });
    }

    /// The newest lines that the present or last life wrote to stderr, at most `count`, oldest first.
    pub(super) fn tail(&self, count: usize) -> Vec<String> {
        let is_own = |line: &Kept, life| line.source == LineSource::Stderr && line.life == life;
        let lines = self.newest(count, is_own).into_iter();
        lines.map(|line| line.text.as_ref().to_owned()).collect()
    }

    /// The newest lines of stderr, and those of stdout that are no messages, at most `count`, oldest first; those of
    /// earlier lives too, with a mark before each life but the first.
    pub(super) fn all(&self, count: usize) -> Vec<OutputLine> {
        self.newest(count, |_, _| true)
    }

    fn newest(&self, count: usize, which: impl Fn(&Kept, Incarnation) -> bool) -> Vec<OutputLine> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = state
            .lines
            .iter()
            .rev()
            .filter(|line| which(line, state.life));
        let mut lines: Vec<_> = newest
            .take(count)
            .map(|line| OutputLine {
                text: Arc::clone(&line.text),
                at: line.at,
            })
            .collect();
        lines.reverse();
        lines
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
pub(super) fn escape_controls(text: &str) -> String {
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

    #[test]
    fn the_lines_of_lives_are_told_apart() {
        let ring = StderrRing::new();
        ring.begin_life(Incarnation(1));
        assert!(
            ring.all(9).is_empty(),
            "nothing to tell the first life from"
        );
        ring.take(b"no licence\n");
        for life in 2..500 {
            ring.begin_life(Incarnation(life));
            assert!(ring.tail(9).is_empty(), "those words are of another life");
        }
        ring.take(b"ready\n");
        assert_eq!(ring.tail(9), ["ready"]);
        let all: Vec<_> = ring.all(9).into_iter().map(|line| line.text).collect();
        let expected = ["no licence", "[gateway] incarnation 499 begins", "ready"];
        assert!(all.iter().map(|line| &**line).eq(expected), "{all:?}");
    }

    /// RB03.
    #[test]
    fn lines_of_stdout_are_marked_and_push_no_others_out() {
        let ring = StderrRing::new();
        ring.take(b"no licence\n");
        for number in 0..1000 {
            ring.take_stdout(format!("info {number}\x1b\r").as_bytes());
        }
        assert_eq!(ring.tail(9), ["no licence"]);
        assert_eq!(&*ring.all(1)[0].text, "[stdout] info 999\\u{1b}");
        assert_eq!(ring.all(1000).len(), 1 + KEPT_STDOUT);
    }
}
