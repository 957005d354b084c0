//! A reader of event streams (HTML standard, 9.2.6), strict where a gateway could get it wrong.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// What arrives on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A line that starts with a colon, without it and one space.
    Comment(String),
    /// A block of fields.
    Event(Event),
}

/// One event; a field that was not sent is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) data: Option<String>,
}

impl Event {
    /// The data as JSON.
    pub(crate) fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_else(|fault| panic!("{fault}: {data:?}"))
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Sse {
    response: Response,
    pub(crate) headers: HeaderMap,
    parser: Parser,
}

impl Sse {
    /// Reads an answer; panics unless it is an event stream.
    pub(crate) fn new(response: Response) -> Self {
        let headers = response.headers().clone();
        let kind = headers
            .get("content-type")
            .map(|kind| kind.to_str().unwrap());
        assert_eq!(response.status().as_u16(), 200, "{headers:?}");
        assert!(
            kind.is_some_and(|kind| kind.starts_with("text/event-stream")),
            "{headers:?}"
        );
        Self {
            response,
            headers,
            parser: Parser::default(),
        }
    }

    /// The next comment or event; `None` at the end of the stream. Panics when the deadline passes.
    pub(crate) async fn next(&mut self, deadline: Duration) -> Option<Item> {
        let read = async {
            loop {
                if let Some(item) = self.parser.ready.pop_front() {
                    return Some(item);
                }
                match self.response.chunk().await {
                    Ok(Some(bytes)) => self.parser.feed(&bytes),
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        let item = tokio::time::timeout(deadline, read).await;
        item.unwrap_or_else(|_| panic!("nothing on the stream for {deadline:?}"))
    }

    /// The next event, comments skipped; panics at the end of the stream.
    pub(crate) async fn event(&mut self, deadline: Duration) -> Event {
        loop {
            match self.next(deadline).await {
                Some(Item::Event(event)) => return event,
                Some(Item::Comment(_)) => {}
                None => panic!("the stream ended"),
            }
        }
    }

    /// All messages up to the end of the stream.
    pub(crate) async fn messages(&mut self, deadline: Duration) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(item) = self.next(deadline).await {
            if let Item::Event(event) = item
                && event.data.as_deref().is_some_and(|data| !data.is_empty())
            {
                messages.push(event.json());
            }
        }
        messages
    }

    /// The next message: events without data (priming) and comments are skipped.
    pub(crate) async fn message(&mut self, deadline: Duration) -> Value {
        loop {
            let event = self.event(deadline).await;
            if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                return event.json();
            }
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    event: Option<Event>,
    ready: VecDeque<Item>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8(line).expect("an event stream in UTF-8");
                self.take_line(line.strip_suffix('\r').unwrap_or(&line));
            } else {
                self.line.push(byte);
            }
        }
    }

    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            self.ready.extend(self.event.take().map(Item::Event));
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        if name.is_empty() {
            self.ready.push_back(Item::Comment(value));
            return;
        }
        let event = self.event.get_or_insert_default();
        match name {
            "id" => event.id = Some(value),
            "event" => event.name = Some(value),
            "retry" => event.retry = Some(value.parse().expect("retry in milliseconds")),
            "data" => {
                let data = event.data.take();
                event.data = Some(data.map_or(value.clone(), |data| format!("{data}\n{value}")));
            }
            _ => panic!("an unknown field on the stream: {line:?}"),
        }
    }
}

#[test]
fn a_stream_is_read_whatever_its_chunks() {
    let text =
        ": ok\n\nid: 1\nretry: 3000\ndata:\n\nevent: message\ndata: {\"a\":\ndata: 1}\r\n\r\n";
    let event = |id: Option<&str>, name: Option<&str>, retry, data: &str| {
        Item::Event(Event {
            id: id.map(str::to_owned),
            name: name.map(str::to_owned),
            retry,
            data: Some(data.to_owned()),
        })
    };
    let expected = [
        Item::Comment("ok".to_owned()),
        event(Some("1"), None, Some(3000), ""),
        event(None, Some("message"), None, "{\"a\":\n1}"),
    ];
    for size in 1..=text.len() {
        let mut parser = Parser::default();
        text.as_bytes()
            .chunks(size)
            .for_each(|chunk| parser.feed(chunk));
        assert_eq!(Vec::from(parser.ready), expected, "in chunks of {size}");
    }
}
