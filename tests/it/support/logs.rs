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

    /// The events so far that name this server, with their fields on top.
    pub(crate) fn of_server(&self, server_id: &str) -> Vec<Value> {
        let lines = self.lines();
        let events = lines.iter().filter_map(|line| event(line));
        let named = events.filter(|event| event["server_id"] == server_id);
        named.collect()
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

/// How long after one event another one was logged, in milliseconds; less than a day.
pub(crate) fn millis_between(earlier: &Value, later: &Value) -> u64 {
    const DAY: u64 = 24 * 3600 * 1000;
    let of_day = |event: &Value| -> u64 {
        // 2026-11-21T10:00:00.000Z
        let time = event["time"].as_str().expect("a time");
        let numbers = time.split(['T', ':', '.', 'Z']).skip(1);
        let numbers: Vec<u64> = numbers.map_while(|digits| digits.parse().ok()).collect();
        let [hours, minutes, seconds, millis] = numbers[..] else {
            panic!("{time}, expected RFC 3339 with milliseconds")
        };
        ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
    };
    (of_day(later) + DAY - of_day(earlier)) % DAY
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

#[test]
fn the_time_between_two_log_lines_crosses_midnight() {
    let at = |time: &str| serde_json::json!({ "time": time });
    let (late, early) = (
        at("2026-11-30T23:59:59.990Z"),
        at("2026-12-01T00:00:01.005Z"),
    );
    assert_eq!(millis_between(&late, &early), 1015);
    assert_eq!(millis_between(&early, &early), 0);
}
