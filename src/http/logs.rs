//! `GET /servers/{id}/logs`: what a server wrote to its stderr, and what on its stdout is no message.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::ask::{self, PathServer};
use super::error::{Problem, json};
use super::negotiate::{Offer, require_accept};
use super::{Edge, sse};
use crate::types::ServerId;

#[derive(Serialize)]
struct Lines<'a> {
    server_id: &'a ServerId,
    lines: Vec<String>,
}

/// The newest lines, oldest first: as JSON, or with `?follow` as an event stream that goes on.
///
/// A followed line is one event whose data is the line itself. Where a slow reader lost some, an
/// event named `skipped` says how many.
pub(super) async fn logs(
    State(edge): State<Arc<Edge>>,
    path: PathServer,
    request: Request,
) -> Result<Response, Problem> {
    let server = path.server()?;
    let let_in = ask::let_in(request.extensions())?;
    let handle = edge
        .relay
        .server(&let_in.principal, server.as_str())
        .map_err(|fault| Problem::from(fault).of(&server))?;
    if !ask::switch(request.uri().query(), "follow") {
        return Ok(json(&Lines {
            server_id: &server,
            lines: handle.output_tail(),
        }));
    }
    require_accept(request.headers(), Offer::EventStream)?;
    let place = sse::Place::take(&edge.guard, let_in)?;
    // Subscribed before the tail is read: a line in between may come twice, but is not lost.
    let news = handle.output_follow();
    let tail: Vec<_> = handle
        .output_tail()
        .iter()
        .map(|line| sse::event(line.as_bytes()))
        .collect();
    // This stream is the edge's own, so the edge ends it when the gateway drains.
    let drained = edge.guard.drain.clone().cancelled_owned();
    let frames = stream::iter(tail).chain(follow(news)).take_until(drained);
    Ok(sse::response(frames, place))
}

fn follow(news: Receiver<Arc<str>>) -> impl Stream<Item = Bytes> {
    stream::unfold(news, |mut news| async move {
        let frame = match news.recv().await {
            Ok(line) => sse::event(line.as_bytes()),
            Err(RecvError::Lagged(lines)) => {
                sse::named_event("skipped", lines.to_string().as_bytes())
            }
            Err(RecvError::Closed) => return None,
        };
        Some((frame, news))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_lines_it_lost() {
        let (writer, reader) = tokio::sync::broadcast::channel::<Arc<str>>(2);
        for n in 0..5 {
            writer.send(format!("line {n}").into()).unwrap();
        }
        drop(writer);
        let frames: Vec<_> = follow(reader).collect().await;
        let expected = [
            "event: skipped\ndata: 3\n\n",
            "data: line 3\n\n",
            "data: line 4\n\n",
        ];
        assert_eq!(frames, expected);
    }
}
