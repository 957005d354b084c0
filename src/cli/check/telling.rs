//! Which lines of a server's stderr are shown when it does not start.

use crate::supervisor::quotable;

/// Lines that are shown.
const SHOWN: usize = 20;
/// The newest lines, which are shown whatever they say.
const NEWEST: usize = 5;

/// Words of lines that name a cause, in lower case.
const WORDS: [&str; 22] = [
    "error",
    "exception",
    "cannot",
    "can't",
    "could not",
    "couldn't",
    "unable",
    "failed",
    "failure",
    "fatal",
    "panic",
    "not found",
    "no such",
    "missing",
    "required",
    "denied",
    "refused",
    "unauthorized",
    "invalid",
    "unknown",
    "not set",
    "traceback",
];

/// At most 20 of these lines, in their order: the newest, then those that name a cause, then the others. Frames
/// of a stack come last, as Node and Python print many of them below or above the line that matters.
pub(in crate::cli) fn most_telling(lines: Vec<String>) -> Vec<String> {
    let count = lines.len();
    let mut ranked: Vec<(usize, String)> = lines.into_iter().enumerate().collect();
    ranked.sort_by_key(|(number, line)| {
        let age = count - number;
        let rank = if age <= NEWEST { 0 } else { 1 + rank(line) };
        (rank, age)
    });
    ranked.truncate(SHOWN);
    ranked.sort_by_key(|(number, _)| *number);
    let lines = ranked.into_iter();
    lines.map(|(_, line)| quotable(&line).to_owned()).collect()
}

fn rank(line: &str) -> usize {
    let trimmed = line.trim();
    let frame = ["at ", "File \"", "^", "~", "|"];
    if trimmed.is_empty() || frame.iter().any(|frame| trimmed.starts_with(frame)) {
        return 2;
    }
    let lower = trimmed.to_lowercase();
    usize::from(!WORDS.iter().any(|word| lower.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RB07: Node prints the cause above a stack that is longer than what is shown.
    #[test]
    fn the_cause_above_a_long_stack_is_shown() {
        let mut lines = vec![
            "downloading".to_owned(),
            "Error: Cannot find module 'x'".to_owned(),
        ];
        lines.extend((0..60).map(|n| format!("    at frame {n} (node:internal)")));
        lines.push("Node.js v22.0.0".to_owned());
        let shown = most_telling(lines);
        assert_eq!(shown.len(), SHOWN);
        assert_eq!(shown[..2], ["downloading", "Error: Cannot find module 'x'"]);
        assert_eq!(shown[2], "    at frame 43 (node:internal)");
        assert_eq!(shown[19], "Node.js v22.0.0");
    }

    #[test]
    fn few_lines_are_all_shown_in_their_order() {
        let lines: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(most_telling(lines.clone()), lines);
        assert!(most_telling(Vec::new()).is_empty());
    }
}
