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
//! reading must not hold a response for ever.
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
        phase.into_iter().chain(write).min_by_key(|(at, _)| *at)
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

    fn wrote<T>(&self, outcome: Poll<T>) -> Poll<T> {
        let mut state = self.state();
        if outcome.is_ready() {
            state.write_blocked_since = None;
        } else if state.write_blocked_since.is_none() {
            state.write_blocked_since = Some(Instant::now());
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
        self.clock.wrote(outcome)
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
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::io::duplex;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> Arc<Clock> {
        Clock::new(&LimitsConfig {
            first_byte: SECOND,
            headers: 2 * SECOND,
            idle: 3 * SECOND,
            body: 4 * SECOND,
            ..crate::http::fixture::config().limits
        })
    }

    /// The deadline as seconds from now.
    fn left(clock: &Clock) -> Option<(Duration, Overdue)> {
        let (at, overdue) = clock.deadline()?;
        Some((at - Instant::now(), overdue))
    }

    /// H001, H002 and H005, of the clock.
    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_deadline() {
        let clock = clock();
        assert_eq!(left(&clock), Some((SECOND, Overdue::FirstByte)));
        clock.bytes_arrived();
        advance(SECOND).await;
        clock.bytes_arrived();
        assert_eq!(
            left(&clock),
            Some((SECOND, Overdue::Headers)),
            "in total, not per read"
        );
        clock.request_parsed();
        clock.bytes_arrived();
        assert_eq!(left(&clock), None, "a body is not the connection's matter");
        clock.response_ended();
        assert_eq!(left(&clock), Some((3 * SECOND, Overdue::Idle)));
        clock.bytes_arrived();
        assert_eq!(left(&clock), Some((2 * SECOND, Overdue::Headers)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_not_taken_has_a_deadline_until_something_is() {
        let clock = clock();
        clock.request_parsed();
        let (ours, mut theirs) = duplex(4);
        let mut ours = Watched::new(ours, Arc::clone(&clock));
        ours.write_all(b"full").await.unwrap();
        assert_eq!(left(&clock), None);
        let mut blocked = Box::pin(ours.write_all(b"more"));
        assert!(futures_util::poll!(&mut blocked).is_pending());
        advance(SECOND).await;
        assert!(futures_util::poll!(&mut blocked).is_pending());
        assert_eq!(
            left(&clock),
            Some((3 * SECOND, Overdue::Write)),
            "still the same wait"
        );
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 4])
            .await
            .unwrap();
        blocked.await.unwrap();
        assert_eq!(left(&clock), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_until_a_flush_has_the_deadline_of_a_write() {
        let clock = clock();
        clock.request_parsed();
        let (ours, mut theirs) = duplex(4);
        let ours = tokio::io::BufWriter::new(ours);
        let mut ours = Watched::new(ours, Arc::clone(&clock));
        ours.write_all(b"too long").await.unwrap();
        assert_eq!(left(&clock), None);
        let mut blocked = Box::pin(ours.flush());
        assert!(futures_util::poll!(&mut blocked).is_pending());
        assert_eq!(left(&clock), Some((4 * SECOND, Overdue::Write)));
        let mut taken = [0; 8];
        let taking = tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut taken);
        let (flushed, _) = tokio::join!(blocked, taking);
        flushed.unwrap();
        assert_eq!(left(&clock), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_drop_of_a_response_ends_the_serving() {
        let clock = clock();
        clock.request_parsed();
        drop(LastByte::new(Arc::clone(&clock)));
        assert_eq!(left(&clock), Some((3 * SECOND, Overdue::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_shutdown_the_peer_has_a_moment_to_end_too() {
        let clock = clock();
        let (ours, mut theirs) = duplex(64);
        let mut ours = Watched::new(ours, Arc::clone(&clock));
        let mut ending = Box::pin(ours.shutdown());
        assert!(futures_util::poll!(&mut ending).is_pending());
        theirs.write_all(b"still sending").await.unwrap();
        assert!(futures_util::poll!(&mut ending).is_pending());
        assert_eq!(left(&clock), Some((LINGER, Overdue::Linger)));
        drop(theirs);
        ending.await.unwrap();
    }
}
