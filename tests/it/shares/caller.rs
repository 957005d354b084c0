//! A client that measures: one connection, one thread, no event loop that others could keep from it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::gateway::{ALICE, Gateway};

/// No call takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The times of some calls, in their order, and those that were not answered as they should be.
#[derive(Debug, Default)]
pub(super) struct Calls {
    times: Vec<Duration>,
    pub(super) failed: Vec<String>,
}

impl Calls {
    /// The time that so many percent of the calls did not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times[at]
    }
}

/// Calls a gremlin with the token of [`Gateway::alice`] for so long, one call after the other.
pub(super) fn measure(gateway: &Gateway, server: &str, time: Duration) -> Calls {
    let mut socket = TcpStream::connect(gateway.address()).expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let params = json!({"name": "echo", "arguments": {"text": "here"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let body = body.to_string();
    let request = format!(
        "POST /{server}/rpc HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        gateway.address(),
        ALICE,
        body.len()
    );
    let mut calls = Calls::default();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let began = Instant::now();
        socket.write_all(request.as_bytes()).expect("a request");
        let answer = read_answer(&mut socket);
        calls.times.push(began.elapsed());
        if !(answer.starts_with("HTTP/1.1 200") && answer.contains("here")) {
            calls.failed.push(answer);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    calls.times.sort_unstable();
    calls
}

/// The head and the body of the next answer.
fn read_answer(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lengths = head.lines().filter_map(|line| line.split_once(": "));
            let mut lengths =
                lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = lengths.next().and_then(|(_, length)| length.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        match socket.read(&mut chunk) {
            Ok(0) => panic!("closed after {text}"),
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) => panic!("{error} after {text}"),
        }
    }
}
