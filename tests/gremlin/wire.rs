//! Bytes out: whole frames to stdout, noise to stderr.
//!
//! Failed writes are ignored: whoever reads may be gone, and then the end of stdin follows.

use std::io::Write as _;

/// Writes bytes to stdout as they are, in one go.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes one frame and its newline.
pub(crate) fn frame(frame: &str) {
    bytes(format!("{frame}\n").as_bytes());
}

/// The response frame for an id and a result, both as JSON text.
pub(crate) fn response(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// Answers a request with a result, given as JSON text.
pub(crate) fn reply(id: &str, result: &str) {
    frame(&response(id, result));
}

/// Answers a request with an error; `data` is JSON text.
pub(crate) fn refuse(id: &str, code: i64, message: &str, data: Option<&str>) {
    let message = serde_json::Value::from(message);
    let data = data
        .map(|data| format!(r#","data":{data}"#))
        .unwrap_or_default();
    frame(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}{data}}}}}"#
    ));
}

/// The frame of a notification; `params` is JSON text.
pub(crate) fn notification(method: &str, params: &str) -> String {
    let method = serde_json::Value::from(method);
    format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params}}}"#)
}

/// Sends a notification; `params` is JSON text.
pub(crate) fn notify(method: &str, params: &str) {
    frame(&notification(method, params));
}

/// Writes one line to stderr.
pub(crate) fn complain(line: &str) {
    let _ = std::io::stderr()
        .lock()
        .write_all(format!("gremlin: {line}\n").as_bytes());
}

/// The usual width of a line of noise.
pub(crate) const WIDTH: usize = 80;

/// Writes this many bytes to stderr, in lines of `width`, their ends included.
pub(crate) fn flood_stderr(bytes: usize, width: usize) {
    let line = [&vec![b'!'; width.saturating_sub(1)][..], b"\n"].concat();
    let mut err = std::io::stderr().lock();
    let mut left = bytes;
    while left > 0 {
        let part = left.min(line.len());
        let (part, _) = line.split_at(part);
        if err.write_all(part).is_err() {
            return;
        }
        left -= part.len();
    }
}
