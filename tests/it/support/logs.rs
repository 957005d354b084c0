//! What a gateway wrote: its log on stderr, one JSON object a line, and whatever came on stdout.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::wait::wait_for;

/// The lines of one stream so far; clones see the same lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    lines: Arc<Mutex<Vec<String>>>,
    complete: Arc<AtomicBool>,
}

impl Logs {
    /// Collects the lines of a pipe on a thread that ends with the pipe.
    pub(super) fn collect(pipe: impl Read + Send + 'static) -> Self {
        let logs = Self::default();
        let sink = logs.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                sink.lines.lock().unwrap().push(line);
            }
            sink.complete.store(true, Ordering::Release);
        });
        logs
    }

    /// Whether the pipe has ended, and so nothing more will come.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Everything so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Everything so far, as one text.
    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The events so far whose message is this, with their fields on top.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let lines = self.lines();
        let events = lines.iter().filter_map(|line| event(line));
        events.filter(|event| event["message"] == message).collect()
    }

    /// Waits for the first event with this message.
    pub(crate) async fn event(&self, message: &str, deadline: Duration) -> Value {
        let what = format!("the log message {message:?}");
        wait_for(&what, deadline, async || {
            self.events(message).into_iter().next()
        })
        .await
    }
}

/// A log line as one flat object. Fields may stand on top or below `fields`.
fn event(line: &str) -> Option<Value> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    let members = line.as_object_mut()?;
    if let Some(Value::Object(fields)) = members.remove("fields") {
        members.extend(fields);
    }
    Some(line)
}

#[test]
fn fields_of_a_log_line_are_found_on_top_and_below() {
    let nested =
        event(r#"{"level":"INFO","fields":{"message":"listening","address":"a:1"}}"#).unwrap();
    let flat = event(r#"{"level":"INFO","message":"listening","address":"a:1"}"#).unwrap();
    assert_eq!(nested, flat);
    assert_eq!(flat["address"], "a:1");
    assert_eq!(event("not json"), None);
}
