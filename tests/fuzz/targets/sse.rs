//! A text as a server-sent event, read back as the HTML standard says (9.2.6): the same text, one event, and
//! nothing in the text that a reader takes for anything else.
//!
//! Input: the data of one event.

use host_mcp_gateway::http::sse_event;

use super::reference;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let encoded = sse_event(data);
    let encoded = std::str::from_utf8(&encoded).expect("text stays text");
    let normal = text.replace("\r\n", "\n").replace('\r', "\n");
    assert_eq!(decode(encoded), [normal.as_str()]);
    if !text.contains(['\r', '\n']) {
        assert_eq!(encoded, format!("data: {text}\n\n"), "one line");
    }
    // JSON has line breaks between its tokens only, where they say nothing.
    if let Ok(message) = reference::read(data) {
        let read = reference::read(normal.as_bytes()).expect("still JSON");
        assert_eq!(read.minified(normal.as_bytes()), message.minified(data));
    }
    // Another event before and after it is another event.
    let three = [
        &sse_event(b"before")[..],
        encoded.as_bytes(),
        &sse_event(b"after"),
    ]
    .concat();
    let three = std::str::from_utf8(&three).expect("text stays text");
    assert_eq!(decode(three), ["before", &normal, "after"]);
}

/// The data of every event that a reader dispatches; any other field but `data` is one too many.
fn decode(stream: &str) -> Vec<String> {
    let mut events = Vec::new();
    let mut data = String::new();
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    for line in stream.split_terminator('\n') {
        if line.is_empty() {
            // The last line feed of the data is taken away.
            if data.pop().is_some() {
                events.push(std::mem::take(&mut data));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        assert_eq!(field, "data");
        data.push_str(value.strip_prefix(' ').unwrap_or(value));
        data.push('\n');
    }
    assert!(data.is_empty(), "an event without its end");
    events
}
