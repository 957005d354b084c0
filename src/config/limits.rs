//! `limits`: every bound and deadline that is not named elsewhere, for all servers and for one.

use super::reader::Field;
use super::section::section;
use super::values::{Count, Memory, Millis};
use crate::memory_budget::default_limit;
use crate::{http, relay};

section! {
    /// Bounds and deadlines. 0 never means "unlimited".
    Limits {
        /// The longest request body, in bytes.
        max_body_bytes: Count = 4_194_304_u64,
        /// The longest line that is taken from a server, in bytes.
        max_line_bytes: Count = 16_777_216_u64,
        /// Requests to one server that are written and not yet answered.
        max_in_flight: Count = 512_u64,
        /// Requests to one server that are accepted and wait for their turn.
        max_queue: Count = 512_u64,
        /// Bytes of what is accepted for one server and waits for its turn.
        max_queue_bytes: Count = 67_108_864_u64,
        /// Requests of one token that are under way.
        max_in_flight_per_token: Count = 256_u64,
        /// How long a call that waits for its client's input keeps its turn, with `serialize`, while others wait for theirs.
        input_wait_ms: Millis = 60_000_u64,
        /// How long a request is held while its server is restarted.
        hold_ms: Millis = 5_000_u64,
        /// Open connections.
        max_connections: Count = 1024_u64,
        /// Open connections from one address.
        max_connections_per_ip: Count = 256_u64,
        /// From accepting a connection to its first byte; with TLS, to the end of its handshake, and again from there.
        first_byte_ms: Millis = 10_000_u64,
        /// From the first byte to the end of the headers.
        headers_ms: Millis = 10_000_u64,
        /// From the end of the headers to the end of the body.
        body_ms: Millis = 30_000_u64,
        /// How long a connection may stay open without a request.
        idle_ms: Millis = 75_000_u64,
        /// How long requests under way may take to end when a server stops, and the whole stop of the gateway.
        drain_ms: Millis = 9_000_u64,
        /// How long a server may leave its input unread before it is given up.
        stdin_stall_ms: Millis = 10_000_u64,
        /// From SIGTERM to SIGKILL when a server is stopped.
        term_grace_ms: Millis = 5_000_u64,
        /// From one probe of an idle server to the next.
        probe_interval_ms: Millis = 30_000_u64,
        /// How long a probe may stay unanswered.
        probe_timeout_ms: Millis = 10_000_u64,
        /// After how many missed probes in a row a server is restarted.
        probe_misses: Count = 3_u64,
        /// How long a server that was given up is left alone before the next try.
        failed_retry_ms: Millis = 300_000_u64,
        /// How long a new server may leave `server/discover` unanswered before it is taken for one of an older revision.
        era_probe_ms: Millis = 3_000_u64,
        /// Processes of one server with `instance` `session` or `client`.
        max_instances: Count = 64_u64,
        /// How long such a process that nobody uses is kept.
        instance_idle_ms: Millis = 600_000_u64,
        /// How long a session may stay without a request and without a stream.
        session_idle_ms: Millis = 600_000_u64,
        /// Sessions of one token.
        max_sessions_per_token: Count = 1024_u64,
        /// Open event streams of one token.
        max_streams_per_token: Count = 1024_u64,
        /// Events that may wait for a slow reader of one stream.
        stream_queue_events: Count = 256_u64,
        /// Bytes that may wait for a slow reader of one stream.
        stream_queue_bytes: Count = 4_194_304_u64,
        /// Events of one session that are kept for a client that comes back.
        replay_events: Count = 256_u64,
        /// Bytes of one session that are kept for a client that comes back.
        replay_bytes: Count = 1_048_576_u64,
        /// Bytes that all sessions of one token keep together for that; those that keep most give way.
        replay_bytes_per_token: Count = 33_554_432_u64,
        /// How long a response may be silent: after this time it becomes an event stream, with comments as often.
        silence_ms: Millis = 15_000_u64,
        /// The bytes that requests, answers and events for clients may take together; one token half of them. Default: a
        /// quarter of the memory of the machine, or of the control group.
        memory_bytes: Memory,
        /// Failed authentications from one address within a minute.
        failed_auth_per_minute: Count = 60_u64,
    }
}

section! {
    /// Bounds and deadlines of one server. Default: those of the whole file.
    ServerLimits {
        /// The longest line that is taken from the server, in bytes.
        max_line_bytes: Count,
        /// Requests that are written and not yet answered.
        max_in_flight: Count,
        /// Requests that are accepted and wait for their turn.
        max_queue: Count,
        /// Bytes of what is accepted and waits for its turn.
        max_queue_bytes: Count,
        /// How long a call that waits for its client's input keeps its turn, with `serialize`, while others wait for theirs.
        input_wait_ms: Millis,
        /// How long a request is held while the server is restarted.
        hold_ms: Millis,
        /// How long the server may leave its input unread before it is given up.
        stdin_stall_ms: Millis,
        /// From SIGTERM to SIGKILL when the server is stopped.
        term_grace_ms: Millis,
        /// From one probe of the idle server to the next.
        probe_interval_ms: Millis,
        /// How long a probe may stay unanswered.
        probe_timeout_ms: Millis,
        /// After how many missed probes in a row the server is restarted.
        probe_misses: Count,
        /// How long the server is left alone before the next try, after it was given up.
        failed_retry_ms: Millis,
        /// How long the new server may leave `server/discover` unanswered before it is taken for one of an older revision.
        era_probe_ms: Millis,
        /// Its processes, with `instance` `session` or `client`.
        max_instances: Count,
        /// How long such a process that nobody uses is kept.
        instance_idle_ms: Millis,
    }
}

impl Limits {
    /// The edge's share; `None` after a fault.
    pub(super) fn http(&self) -> Option<http::LimitsConfig> {
        Some(http::LimitsConfig {
            max_body_bytes: self.max_body_bytes.get()?.size(),
            max_connections: self.max_connections.get()?.size(),
            max_connections_per_ip: self.max_connections_per_ip.get()?.size(),
            max_in_flight_per_token: self.max_in_flight_per_token.get()?.size(),
            max_streams_per_token: self.max_streams_per_token.get()?.size(),
            first_byte: self.first_byte_ms.get()?.duration(),
            headers: self.headers_ms.get()?.duration(),
            body: self.body_ms.get()?.duration(),
            idle: self.idle_ms.get()?.duration(),
            drain: self.drain_ms.get()?.duration(),
        })
    }

    /// The relay's share; `None` after a fault.
    pub(super) fn relay(&self) -> Option<relay::Config> {
        Some(relay::Config {
            stream_queue_events: self.stream_queue_events.get()?.size(),
            stream_queue_bytes: self.stream_queue_bytes.get()?.size(),
            max_streams_per_token: self.max_streams_per_token.get()?.size(),
            silence: self.silence_ms.get()?.duration(),
            session_idle: self.session_idle_ms.get()?.duration(),
            max_sessions_per_token: self.max_sessions_per_token.get()?.size(),
            replay_events: self.replay_events.get()?.size(),
            replay_bytes: self.replay_bytes.get()?.size(),
            replay_bytes_per_token: self.replay_bytes_per_token.get()?.size(),
            memory_bytes: self
                .memory_bytes
                .get()
                .map_or_else(default_limit, |bytes| bytes.size()),
        })
    }
}

/// A limit of one server: its own where it is given, else that of the whole file.
pub(super) fn pick<T: Copy>(own: Option<&Field<T>>, global: &Field<T>) -> Option<T> {
    let own = own.filter(|field| field.is_given());
    own.unwrap_or(global).get().copied()
}
