//! What a line that is no message tells of the mistake behind it.

use super::envelope::{ScanError, scan};

/// A way of writing messages that is not that of stdio (MCP 2025-11-25, basic/transports: one message a
/// line, no newline inside) and that servers are known to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misframed {
    /// Headers before each message, as the Language Server Protocol has them.
    Headers,
    /// JSON that goes over several lines, as printers for people write it.
    ManyLines,
}

impl Misframed {
    /// Recognises the mistake by one line; `None` for any other garbage, such as a banner.
    pub fn of(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let is_header = |name: &str| {
            let start = line.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        };
        if is_header("content-length:") || is_header("content-type:") {
            return Some(Self::Headers);
        }
        // An object of which nothing is wrong but that it does not end here.
        let unfinished =
            line.starts_with(b"{") && scan(line) == Err(ScanError::Syntax { at: line.len() });
        unfinished.then_some(Self::ManyLines)
    }

    /// The mistake as an operator is told of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Headers => {
                "writes Content-Length headers (LSP framing), expected one JSON message a line"
            }
            Self::ManyLines => "writes JSON over several lines, expected one JSON message a line",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_known_by_its_first_line_and_other_garbage_is_none() {
        for (line, mistake) in [
            ("Content-Length: 42\r", Some(Misframed::Headers)),
            (
                " content-type: application/vscode-jsonrpc",
                Some(Misframed::Headers),
            ),
            ("{", Some(Misframed::ManyLines)),
            ("  {\r", Some(Misframed::ManyLines)),
            (r#"{"jsonrpc": "2.0","#, Some(Misframed::ManyLines)),
            (
                r#"{"jsonrpc": "2.0", "result": {"#,
                Some(Misframed::ManyLines),
            ),
            ("", None),
            ("}", None),
            ("{nonsense", None),
            (r#"  "jsonrpc": "2.0","#, None),
            ("[1,2,", None),
            ("Content-length of this is unknown", None),
            ("npm WARN deprecated", None),
            ("{}", None),
        ] {
            assert_eq!(Misframed::of(line.as_bytes()), mistake, "{line:?}");
        }
    }
}
