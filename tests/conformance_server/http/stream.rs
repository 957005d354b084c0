//! Answers: one JSON object, or a stream of events.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::wire::Wire;

/// How many messages may wait for a slow reader before it counts as gone.
const QUEUE: usize = 256;

/// A wire and its other end.
pub(super) fn pipe() -> (Wire, Receiver<Value>) {
    let (sender, receiver) = channel(QUEUE);
    (wire(sender), receiver)
}

/// A wire into a queue.
fn wire(sender: Sender<Value>) -> Wire {
    Wire::new(move |message| sender.try_send(message.clone()).is_ok())
}

/// Whether a message ends the stream of its request.
pub(super) fn is_response(message: &Value) -> bool {
    message.get("method").is_none()
}

pub(super) fn json(status: StatusCode, message: &Value) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let headers = [(header::CONTENT_TYPE, kind)];
    (status, headers, message.to_string()).into_response()
}

/// Events: the opening text, then one event a message, up to and including a response. With a stream's
/// number each event has an id, which names the stream and its place in it. `held` is dropped with the stream.
pub(super) fn events(
    opening: String,
    number: Option<u64>,
    receiver: Option<Receiver<Value>>,
    held: impl Send + 'static,
) -> Response {
    let first = stream::iter([Ok::<_, std::convert::Infallible>(opening)]);
    let start = (receiver, 1_u64, held);
    let rest = stream::unfold(start, move |(receiver, place, held)| async move {
        let mut receiver = receiver?;
        let message = receiver.recv().await?;
        let id = number
            .map(|number| format!("id: {number}-{place}\n"))
            .unwrap_or_default();
        let event = Ok(format!("{id}event: message\ndata: {message}\n\n"));
        let receiver = Some(receiver).filter(|_| !is_response(&message));
        Some((event, (receiver, place + 1, held)))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(first, rest));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}
