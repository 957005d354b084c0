//! The one way to stdout: whole messages, one line each, in the order they were sent.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// A shared writer of messages; cheap to clone.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Sink>>);

struct Sink {
    writer: Box<dyn Write + Send>,
    failure: Option<io::ErrorKind>,
}

impl Output {
    pub(super) fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Sink {
            writer: Box::new(writer),
            failure: None,
        })))
    }

    /// Writes one message as one line. After a failure nothing more is written; see
    /// [`health`](Self::health).
    pub(super) fn send(&self, message: &Value) {
        // serde_json writes no line break of its own and escapes those inside strings.
        let line = format!("{message}\n");
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sink.failure.is_none() {
            let written = sink
                .writer
                .write_all(line.as_bytes())
                .and_then(|()| sink.writer.flush());
            sink.failure = written.err().map(|error| error.kind());
        }
    }

    /// The failure of an earlier write, if there was one.
    pub(super) fn health(&self) -> io::Result<()> {
        let sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sink.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}
