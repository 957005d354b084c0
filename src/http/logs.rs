//! `GET /servers/{id}/logs`: what the processes of a server wrote to stderr, and what on stdout is no message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::{FutureExt, select_all};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, interval};

use super::ask::{self, PathServer};
use super::error::{Problem, json};
use super::negotiate::{Offer, require_accept};
use super::{Edge, sse};
use crate::fault::Fault;
use crate::protocol::Era;
use crate::relay::{Process, no_process};
use crate::supervisor::OutputLine;
use crate::types::ServerId;

/// The longest time until a process that has come since is followed, too.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Lines<'a> {
    server_id: &'a ServerId,
    lines: Vec<String>,
}

/// The newest lines of each process, oldest first: as JSON, or with `?follow` as an event stream that goes on.
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
    let (relay, principal) = (Arc::clone(&edge.relay), Arc::clone(&let_in.principal));
    let id = server.clone();
    let look = move || relay.named_processes(&principal, id.as_str());
    let processes = look().and_then(|processes| {
        let some = !processes.is_empty();
        some.then_some(processes).ok_or_else(no_process)
    });
    let processes = processes.map_err(|fault| Problem::from(fault).of(&server))?;
    if !ask::switch(request.uri().query(), "follow") {
        let tails = processes
            .iter()
            .map(|process| (label(process), process.handle.output_tail()));
        return Ok(json(&Lines {
            server_id: &server,
            lines: merged(tails.collect()),
        }));
    }
    require_accept(request.headers(), Offer::EventStream)?;
    let place = sse::Place::take(&edge.guard, let_in)?;
    // This stream is the edge's own, so the edge ends it when the gateway drains.
    let drained = edge.guard.drain.clone().cancelled_owned();
    let frames = Follower::new(processes, look).frames().take_until(drained);
    Ok(sse::response(frames, place))
}

/// The name before the lines of a process, where others are told from it: its owner's, and its era where its clients
/// have two processes.
fn label(process: &Process) -> Option<String> {
    let era = process.handle.spoken_era().filter(|_| process.is_paired);
    let words: Vec<&str> = process
        .name
        .as_deref()
        .into_iter()
        .chain(era.map(Era::as_str))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn labelled(label: Option<&str>, text: &str) -> String {
    label.map_or_else(|| text.to_owned(), |label| format!("[{label}] {text}"))
}

/// The lines of all processes, in the order in which they were read.
fn merged(tails: Vec<(Option<String>, Vec<OutputLine>)>) -> Vec<String> {
    let lines = tails.into_iter().flat_map(|(label, lines)| {
        let label = label.as_deref().map(str::to_owned);
        lines
            .into_iter()
            .map(move |line| (line.at, labelled(label.as_deref(), &line.text)))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, text)| text).collect()
}

/// The lines of one process from now on.
struct Followed {
    label: Option<String>,
    news: Receiver<Arc<str>>,
}

/// Reads the lines of all processes that there are, and of those that come.
struct Follower<L> {
    /// `None` once the server is gone: what is followed by then is followed to its end.
    look: Option<L>,
    followed: Vec<Followed>,
    ready: VecDeque<Bytes>,
    interval: Interval,
}

impl<L: Fn() -> Result<Vec<Process>, Fault> + Send + 'static> Follower<L> {
    fn new(processes: Vec<Process>, look: L) -> Self {
        let mut this = Self {
            look: Some(look),
            followed: Vec::new(),
            ready: VecDeque::new(),
            interval: interval(LOOK_AGAIN),
        };
        this.update(processes);
        this
    }

    fn frames(self) -> impl Stream<Item = Bytes> {
        stream::unfold(self, |mut this| async move {
            let frame = this.next().await?;
            Some((frame, this))
        })
    }

    /// Follows exactly these processes: what is kept of a new one comes first.
    fn update(&mut self, processes: Vec<Process>) {
        let mut tails = Vec::new();
        let mut now = Vec::with_capacity(processes.len());
        for process in processes {
            let label = label(&process);
            // Subscribed before the tail is read: a line in between may come twice, but is not lost.
            let news = process.handle.output_follow();
            let mut known = self.followed.iter();
            let known = known.position(|known| known.news.same_channel(&news));
            let news = if let Some(at) = known {
                self.followed.swap_remove(at).news
            } else {
                tails.push((label.clone(), process.handle.output_tail()));
                news
            };
            now.push(Followed { label, news });
        }
        // One that is being stopped has its last words. It is followed until nothing holds it any more.
        now.append(&mut self.followed);
        self.followed = now;
        let lines = merged(tails).into_iter();
        self.ready
            .extend(lines.map(|line| sse::event(line.as_bytes())));
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.followed.is_empty() && self.look.is_none() {
                return None;
            }
            tokio::select! {
                (at, received) = newest(&mut self.followed) => match received {
                    Err(RecvError::Closed) => drop(self.followed.swap_remove(at)),
                    received => {
                        let label = self.followed.get(at).and_then(|one| one.label.as_deref());
                        return frame(label, received);
                    }
                },
                _ = self.interval.tick(), if self.look.is_some() => {
                    match self.look.as_ref().map(|look| look()) {
                        Some(Ok(processes)) => self.update(processes),
                        Some(Err(_)) | None => self.look = None,
                    }
                }
            }
        }
    }
}

/// The next line of any process, and of which; never where there is none. Cancel safe.
async fn newest(followed: &mut [Followed]) -> (usize, Result<Arc<str>, RecvError>) {
    if followed.is_empty() {
        return std::future::pending().await;
    }
    let lines = followed.iter_mut().map(|one| one.news.recv().boxed());
    let (received, at, _) = select_all(lines).await;
    (at, received)
}

fn frame(label: Option<&str>, received: Result<Arc<str>, RecvError>) -> Option<Bytes> {
    match received {
        Ok(line) => Some(sse::event(labelled(label, &line).as_bytes())),
        Err(RecvError::Lagged(lines)) => {
            Some(sse::named_event("skipped", lines.to_string().as_bytes()))
        }
        Err(RecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast;
    use tokio::time::Instant;

    use super::*;

    fn followed(label: Option<&str>, news: Receiver<Arc<str>>) -> Followed {
        Followed {
            label: label.map(str::to_owned),
            news,
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_lines_it_lost() {
        let (writer, reader) = broadcast::channel::<Arc<str>>(2);
        let (other, quiet) = broadcast::channel::<Arc<str>>(2);
        for n in 0..5 {
            writer.send(format!("line {n}").into()).unwrap();
        }
        drop((writer, other));
        let follower = Follower {
            look: None::<fn() -> Result<Vec<Process>, Fault>>,
            followed: vec![followed(Some("legacy"), reader), followed(None, quiet)],
            ready: VecDeque::new(),
            interval: interval(LOOK_AGAIN),
        };
        let frames: Vec<_> = follower.frames().collect().await;
        let expected = [
            "event: skipped\ndata: 3\n\n",
            "data: [legacy] line 3\n\n",
            "data: [legacy] line 4\n\n",
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn lines_of_several_processes_are_in_the_order_in_which_they_were_read() {
        let begin = Instant::now();
        let line = |text: &str, ms| OutputLine {
            text: text.into(),
            at: begin + Duration::from_millis(ms),
        };
        let legacy = vec![line("a", 1), line("c", 3)];
        let modern = vec![line("b", 2), line("d", 4)];
        let both = vec![
            (Some("legacy".to_owned()), legacy.clone()),
            (Some("modern".to_owned()), modern),
        ];
        let expected = ["[legacy] a", "[modern] b", "[legacy] c", "[modern] d"];
        assert_eq!(merged(both), expected);
        assert_eq!(merged(vec![(None, legacy)]), ["a", "c"]);
    }
}
