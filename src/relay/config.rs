//! What the relay must know: the bounds of event streams and sessions.

use std::time::Duration;

/// The relay, every value final and checked.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Events that may wait for a slow reader of one stream.
    pub stream_queue_events: usize,
    /// Bytes that may wait for a slow reader of one stream.
    pub stream_queue_bytes: usize,
    /// Open event streams of one token.
    pub max_streams_per_token: usize,
    /// From one keep-alive comment of an event stream to the next.
    pub keep_alive: Duration,
}
