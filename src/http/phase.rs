//! Where a connection stands, and until when it may stand there.
//!
//! | phase | begins with | ends with | deadline |
//! | --- | --- | --- | --- |
//! | silent | the connection; with TLS, the end of its handshake | its first byte | `first_byte` |
//! | head | the first byte of a request | its parsed head | `headers`, in total and not per read |
//! | serving | the parsed head | the end of the response | none here: the body has its own, the relay has its own |
//! | idle | the end of a response | the next request's first byte | `idle` |
//! | lingering | the shutdown of our half | the end of theirs | [`LINGER`] |
//!
//! The handshake of TLS has `first_byte` of its own before that (`tls::door`); the bytes here are those inside TLS.
//! Beside these, a write that the peer does not take is given up after `body`: a client that stops
//! reading must not hold a response for ever. Nor must one that reads a little now and then: while there is more to
//! write than the peer takes, it has to take [`MIN_PACE`] on the average of each `body`.
//!
//! The clock is told of the transitions by the socket's reads and writes ([`Watched`]), by the call
//! of the service and by the drop of the response's body ([`LastByte`]). All of that happens inside
//! the poll of the connection, so whoever polls the connection and then looks at the clock sees the
//! truth. hyper's own `header_read_timeout` stays off: it is also the timer of the silent and of the
//! idle phase and cannot tell them apart. hyper-util's `auto` builder is not used because it waits
//! for a first byte without any timer (hyper#3756).
//!
//! One case is looser than the table: bytes of a next request that came while a response was under
//! way count as idle until more of them come, so that such a head may take `idle` plus `headers`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::config::LimitsConfig;

/// How long, and for how many bytes, we read past the end of our last response: enough for a client
/// in the middle of the largest body that is taken by default.
pub(super) const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Bytes a second that a peer takes at least of a response that waits for it: far below what a network carries over
/// which tools are called.
const MIN_PACE: u64 = 32 * 1024;

/// What a connection took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The first byte.
    FirstByte,
    /// A request's head.
    Headers,
    /// The next request on a kept-alive connection.
    Idle,
    /// Taking what we write.
    Write,
    /// Closing its half after we closed ours.
    Linger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Silent,
    Head,
    Serving,
    Idle,
    Lingering,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    write_blocked_since: Option<Instant>,
    /// The peer takes less than there is to write.
    slow: Option<Slow>,
}

/// What a peer has taken since it was slower than we are.
#[derive(Clone, Copy, Debug)]
struct Slow {
    since: Instant,
    bytes: u64,
}

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct Clock {
    first_byte: Duration,
    headers: Duration,
    idle: Duration,
    write: Duration,
    state: Mutex<State>,
}

impl State {
    fn block(&mut self) {
        let since = *self.write_blocked_since.get_or_insert_with(Instant::now);
        self.slow.get_or_insert(Slow { since, bytes: 0 });
    }
}

impl Clock {
    /// A clock that starts now, in the silent phase.
    pub(super) fn new(limits: &LimitsConfig) -> Arc<Self> {
        Arc::new(Self {
            first_byte: limits.first_byte,
            headers: limits.headers,
            idle: limits.idle,
            write: limits.body,
            state: Mutex::new(State {
                phase: Phase::Silent,
                since: Instant::now(),
                write_blocked_since: None,
                slow: None,
            }),
        })
    }

    /// The next deadline of the connection, and what it is for.
    pub(super) fn deadline(&self) -> Option<(Instant, Overdue)> {
        let state = self.state();
        let phase = match state.phase {
            Phase::Silent => Some((state.since + self.first_byte, Overdue::FirstByte)),
            Phase::Head => Some((state.since + self.headers, Overdue::Headers)),
            Phase::Idle => Some((state.since + self.idle, Overdue::Idle)),
            Phase::Lingering => Some((state.since + LINGER, Overdue::Linger)),
            Phase::Serving => None,
        };
        let write = state
            .write_blocked_since
            .map(|since| (since + self.write, Overdue::Write));
        let is_slow = |slow: &Slow| write.is_some() && slow.bytes < self.least();
        let slow = state.slow.filter(is_slow);
        let slow = slow.map(|slow| (slow.since + self.write, Overdue::Write));
        let writes = write.into_iter().chain(slow);
        phase.into_iter().chain(writes).min_by_key(|(at, _)| *at)
    }

    /// What a slow peer has to take within the deadline of a write.
    fn least(&self) -> u64 {
        MIN_PACE.saturating_mul(self.write.as_secs())
    }

    /// A head was parsed and its request is being answered.
    pub(super) fn request_parsed(&self) {
        // Silent | Head | Idle => Serving
        self.enter(Phase::Serving);
    }

    fn bytes_arrived(&self) {
        let phase = self.state().phase;
        match phase {
            // Silent | Idle => Head
            Phase::Silent | Phase::Idle => self.enter(Phase::Head),
            // More of the head, or a body, or a request after this one.
            Phase::Head | Phase::Serving | Phase::Lingering => {}
        }
    }

    fn response_ended(&self) {
        let phase = self.state().phase;
        match phase {
            // Serving => Idle
            Phase::Serving => self.enter(Phase::Idle),
            // Dropped late, with the connection.
            Phase::Silent | Phase::Head | Phase::Idle | Phase::Lingering => {}
        }
    }

    fn shut_down(&self) {
        // Silent | Head | Serving | Idle => Lingering
        self.enter(Phase::Lingering);
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        // Nothing here ends with the phase of serving.
        if phase != Phase::Serving {
            state.since = Instant::now();
        }
    }

    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        match &outcome {
            Poll::Ready(written) => {
                state.write_blocked_since = None;
                let now = Instant::now();
                let count = written.as_ref().map_or(0, |count| *count as u64);
                if let Some(slow) = &mut state.slow {
                    slow.bytes = slow.bytes.saturating_add(count);
                }
                // It was fast enough for so long, and is measured anew.
                let is_over = |slow: &mut Slow| now >= slow.since + self.write;
                state.slow.take_if(is_over);
            }
            Poll::Pending => state.block(),
        }
        outcome
    }

    fn flushed(&self, outcome: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if outcome.is_ready() {
            // All that there was to write is written.
            (state.write_blocked_since, state.slow) = (None, None);
        } else {
            state.block();
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that tells the clock of its reads and writes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    clock: Arc<Clock>,
    /// Bytes read past our last response, once our half is shut down.
    past_end: Option<usize>,
}

impl<S> Watched<S> {
    /// Puts a socket under the clock.
    pub(super) fn new(socket: S, clock: Arc<Clock>) -> Self {
        Self {
            socket,
            clock,
            past_end: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.clock.bytes_arrived();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.clock.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.clock.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket takes what is written or does not, but TLS holds up to 64 KiB that it does not take, and a
        // flush is where that shows. hyper flushes only when nothing is left to write.
        let outcome = Pin::new(&mut self.socket).poll_flush(cx);
        self.clock.flushed(outcome)
    }

    /// Ends our half and reads on for a moment.
    ///
    /// A socket that is closed with unread bytes in it is reset, and a reset can take our last response,
    /// often a refusal of the very body that is still coming, out of the client's hands (RFC 9112,
    /// 9.6). hyper calls this once everything is written.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.past_end.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.past_end = Some(0);
            self.clock.shut_down();
        }
        let mut scratch = [0_u8; 4096];
        while let Some(total) = self.past_end.filter(|total| *total < LINGER_BYTES) {
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
            let count = buf.filled().len();
            if count == 0 {
                break;
            }
            self.past_end = Some(total + count);
        }
        Poll::Ready(Ok(()))
    }
}

/// Tells the clock, when it is dropped with the response's body, that the response has ended.
#[derive(Debug)]
pub(super) struct LastByte(Arc<Clock>);

impl LastByte {
    /// To be kept by the body.
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self(clock)
    }
}

impl Drop for LastByte {
    fn drop(&mut self) {
        self.0.response_ended();
    }
}

#[cfg(test)]
mod tests;
