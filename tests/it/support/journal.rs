//! What a gremlin read: its side file, one frame a line with the pid of the incarnation before it.

use std::path::PathBuf;

use serde_json::Value;

/// One frame as it arrived, without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) pid: u32,
    pub(crate) frame: Vec<u8>,
}

impl Entry {
    /// The frame as JSON; `Null` when it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.frame).unwrap_or_default()
    }

    /// Whether the frame contains this text.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let mut windows = self.frame.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    }
}

/// The side file of one or several incarnations.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal at this path; the file need not be there yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Everything recorded so far, in order. A last line that is still being written is left out.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        lines.pop();
        lines.into_iter().map(parse).collect()
    }

    /// What the process that read first has read. Others find out meanwhile which eras the server speaks.
    pub(crate) fn entries_of_first(&self) -> Vec<Entry> {
        let mut entries = self.entries();
        if let Some(first) = entries.first().map(|entry| entry.pid) {
            entries.retain(|entry| entry.pid == first);
        }
        entries
    }

    /// How many frames contain this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.entries()
            .iter()
            .filter(|entry| entry.contains(text))
            .count()
    }

    /// The requests and notifications of this method, in order.
    pub(crate) fn of_method(&self, method: &str) -> Vec<Value> {
        let frames = self.entries().into_iter().map(|entry| entry.json());
        frames.filter(|frame| frame["method"] == method).collect()
    }

    /// How many requests and notifications of this method arrived.
    pub(crate) fn count_method(&self, method: &str) -> usize {
        self.of_method(method).len()
    }
}

fn parse(line: &[u8]) -> Entry {
    let tab = line
        .iter()
        .position(|byte| *byte == b'\t')
        .expect("pid, tab, frame");
    let (pid, frame) = line.split_at(tab);
    Entry {
        pid: String::from_utf8_lossy(pid).parse().expect("a pid"),
        frame: frame[1..].to_vec(),
    }
}
