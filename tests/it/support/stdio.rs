//! A stdio server spoken to without a gateway: how the fixtures are proven, and what fidelity is compared with.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::journal::Journal;
use super::places::{self, MARKER};
use super::process::{Process, kill_marked};
use super::wait::blocks_until;

/// How long anything here may take: ample for a loaded machine, short for a person.
const PATIENCE: Duration = Duration::from_secs(30);

/// A started server. Dropping it kills it and whatever it started.
pub(crate) struct StdioServer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    next_id: u64,
    marker: String,
    folder: tempfile::TempDir,
}

impl StdioServer {
    /// Starts a gremlin with these orders and a journal.
    pub(crate) fn gremlin(orders: &Value) -> Self {
        let orders = [("GREMLIN", orders.to_string())];
        Self::start(&places::gremlin(), &[], &orders)
    }

    /// Starts a program with these arguments and additional variables.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        variables: &[(&str, String)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let marker = places::new_marker();
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().cloned())
            .env("GREMLIN_JOURNAL", folder.path().join("journal"))
            .env(MARKER, &marker)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|fault| panic!("start {}: {fault}", program.display()));
        Self {
            stdin: child.stdin.take(),
            lines: read_lines(child.stdout.take().unwrap()),
            stderr: read_lines(child.stderr.take().unwrap()),
            child,
            next_id: 1,
            marker,
            folder,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server read so far, if it is a gremlin.
    pub(crate) fn journal(&self) -> Journal {
        Journal::new(self.journal_path())
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// Writes bytes to stdin as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send_bytes(bytes)
            .expect("the server reads its stdin");
    }

    /// Writes bytes to stdin and says what became of that.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).and_then(|()| stdin.flush())
    }

    /// Writes one message as one line.
    pub(crate) fn send(&mut self, message: &Value) {
        self.send_bytes(format!("{message}\n").as_bytes());
    }

    /// Sends a request and gives its id.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Sends a request and gives the next message, which must be its answer.
    pub(crate) fn request(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.next();
        assert_eq!(answer["id"], id, "the answer to {method}: {answer}");
        answer
    }

    /// Sends a request and gives its answer, skipping messages of the server's own.
    pub(crate) fn request_among_others(&mut self, method: &str, params: &Value) -> Value {
        let id = self.ask(method, params);
        loop {
            let message = self.next();
            if message.get("method").is_none() && message["id"] == id {
                return message;
            }
        }
    }

    /// Asks a gremlin for a deed and gives the id of the request.
    pub(crate) fn order(&mut self, arguments: &Value) -> u64 {
        self.ask(
            "tools/call",
            &json!({"name": "gremlin", "arguments": arguments}),
        )
    }

    /// Asks a gremlin for a deed and gives the text it answers with; nothing else may come before.
    pub(crate) fn deed(&mut self, arguments: &Value) -> String {
        let id = self.order(arguments);
        let answer = self.next();
        assert_eq!(answer["id"], id, "the answer to {arguments}: {answer}");
        text_of(&answer)
    }

    /// The legacy handshake; gives the result of `initialize`.
    pub(crate) fn initialize(&mut self) -> Value {
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "tests", "version": "1"},
        });
        let answer = self.request("initialize", &params);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer["result"].clone()
    }

    /// The next line of stdout; `None` when stdout ended.
    pub(crate) fn next_line(&self) -> Option<Vec<u8>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// The next message of stdout.
    pub(crate) fn next(&mut self) -> Value {
        let Some(line) = self.next_line() else {
            let complaints: Vec<_> = std::iter::from_fn(|| self.next_complaint()).collect();
            let ended = self.child.try_wait();
            panic!(
                "stdout ended ({ended:?}); on stderr: {}",
                complaints.join("\n")
            );
        };
        serde_json::from_slice(&line)
            .unwrap_or_else(|fault| panic!("{fault}: {}", String::from_utf8_lossy(&line)))
    }

    /// The next line of stderr; `None` when stderr ended.
    pub(crate) fn next_complaint(&self) -> Option<String> {
        match self.stderr.recv_timeout(PATIENCE) {
            Ok(line) => Some(String::from_utf8_lossy(&line).into_owned()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line on stderr within {PATIENCE:?}"),
        }
    }

    /// Closes stdin.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        blocks_until(PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("still running after {PATIENCE:?}"))
    }

    /// Whether it is running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it started and is still there, itself included.
    pub(crate) fn family(&self) -> Vec<Process> {
        super::process::marked(&self.marker)
    }
}

impl Drop for StdioServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        kill_marked(&self.marker);
    }
}

/// The first text of a tool result.
pub(crate) fn text_of(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {answer}"))
        .to_owned()
}

/// Reads lines on a thread of its own until the end; a last line without a newline counts.
fn read_lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match reader.by_ref().read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
