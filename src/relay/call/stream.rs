//! An answer that may become a stream.
//!
//! Most requests are answered with one JSON object. Where the child has something to say before its
//! response, or where the response is long in coming to a client that could resume a stream, the answer
//! becomes one: what came before, in the child's order, then the response, then the end. So it does for every
//! client that takes a stream when nothing has come for `silence_ms`: a stream has comments meanwhile, and
//! clients and proxies give up what is silent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::relay::api::{Answer, Event, Events, Failure, Reply};
use crate::relay::outlet::Outlet;
use crate::relay::queue::{Prioritized, Priority};
use crate::relay::session::Session;
use crate::relay::{ErrorMessage, Shared};
use crate::types::ServerId;

/// A request under way.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// What an answer depends on besides the request.
pub(super) struct Terms {
    /// The session that the request was made in.
    pub(super) session: Option<Arc<Session>>,
    /// The id of the session that it is about to open.
    pub(super) opens: Option<Arc<str>>,
    /// The client likes a stream more than one JSON object.
    pub(super) prefers_stream: bool,
}

/// Waits for a response, or for what makes the answer a stream.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    server: ServerId,
    mut running: Running,
    outlet: Arc<Outlet>,
    terms: Terms,
) -> Result<Answer, Failure> {
    let Terms {
        session,
        opens,
        prefers_stream,
    } = terms;
    let long = async {
        match &session {
            Some(_) => shared.patience.wait().await,
            None => shared.silence.wait().await,
        }
    };
    let answered = tokio::select! {
        biased;
        () = async {}, if prefers_stream && session.is_some() => None,
        answered = &mut running => Some(answered),
        () = outlet.ready() => None,
        () = long => None,
    };
    let call = match answered {
        Some(answered) if !outlet.has_messages() => return answered.map(Answer::Reply),
        answered => CallStream {
            server,
            running: answered.is_none().then_some(running),
            response: answered.map(|answered| text(answered, None)),
            outlet,
        },
    };
    let events = match session {
        Some(session) => in_session(shared, &session, call),
        None => Events::opening(opens, call.map(|(message, _)| Event::of(message))),
    };
    Ok(Answer::Stream(events))
}

/// An answer of whatever kind under way.
pub(in crate::relay) type Answering = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// Waits for an answer; one that is silent for too long becomes a stream that brings it when it is there.
pub(in crate::relay) async fn patient(
    shared: &Shared,
    server: Option<ServerId>,
    mut answering: Answering,
    takes_stream: bool,
) -> Result<Answer, Failure> {
    if !takes_stream {
        return answering.await;
    }
    tokio::select! {
        biased;
        answered = &mut answering => return answered,
        () = shared.silence.wait() => {}
    }
    let late = stream::once(answering).flat_map(move |answered| match answered {
        Ok(Answer::Stream(events)) => events,
        Ok(Answer::Reply(reply)) => Events::one(reply.message),
        Ok(Answer::Accepted) => Events::new(stream::empty()),
        Err(failure) => Events::one(text(Err(failure), server.as_ref())),
    });
    Ok(Answer::Stream(Events::new(late)))
}

/// Lets the call go on whatever becomes of its client: a disconnect is not a cancellation, and what is
/// said meanwhile is kept (MCP 2025-11-25, transports).
fn in_session(shared: &Arc<Shared>, session: &Arc<Session>, mut call: CallStream) -> Events {
    let (stream, reader) = session.streams().begin_read();
    let session = Arc::clone(session);
    let stop = shared.stop.clone();
    shared.tasks.spawn(async move {
        while let Some(message) = call.next().await {
            // What its client does not read yet stays with the call, which drops what may be dropped.
            tokio::select! {
                () = session.streams().room(stream) => {}
                () = stop.cancelled() => {}
            }
            session.streams().append(stream, message);
        }
        session.streams().end(stream);
    });
    Events::new(reader)
}

/// The messages of one call, the response last. Dropping it drops the call.
struct CallStream {
    server: ServerId,
    running: Option<Running>,
    response: Option<Bytes>,
    outlet: Arc<Outlet>,
}

impl Stream for CallStream {
    type Item = Prioritized;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Prioritized>> {
        if let Some(running) = &mut self.running
            && let Poll::Ready(answered) = running.as_mut().poll(context)
        {
            let response = text(answered, Some(&self.server));
            self.running = None;
            self.response = Some(response);
        }
        // What the child said before its response was put here before the response was.
        if let Poll::Ready(Some(message)) = self.outlet.poll(context) {
            return Poll::Ready(Some(message));
        }
        match self.response.take() {
            Some(response) => Poll::Ready(Some((response, Priority::Required))),
            None if self.running.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// The response, or the error that takes its place.
fn text(answered: Result<Reply, Failure>, server: Option<&ServerId>) -> Bytes {
    match answered {
        Ok(reply) => reply.message,
        Err(Failure { fault, id, .. }) => {
            let message = ErrorMessage {
                id: id.as_deref(),
                fault: &fault,
                server,
                requested: None,
            };
            // Numbers and text: it cannot fail.
            message.to_json().unwrap_or_default().into()
        }
    }
}
