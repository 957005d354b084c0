//! What is asked, and whether an answer is the right one.
//!
//! Every call carries a text that no other call of the run carries, while ids count from 1 in every session, as in
//! real clients: a gateway that mixes up two sessions gives wrong content, and is found out.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

/// As tools give it back: with quotes and line breaks, which are escaped in JSON.
const PROSE: &str = "the quick brown fox jumps over \\\"the lazy dog\\\" 0123456789 and is gone\\n";
const META: &str = concat!(
    r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);

/// The tool that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Tool {
    /// So many bytes there and back.
    Echo,
    /// A short request, so many bytes back.
    Payload,
    /// A short request and answer, with 50 ms between them.
    Sleep,
    /// A short request and answer, and a notification to everybody.
    Announce,
    /// The child ends.
    Crash,
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Payload => "payload",
            Self::Sleep => "sleep",
            Self::Announce => "announce",
            Self::Crash => "crash",
        }
    }
}

/// All calls of one load.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) tool: Tool,
    bytes: usize,
    modern: bool,
    /// What follows the call's own text, escaped.
    filling: String,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) id: u64,
    /// A number that no other call of the run has.
    pub(crate) serial: u64,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    result: Option<CallResult<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

impl Shape {
    /// `bytes` is the length of the text, or 0 for the shortest.
    pub(crate) fn new(tool: Tool, bytes: usize, modern: bool) -> Self {
        let filling = match tool {
            Tool::Echo => PROSE.repeat(bytes / PROSE.len()),
            Tool::Payload => "x".repeat(bytes),
            Tool::Sleep | Tool::Announce | Tool::Crash => String::new(),
        };
        Self {
            tool,
            bytes,
            modern,
            filling,
        }
    }

    /// Writes the whole request; `head` ends where the length of the body goes.
    pub(crate) fn write(&self, head: &[u8], call: Call, out: &mut Vec<u8>) {
        let Call { id, serial } = call;
        let arguments = match self.tool {
            Tool::Payload => format!(r#""bytes":{},"tag":"#, self.bytes),
            Tool::Sleep => r#""ms":50,"text":"#.to_owned(),
            Tool::Echo | Tool::Announce | Tool::Crash => r#""text":"#.to_owned(),
        };
        let filling = if self.tool == Tool::Echo {
            self.filling.as_str()
        } else {
            ""
        };
        let before = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{}","arguments":{{{arguments}"call {serial}; "#,
            self.tool.name(),
        );
        let meta = if self.modern { META } else { "" };
        let length = before.len() + filling.len() + 2 + meta.len() + 2;
        out.clear();
        out.extend_from_slice(head);
        out.extend_from_slice(length.to_string().as_bytes());
        for part in ["\r\n\r\n", &before, filling, "\"}", meta, "}}"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Whether the body of an answer is the one to this call.
    pub(crate) fn check(&self, call: Call, body: &[u8], events: bool) -> anyhow::Result<()> {
        if !events {
            return self.check_message(call, body);
        }
        let lines = body.split(|byte| *byte == b'\n');
        let mut messages = lines.filter_map(|line| line.strip_prefix(b"data:"));
        // What else may stand on a call's stream comes before its answer.
        let last = messages
            .next_back()
            .context("an event stream without an event")?;
        self.check_message(call, last)
    }

    fn check_message(&self, call: Call, message: &[u8]) -> anyhow::Result<()> {
        let answer: Answer<'_> = serde_json::from_slice(message)
            .with_context(|| format!("no answer of a tool: {}", excerpt(message)))?;
        if let Some(error) = answer.error {
            bail!("error {}", excerpt(error.get().as_bytes()));
        }
        let id = answer.id.get();
        ensure!(id.parse() == Ok(call.id), "id {id}, expected {}", call.id);
        let result = answer.result.context("neither a result nor an error")?;
        let [item] = result.content.as_slice() else {
            bail!("{} items of content, expected 1", result.content.len());
        };
        let text = item.text.get();
        ensure!(
            self.is_text_of(call, text),
            "another call's text: {}",
            excerpt(text.as_bytes())
        );
        Ok(())
    }

    /// `json` is compared as it is written: nothing between the child and here has a reason to write it anew.
    fn is_text_of(&self, call: Call, json: &str) -> bool {
        let own = format!("\"call {}; ", call.serial);
        let Some(rest) = json.strip_prefix(&own) else {
            return false;
        };
        let rest = rest.strip_suffix('"').unwrap_or_default();
        match self.tool {
            // The child fills the text up to so many bytes; the quote in front is none of them.
            Tool::Payload => {
                let filling = self.bytes.saturating_sub(own.len() - 1);
                self.filling.get(..filling) == Some(rest)
            }
            Tool::Echo | Tool::Sleep | Tool::Announce | Tool::Crash => rest == self.filling,
        }
    }
}

/// The beginning of something that was not expected.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes));
    text.into_owned()
}
