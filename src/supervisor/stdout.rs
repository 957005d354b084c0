//! What a server writes to its stdout that is no message, for operators.

mod remedy;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::diagnosis::shortened;
use super::echo::{is_echo, is_of_clients};
use super::stderr::{StderrRing, escape_controls};
use crate::protocol::{Deviation, Misframed};
use remedy::Remedy;

/// Lines that are kept.
const KEPT_LINES: usize = 3;
/// Characters of one line that are kept.
const MAX_LINE: usize = 200;
/// The mistake of a command that is hardly an MCP server.
const ECHOES: &str = "echoes its input: what it writes to stdout is what the gateway has sent it; look at \"command\" and \
                      \"args\", which must start an MCP server in its stdio mode";
/// The same of one that has words of its own.
const ALSO_ECHOES: &str = "it also writes back what the gateway has sent it";

/// The mistakes of the present or last life of a server.
#[derive(Debug, Default)]
pub(super) struct StdoutFault {
    mistakes: Mutex<Mistakes>,
    /// Where operators read all that a server says.
    log: Arc<StderrRing>,
}

#[derive(Debug, Default)]
struct Mistakes {
    /// The first known one.
    misframed: Option<Misframed>,
    /// Those that did no harm, each once.
    tolerated: Vec<Deviation>,
    /// The newest lines that are no messages, escaped, oldest first.
    lines: VecDeque<String>,
    /// The line that was begun last, as long as no message came.
    begun: String,
    /// It writes back what the gateway has sent it.
    echoes: bool,
    /// The server is ready: what it writes may be of its clients.
    serves: bool,
    /// What is to be done, by the most telling of the lines that are known.
    remedy: Option<Remedy>,
}

impl StdoutFault {
    /// The mistakes of a server whose other words are kept there.
    pub(super) fn of(log: Arc<StderrRing>) -> Self {
        Self {
            mistakes: Mutex::default(),
            log,
        }
    }

    fn mistakes(&self) -> MutexGuard<'_, Mistakes> {
        self.mistakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins: what the one before it did wrong is not its own.
    pub(super) fn clear(&self) {
        *self.mistakes() = Mistakes::default();
    }

    /// The server became ready in this life.
    pub(super) fn serve(&self) {
        let mut mistakes = self.mistakes();
        mistakes.serves = true;
        mistakes.begun.clear();
    }

    /// Takes a line that is no message; gives the mistake where this is the first known one of its life.
    pub(super) fn look_at(&self, line: &[u8]) -> Option<Misframed> {
        let mut mistakes = self.mistakes();
        mistakes.begun.clear();
        let mut is_echo = false;
        // Parts of a message of one client are not for the others, who may read of the server as well.
        if !(mistakes.serves && is_of_json(line)) {
            is_echo = mistakes.add(line);
            self.log.take_stdout(line);
        }
        if is_echo || mistakes.misframed.is_some() {
            return None;
        }
        mistakes.misframed = Misframed::of(line);
        mistakes.misframed
    }

    /// Notes that a request of the server is one of the gateway's own that it has written back, unless the server is
    /// ready: `true` where it is one.
    pub(super) fn note_echo(&self, method: &str) -> bool {
        let mut mistakes = self.mistakes();
        let is_echo = !mistakes.serves && is_of_clients(method);
        if is_echo {
            mistakes.echoes = true;
            mistakes.begun.clear();
        }
        is_echo
    }

    /// Takes what is there of a line that is not ended: a question on a terminal has no end.
    pub(super) fn begin(&self, line: &[u8]) {
        self.mistakes().begun = excerpt(line);
    }

    /// The stream ended within this line.
    pub(super) fn end(&self, line: &[u8]) {
        if !line.is_empty() {
            self.look_at(line);
        }
    }

    /// Notes a deviation; `true` where it is the first of its kind in this life.
    pub(super) fn tolerate(&self, deviation: Deviation) -> bool {
        let mut mistakes = self.mistakes();
        let first = !mistakes.tolerated.contains(&deviation);
        if first {
            mistakes.tolerated.push(deviation);
        }
        first
    }

    /// What is wrong, as an operator is told of it after "the server".
    pub(super) fn told(&self) -> Option<String> {
        self.mistakes().told()
    }

    /// The same, as it is told beside the failure of a start.
    pub(super) fn remark(&self) -> Option<String> {
        self.told().map(|told| format!("it {told}"))
    }
}

impl Mistakes {
    /// Keeps a line; `true` where it is a message of the gateway's, which is only noted.
    fn add(&mut self, line: &[u8]) -> bool {
        if is_echo(&String::from_utf8_lossy(line)) {
            self.echoes = true;
            return true;
        }
        let line = excerpt(line);
        if line.is_empty() {
            return false;
        }
        self.remedy = remedy::more_telling(self.remedy, remedy::of(&line));
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        false
    }

    /// All that it said counts before what it wrote back: a server may log what it reads, and then why it ends.
    fn told(&self) -> Option<String> {
        match (self.words(), self.echoes) {
            (None, true) => Some(ECHOES.to_owned()),
            (Some(words), true) => Some(format!("{words}; {ALSO_ECHOES}")),
            (words, false) => words,
        }
    }

    /// What it wrote of its own.
    fn words(&self) -> Option<String> {
        let begun = Some(&self.begun).filter(|begun| !begun.is_empty());
        let lines = self.lines.iter().chain(begun);
        let lines: Vec<_> = lines.map(|line| format!("\"{line}\"")).collect();
        let lines = lines.join(", ");
        match (self.misframed, lines.is_empty()) {
            (Some(mistake), true) => return Some(mistake.as_str().to_owned()),
            (Some(mistake), false) => {
                return Some(format!("{}; it wrote {lines}", mistake.as_str()));
            }
            (None, true) => return None,
            (None, false) => {}
        }
        let remedy = remedy::more_telling(self.remedy, remedy::of(&self.begun));
        let remedy = remedy.map(|remedy| format!("; {}", remedy.text));
        Some(format!(
            "wrote to stdout what is no message: {lines}{}",
            remedy.unwrap_or_default()
        ))
    }
}

/// Whether a line looks like a part of a message.
fn is_of_json(line: &[u8]) -> bool {
    let first = line.trim_ascii().first();
    matches!(first, Some(b'{' | b'}' | b'[' | b']' | b'"' | b','))
}

fn excerpt(line: &[u8]) -> String {
    // A character takes four bytes at most.
    let line = line.get(..4 * MAX_LINE).unwrap_or(line);
    let line = String::from_utf8_lossy(line);
    shortened(&escape_controls(line.trim()), MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RB03: the newest lines, in bounds and harmless, and what to do about one that is known.
    #[test]
    fn the_newest_lines_are_told_with_the_remedy_of_a_known_one() {
        let fault = StdoutFault::default();
        assert_eq!(fault.told(), None);
        fault.look_at(b"");
        assert_eq!(fault.told(), None, "a blank line says nothing");
        fault.look_at(b"Server listening on http://127.0.0.1:3000");
        for n in 0..4 {
            fault.look_at(format!("\x1b[1mline {n}\0").as_bytes());
        }
        assert_eq!(
            fault.remark().unwrap(),
            "it wrote to stdout what is no message: \"\\u{1b}[1mline 1\\u{0}\", \"\\u{1b}[1mline 2\\u{0}\", \
             \"\\u{1b}[1mline 3\\u{0}\"; it serves HTTP: start it in its stdio mode, often \
             \"args\": [\"--transport\", \"stdio\"] or [\"stdio\"]"
        );
        fault.look_at("ä".repeat(10_000).as_bytes());
        assert!(fault.told().unwrap().chars().count() < 500);
        fault.clear();
        assert_eq!(fault.told(), None);
        assert_eq!(fault.log.all(1)[0].text.len(), "[stdout] ".len() + 2048);
    }

    /// RB03: a question has no line end.
    #[test]
    fn a_question_without_a_line_end_is_told() {
        let fault = StdoutFault::default();
        fault.look_at(b"Need to install the following packages:");
        fault.begin(b"Ok to pro");
        fault.begin(b"Ok to proceed? (y) ");
        let told = fault.told().unwrap();
        assert!(told.contains("\"Ok to proceed? (y)\""), "{told}");
        assert!(told.contains("\"-y\""), "{told}");
    }

    /// RB03: what the gateway has sent is not quoted as the words of the server.
    #[test]
    fn an_echo_of_the_input_is_told_as_one() {
        let fault = StdoutFault::default();
        fault.look_at(b"{\"id\":1,\"method\":\"initialize\",\"params\":{}}\r");
        let told = fault.told().unwrap();
        assert!(told.starts_with("echoes its input"), "{told}");
        assert!(!told.contains("params"), "{told}");
        fault.clear();
        assert!(!fault.note_echo("roots/list"));
        assert_eq!(fault.told(), None);
        assert!(fault.note_echo("initialize"));
        assert!(fault.told().unwrap().starts_with("echoes its input"));
        fault.clear();
        fault.serve();
        assert!(!fault.note_echo("initialize"), "of a server that is ready");
    }

    /// RB03: a server that logs what it reads to stdout, and then why it ends, has said why.
    #[test]
    fn the_words_of_a_server_are_told_whatever_it_quotes_or_writes_back() {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        for quote in ["DEBUG: received ", "[INFO] ", ""] {
            let fault = StdoutFault::default();
            fault.look_at(format!("{quote}{request}").as_bytes());
            fault.look_at(b"FATAL: environment variable API_KEY is not set");
            let told = fault.told().unwrap();
            assert!(told.contains("variable API_KEY is not set"), "{told}");
            assert!(told.contains("set it in \"env\""), "{told}");
            assert!(!told.contains("echoes its input"), "{told}");
            assert_eq!(told.contains("also writes back"), quote.is_empty());
        }
    }

    #[test]
    fn parts_of_messages_are_not_kept_once_the_server_has_clients() {
        let fault = StdoutFault::default();
        fault.serve();
        fault.look_at(b"  \"text\": \"of a client\"");
        assert_eq!(fault.told(), None);
        assert_eq!(
            fault.look_at(br#"{"of": "a client","#),
            Some(Misframed::ManyLines)
        );
        assert_eq!(fault.told().unwrap(), Misframed::ManyLines.as_str());
        assert!(fault.log.all(9).is_empty());
    }

    #[test]
    fn a_known_mistake_of_framing_is_told_once_and_with_its_lines() {
        let fault = StdoutFault::default();
        let line = b"Content-Length: 42\r";
        assert_eq!(fault.look_at(line), Some(Misframed::Headers));
        assert_eq!(fault.look_at(line), None);
        let told = fault.told().unwrap();
        assert!(told.starts_with(Misframed::Headers.as_str()), "{told}");
        assert!(told.contains("\"Content-Length: 42\""), "{told}");
    }
}
