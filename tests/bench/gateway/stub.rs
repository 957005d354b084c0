//! The child: a stdio MCP server that costs next to nothing, so that what lies before it is measured.
//!
//! One thread; each line is gone through once, what a tool gives back is copied as it came in, and the answers to
//! everything that one read brought leave in one write. It is of the legacy era, or with `--modern` of 2026-07-28.
//!
//! | tool | arguments | gives |
//! | --- | --- | --- |
//! | `echo` | `text` | the text |
//! | `payload` | `tag`, `bytes` | the tag, filled up with `x` to so many bytes |
//! | `sleep` | `ms`, `text` | the text, later; others may overtake it |
//! | `announce` | `text` | `notifications/tools/list_changed`, then the text |
//! | `crash` | | nothing: the process ends |

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

/// Room for one read.
const READ_SIZE: usize = 256 * 1024;
/// So many bytes of answers are written before more lines are looked at.
const WRITE_AT: usize = 1024 * 1024;
/// The longest answer of `payload`.
const MOST_BYTES: usize = 64 * 1024 * 1024;
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

const TOOLS: &str = concat!(
    r#"[{"name":"echo","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}},"#,
    r#"{"name":"payload","inputSchema":{"type":"object","properties":{"tag":{"type":"string"},"bytes":{"type":"integer"}}}},"#,
    r#"{"name":"sleep","inputSchema":{"type":"object","properties":{"ms":{"type":"integer"},"text":{"type":"string"}}}},"#,
    r#"{"name":"announce","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}},"#,
    r#"{"name":"crash","inputSchema":{"type":"object"}}]"#,
);

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
    #[serde(borrow, rename = "protocolVersion")]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "requestId")]
    cancelled: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    tag: Option<&'a RawValue>,
    bytes: Option<usize>,
    ms: Option<u64>,
}

/// An answer that is not due yet; the heap orders by the first two.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Sleeper {
    due: Instant,
    arrival: u64,
    id: Box<str>,
    text: Box<str>,
}

struct Stub {
    modern: bool,
    out: Vec<u8>,
    sleepers: BinaryHeap<Reverse<Sleeper>>,
    arrivals: u64,
}

/// Serves stdin and stdout until stdin ends.
pub(crate) fn run(modern: bool) -> io::Result<()> {
    // Files, not std's handles: those have buffers and locks of their own.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut stub = Stub {
        modern,
        out: Vec::new(),
        sleepers: BinaryHeap::new(),
        arrivals: 0,
    };
    let mut buffer = vec![0; READ_SIZE];
    // Of the buffer: bytes that were read, and those of them that hold no newline.
    let mut filled = 0;
    loop {
        if stub.sleepers.is_empty() || readable(&input, stub.patience())? {
            if buffer.len() - filled < READ_SIZE / 2 {
                buffer.resize(buffer.len() * 2, 0);
            }
            let fresh = filled;
            filled += match input.read(buffer.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut start = 0;
            let read = buffer.get(..filled).unwrap_or_default();
            for end in memchr::memchr_iter(b'\n', read.get(fresh..).unwrap_or_default()) {
                let end = fresh + end;
                stub.line(read.get(start..end).unwrap_or_default());
                start = end + 1;
                if stub.out.len() >= WRITE_AT {
                    stub.write(&mut output)?;
                }
            }
            buffer.copy_within(start..filled, 0);
            filled -= start;
        }
        stub.wake();
        stub.write(&mut output)?;
    }
}

/// Whether there is something to read before so long; at its end there is.
fn readable(input: &File, patience: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(input, PollFlags::IN)];
    let timeout = Timespec::try_from(patience).unwrap_or_default();
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Stub {
    fn line(&mut self, line: &[u8]) {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(line) else {
            return;
        };
        let method = message.method.as_deref().unwrap_or_default();
        let params = message.params;
        let Some(id) = message.id.map(RawValue::get) else {
            if let ("notifications/cancelled", Some(id)) = (method, params.cancelled) {
                self.sleepers.retain(|sleeper| *sleeper.0.id != *id.get());
            }
            return;
        };
        match method {
            "tools/call" => self.call(id, &params),
            "tools/list" if self.modern => {
                let listed = [
                    "{\"tools\":",
                    TOOLS,
                    ",\"ttlMs\":0,\"cacheScope\":\"private\",",
                    COMPLETE,
                    "}",
                ];
                self.result(id, &listed.concat());
            }
            "tools/list" => self.result(id, &["{\"tools\":", TOOLS, "}"].concat()),
            "ping" => self.result(id, "{}"),
            "server/discover" if self.modern => self.result(id, DISCOVERED),
            "initialize" if !self.modern => {
                let asked = params.version.as_deref().unwrap_or_default();
                let known = LEGACY.into_iter().find(|version| *version == asked);
                let shaken = [
                    "{\"protocolVersion\":\"",
                    known.unwrap_or("2025-11-25"),
                    SHAKEN,
                ];
                self.result(id, &shaken.concat());
            }
            _ => self.error(id, "-32601", "unknown method"),
        }
    }

    fn call(&mut self, id: &str, params: &Params<'_>) {
        let Params {
            name, arguments, ..
        } = params;
        let text = arguments.text.map_or("\"\"", RawValue::get);
        match name.as_deref().unwrap_or_default() {
            "echo" => self.text(id, text),
            "payload" => {
                let tag = arguments.tag.map_or("\"\"", RawValue::get);
                self.payload(id, tag, arguments.bytes.unwrap_or(0));
            }
            "sleep" => {
                self.arrivals += 1;
                self.sleepers.push(Reverse(Sleeper {
                    due: Instant::now() + Duration::from_millis(arguments.ms.unwrap_or(0)),
                    arrival: self.arrivals,
                    id: id.into(),
                    text: text.into(),
                }));
            }
            "announce" => {
                self.put(&[
                    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
                    "\n",
                ]);
                self.text(id, text);
            }
            "crash" => std::process::exit(70),
            _ => self.error(id, "-32602", "unknown tool"),
        }
    }

    /// `text` is a JSON string with its quotes: it goes out as it came in.
    fn text(&mut self, id: &str, text: &str) {
        self.put(&[HEAD, id, TEXT, text]);
        self.close();
    }

    fn payload(&mut self, id: &str, tag: &str, bytes: usize) {
        // The closing quote comes after the filling.
        let tag = tag.strip_suffix('"').unwrap_or(tag);
        let filling = bytes.min(MOST_BYTES).saturating_sub(tag.len() - 1);
        self.put(&[HEAD, id, TEXT, tag]);
        self.out.resize(self.out.len() + filling, b'x');
        self.put(&["\""]);
        self.close();
    }

    fn close(&mut self) {
        let extra = if self.modern {
            [",", COMPLETE]
        } else {
            ["", ""]
        };
        self.put(&["}]", extra.concat().as_str(), "}}\n"]);
    }

    fn result(&mut self, id: &str, result: &str) {
        self.put(&[HEAD, id, ",\"result\":", result, "}\n"]);
    }

    fn error(&mut self, id: &str, code: &str, message: &str) {
        self.put(&[
            HEAD,
            id,
            ",\"error\":{\"code\":",
            code,
            ",\"message\":\"",
            message,
            "\"}}\n",
        ]);
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    /// Until the next sleeper is due.
    fn patience(&self) -> Duration {
        let next = self.sleepers.peek();
        next.map_or(Duration::ZERO, |next| {
            next.0.due.saturating_duration_since(Instant::now())
        })
    }

    fn wake(&mut self) {
        while self
            .sleepers
            .peek()
            .is_some_and(|next| next.0.due <= Instant::now())
        {
            if let Some(Reverse(sleeper)) = self.sleepers.pop() {
                self.text(&sleeper.id, &sleeper.text);
            }
        }
    }

    fn write(&mut self, output: &mut File) -> io::Result<()> {
        output.write_all(&self.out)?;
        self.out.clear();
        self.out.shrink_to(2 * WRITE_AT);
        Ok(())
    }
}

const HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;
const TEXT: &str = r#","result":{"content":[{"type":"text","text":"#;
const COMPLETE: &str = r#""resultType":"complete""#;
const SHAKEN: &str = r#"","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"stub","version":"1"}}"#;
const DISCOVERED: &str = concat!(
    r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"#,
    r#""ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"stub","version":"1"}}}"#,
);
