//! A child's output cut into lines: however it is read, the lines are the same, what is kept is bounded, and a
//! line over the cap still tells its id.
//!
//! Input: a byte for the cap, a byte for how the rest is read, and the rest, which is what the child writes.

use bytes::BufMut;
use host_mcp_gateway::protocol::{Line, LineBuffer};

use super::reference::{self, Value};

pub(crate) fn run(data: &[u8]) {
    let &[cap, how, ref output @ ..] = data else {
        return;
    };
    let cap = usize::from(cap);
    let at_once = cut(cap, &[output]);
    compare(cap, output, &at_once);
    assert_eq!(cut(cap, &pieces(output, how)), at_once);
    let single: Vec<&[u8]> = output.chunks(1).collect();
    assert_eq!(cut(cap, &single), at_once);
}

/// The output in pieces of lengths that depend on `how`.
fn pieces(mut output: &[u8], how: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = u32::from(how);
    while !output.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (state >> 24) as usize % (usize::from(how) + 1) + 1;
        let (piece, rest) = output.split_at(length.min(output.len()));
        pieces.push(piece);
        output = rest;
    }
    pieces
}

fn cut(cap: usize, pieces: &[&[u8]]) -> (Vec<Line>, usize) {
    let mut buffer = LineBuffer::new(cap);
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.room().put_slice(piece);
        while let Some(line) = buffer.next_line() {
            lines.push(line);
        }
        assert!(buffer.room().len() <= cap, "more than the cap is kept");
    }
    let unfinished = buffer.unfinished();
    (lines, unfinished)
}

/// Against the plain way: everything in memory, split at line feeds.
fn compare(cap: usize, output: &[u8], (lines, unfinished): &(Vec<Line>, usize)) {
    let mut expected: Vec<&[u8]> = output.split(|byte| *byte == b'\n').collect();
    assert_eq!(expected.pop().map(<[u8]>::len), Some(*unfinished));
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        match line {
            Line::Whole(line) => {
                assert!(expected.len() <= cap);
                assert_eq!(line, expected.strip_suffix(b"\r").unwrap_or(expected));
            }
            Line::Oversize { ids, len } => {
                assert!(expected.len() > cap);
                assert_eq!(usize::try_from(*len), Ok(expected.len()));
                // Of what is no JSON nothing is promised but that nothing breaks.
                if let Ok(message) = reference::read(expected)
                    && let Some(id) = id_of(&message, expected)
                {
                    let request = message.member("method").is_some();
                    assert_eq!(ids.request.is_some(), request);
                    assert_eq!(ids.response, (!request).then_some(id));
                }
            }
        }
    }
}

/// The first integer at the top that is called `id`, without escapes.
fn id_of(message: &Value, text: &[u8]) -> Option<u64> {
    let mut members = message.members().iter();
    members.find_map(|member| {
        let id = member.value.written(text);
        let wanted = text[member.key.0..member.key.1] == *b"\"id\"";
        let digits = wanted && id.iter().all(u8::is_ascii_digit);
        digits.then(|| std::str::from_utf8(id).ok()?.parse().ok())?
    })
}
