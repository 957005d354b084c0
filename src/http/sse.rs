//! Server-sent events: framing, keep-alive comments, and the response around them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderName};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::gate::{Guard, LetIn, Validity};
use super::held::Held;
use super::pieces;
use crate::fault::Fault;
use crate::memory_budget::SMALL;

/// Below the 30 s and 60 s after which common proxies give a silent connection up.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What a stream may take of its token's share and of its time, held before it is opened and until it ends.
#[must_use]
pub(super) struct Place {
    _permit: Option<super::share::Permit>,
    validity: Validity,
}

impl Place {
    /// Takes a place among the token's event streams, where it has one left.
    pub(super) fn take(guard: &Guard, let_in: &LetIn) -> Result<Self, Fault> {
        let permit = guard.rules().shares.stream(let_in.principal.id)?;
        Ok(Self {
            _permit: Some(permit),
            ..Self::of_request(let_in)
        })
    }

    /// The place of a stream that answers a request: the gate counts that among the token's requests
    /// until its last byte, so it takes nothing of the event streams.
    pub(super) fn of_request(let_in: &LetIn) -> Self {
        Self {
            _permit: None,
            validity: let_in.validity.clone(),
        }
    }
}

/// One event without a name: `data:` and one line.
///
/// A line break inside would end the line or the event, so each part of such a text becomes a
/// `data:` line of its own, which readers join with a line feed (WHATWG HTML, 9.2.6).
pub fn event(data: &[u8]) -> Bytes {
    event_with([], data)
}

/// One event with a name, which must have no line break in it.
pub(super) fn named_event(name: &'static str, data: &[u8]) -> Bytes {
    event_with([("event", name)], data)
}

/// One event with fields before its data; a value must have no line break in it.
fn event_with<'a>(fields: impl IntoIterator<Item = (&'static str, &'a str)>, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(data.len() + 128);
    put_fields(&mut frame, fields);
    for line in lines(data) {
        put(&mut frame, "data", line);
    }
    frame.put_u8(b'\n');
    frame.freeze()
}

fn put(frame: &mut BytesMut, name: &str, value: &[u8]) {
    frame.put_slice(name.as_bytes());
    frame.put_slice(b": ");
    frame.put_slice(value);
    frame.put_u8(b'\n');
}

fn put_fields<'a>(frame: &mut BytesMut, fields: impl IntoIterator<Item = (&'static str, &'a str)>) {
    for (name, value) in fields {
        put(frame, name, value.as_bytes());
    }
}

/// The pieces of one event.
pub(super) type EventPieces = std::iter::Flatten<std::array::IntoIter<Option<Bytes>, 3>>;

/// The same in pieces: a long text of one line goes as it is and keeps its lease of the memory budget until it was sent,
/// everything else is one piece.
pub(super) fn event_pieces<'a>(
    fields: impl IntoIterator<Item = (&'static str, &'a str)>,
    data: Bytes,
) -> EventPieces {
    let is_long = data.len() >= SMALL && memchr::memchr2(b'\n', b'\r', &data).is_none();
    let pieces = if is_long {
        let mut head = BytesMut::with_capacity(128);
        put_fields(&mut head, fields);
        head.put_slice(b"data: ");
        [
            Some(head.freeze()),
            Some(data),
            Some(Bytes::from_static(b"\n\n")),
        ]
    } else {
        [Some(event_with(fields, &data)), None, None]
    };
    pieces.into_iter().flatten()
}

/// The parts between CR LF, LF and CR.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\n', b'\r', text) else {
            return rest.take();
        };
        let (line, after) = text.split_at(end);
        let after = after.strip_prefix(b"\r\n").or_else(|| after.get(1..));
        rest = Some(after.unwrap_or_default());
        Some(line)
    })
}

/// A stream of framed events as a response; `: ok` is sent at once, so that the client knows that it
/// is connected before anything happens.
pub(super) fn response<S>(frames: S, place: Place) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    kept_alive(frames, place, KEEP_ALIVE)
}

/// The same with a comment in every `pause` of the stream.
pub(super) fn kept_alive<S>(frames: S, place: Place, pause: Duration) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let Validity { until, revoked } = place.validity.clone();
    let expired = async move {
        match until {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    let end = async move {
        tokio::select! {
            () = expired => {}
            () = revoked.cancelled() => {}
        }
    };
    let body = Body::from_stream(KeptAlive::new(Box::pin(frames), end, pause));
    of_body(Body::new(Held::new(body, place)))
}

/// Framed events that are all there already, as a response.
pub(super) fn whole(frames: impl Iterator<Item = Bytes>) -> Response {
    of_body(pieces::body(frames))
}

fn of_body(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx and its kin hold a response back until it is large enough, unless told.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Frames with a comment before the first and one in every pause, up to the end of the event in which the end comes.
struct KeptAlive<S> {
    frames: S,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
    /// A piece of an event has been sent, and not its last one.
    is_inside: bool,
    opened: bool,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
}

impl<S> KeptAlive<S> {
    fn new(frames: S, end: impl Future<Output = ()> + Send + 'static, pause: Duration) -> Self {
        Self {
            frames,
            end: Box::pin(end),
            is_over: false,
            is_inside: false,
            opened: false,
            pause,
            timer: Box::pin(sleep(pause)),
        }
    }

    fn restart_pause(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.pause);
    }
}

impl<S: Stream<Item = Bytes> + Unpin> Stream for KeptAlive<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.opened {
            self.opened = true;
            return Poll::Ready(Some(Ok(Bytes::from_static(b": ok\n\n"))));
        }
        self.is_over = self.is_over || self.end.as_mut().poll(cx).is_ready();
        if self.is_over && !self.is_inside {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.frames).poll_next(cx) {
            self.is_inside = frame
                .as_ref()
                .is_some_and(|frame| !frame.ends_with(b"\n\n"));
            self.restart_pause();
            return Poll::Ready(frame.map(Ok));
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.restart_pause();
            return Poll::Ready(Some(Ok(Bytes::from_static(b": keep-alive\n\n"))));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::BodyMark;
    use axum::Router;
    use axum::extract::Request;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;
    use std::sync::Arc;

    use crate::instruments::Instruments;
    use tokio_util::sync::CancellationToken;

    use crate::http::fixture::{self, Running, soon};
    use crate::http::rules::Rulebook;
    use crate::types::{Principal, PrincipalId};

    #[test]
    fn an_event_is_one_data_line_for_each_line() {
        assert_eq!(event(br#"{"a":1}"#), "data: {\"a\":1}\n\n");
        assert_eq!(
            event(b"a\nb\r\nc\rd"),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(event(b"a\r"), "data: a\ndata: \n\n", "as after a line feed");
        assert_eq!(event(b"\n\ra\n"), "data: \ndata: \ndata: a\ndata: \n\n");
        assert_eq!(event(b""), "data: \n\n");
        assert_eq!(named_event("skipped", b"3"), "event: skipped\ndata: 3\n\n");
    }

    #[test]
    fn a_long_line_is_a_piece_of_its_own_and_the_event_is_the_same() {
        for text in [
            "x".repeat(SMALL),
            "x".repeat(SMALL - 1),
            "x\n".repeat(SMALL),
        ] {
            let data = Bytes::from(text.clone());
            let place = data.as_ptr();
            let pieces: Vec<_> = event_pieces([("id", "1-1")], data).collect();
            let uncopied = pieces.iter().any(|piece| piece.as_ptr() == place);
            assert_eq!(uncopied, text.len() == SMALL);
            assert_eq!(
                pieces.concat(),
                event_with([("id", "1-1")], text.as_bytes())
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_opens_with_a_comment_and_is_kept_alive_in_pauses() {
        let start = Instant::now();
        let frames = stream::unfold(0_u32, |n| async move {
            (n < 2).then_some(())?;
            sleep(Duration::from_mins(1)).await;
            Some((event(n.to_string().as_bytes()), n + 1))
        });
        let mut kept = KeptAlive::new(Box::pin(frames), std::future::pending(), KEEP_ALIVE);
        let mut seen = Vec::new();
        while let Some(Ok(frame)) = kept.next().await {
            let text = String::from_utf8(frame.to_vec()).unwrap();
            seen.push((start.elapsed().as_secs(), text));
        }
        let expected = [
            (0, ": ok\n\n"),
            (25, ": keep-alive\n\n"),
            (50, ": keep-alive\n\n"),
            (60, "data: 0\n\n"),
            (85, ": keep-alive\n\n"),
            (110, ": keep-alive\n\n"),
            (120, "data: 1\n\n"),
        ]
        .map(|(second, text)| (second, text.to_owned()));
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn a_stream_ends_after_an_event_and_not_within_one() {
        let revoked = CancellationToken::new();
        let text = "x".repeat(SMALL);
        let events = [text.clone(), text.clone()].map(Bytes::from);
        let frames = stream::iter(events).flat_map(|data| stream::iter(event_pieces([], data)));
        let end = revoked.clone().cancelled_owned();
        let mut kept = KeptAlive::new(Box::pin(frames), end, KEEP_ALIVE);
        for expected in [": ok\n\n", "data: "] {
            assert_eq!(kept.next().await.unwrap().unwrap(), expected);
        }
        revoked.cancel();
        for expected in [&*text, "\n\n"] {
            assert_eq!(kept.next().await.unwrap().unwrap(), expected);
        }
        assert!(kept.next().await.is_none());
    }

    fn let_in_until(until: Option<Instant>) -> LetIn {
        LetIn {
            peer: ([127, 0, 0, 1], 1).into(),
            principal: Arc::new(Principal {
                id: PrincipalId(1),
                fingerprint: crate::types::TokenFingerprint::default(),
                name: "one".into(),
                admin: false,
                servers: None,
            }),
            mark: BodyMark::default(),
            quota: None,
            validity: Validity {
                until,
                ..Validity::default()
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_token_and_gives_its_place_back() {
        let mut config = fixture::config();
        config.limits.max_streams_per_token = 1;
        let guard = Guard::new(
            Rulebook::new(&config),
            "http",
            CancellationToken::new(),
            Instruments::noop(),
        );
        let start = Instant::now();
        let let_in = let_in_until(Some(start + Duration::from_secs(30)));

        let place = Place::take(&guard, &let_in).unwrap();
        let response = response(stream::pending(), place);
        assert!(Place::take(&guard, &let_in).is_err(), "one at a time");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, ": ok\n\n: keep-alive\n\n");
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        assert!(Place::take(&guard, &let_in).is_ok());
    }

    #[tokio::test]
    async fn a_silent_stream_is_dropped_when_its_reader_goes_not_at_the_next_keep_alive() {
        let gone = CancellationToken::new();
        let told = gone.clone();
        let handler = move |_request: Request| async move {
            let held = told.drop_guard();
            let silence = stream::pending().map(move |frame| {
                let _held = &held;
                frame
            });
            response(silence, Place::of_request(&let_in_until(None)))
        };
        let running = Running::start(
            fixture::config().limits,
            Router::new().route("/", axum::routing::post(handler)),
        )
        .await;
        let mut wire = running.connect().await;
        wire.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            .await;
        wire.until(": ok\n\n").await;
        drop(wire);
        soon(gone.cancelled()).await;
    }
}
