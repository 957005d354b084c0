//! What goes in at the door of the relay and what comes out of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::fault::Fault;
use crate::protocol::Era;
use crate::protocol::era::known_revision;
use crate::protocol::trace_context::TraceContext;
use crate::types::{Principal, QuotaPermit, ServerId};

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// One server.
    Server(ServerId),
    /// All servers that the principal may reach, as if they were one.
    All,
}

/// The kind of endpoint that a message came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Raw JSON-RPC, in the era of the one who writes it; nothing comes before the response.
    Raw,
    /// Streamable HTTP, both eras: told apart by the claim in the message.
    Mcp,
}

/// Who sent a message, and what came with it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who speaks.
    pub principal: Arc<Principal>,
    /// By which kind of endpoint it came.
    pub door: Door,
    /// The value of `MCP-Session-Id`, if one was sent.
    pub session: Option<String>,
    /// The headers by which a modern request may be routed; empty at other doors.
    pub headers: RoutingHeaders,
    /// The client takes an event stream for an answer.
    pub streams: bool,
    /// It likes an event stream more than one JSON object.
    pub prefers_stream: bool,
    /// The peer, for the span.
    pub peer: std::net::SocketAddr,
    /// The context in the HTTP headers, if it was valid.
    pub trace: Option<TraceContext>,
    /// What it takes of its token's quota, kept by all that works for it.
    pub quota: Option<QuotaPermit>,
}

/// The headers of a modern request that repeat what its body says, as they came (MCP 2026-07-28,
/// basic/transports/streamable-http).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingHeaders {
    /// `MCP-Protocol-Version`
    pub version: Sent,
    /// `Mcp-Method`
    pub method: Sent,
    /// `Mcp-Name`
    pub name: Sent,
    /// `Mcp-Param-{name}`: the name in lower case, and the value.
    pub params: Vec<(String, Bytes)>,
}

/// How often a header was sent of which one is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    /// Not at all.
    #[default]
    Never,
    /// Once, with this value.
    Once(Bytes),
    /// More than once, with whatever values.
    Repeatedly,
}

impl Sent {
    /// Notes that it was sent with this value.
    pub(in crate::relay) fn add(&mut self, value: &[u8]) {
        *self = match self {
            Self::Never => Self::Once(match known_revision(value) {
                // Nearly every request has one of these: nothing is copied for it.
                Some(revision) => Bytes::from_static(revision.as_bytes()),
                None => Bytes::copy_from_slice(value),
            }),
            Self::Once(_) | Self::Repeatedly => Self::Repeatedly,
        };
    }

    /// Its value, where there is one.
    pub fn once(&self) -> Option<&Bytes> {
        match self {
            Self::Once(value) => Some(value),
            Self::Never | Self::Repeatedly => None,
        }
    }
}

/// What became of one message.
#[derive(Debug)]
pub enum Answer {
    /// A request: its response, and nothing came before it.
    Reply(Reply),
    /// A notification or a response: taken over, nothing to say.
    Accepted,
    /// A request: what comes before its response, then the response, then the end.
    Stream(Events),
}

/// The response to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The JSON-RPC response, the client's own id in it.
    pub message: Bytes,
    /// The session that the request has opened.
    pub session: Option<Arc<str>>,
    /// The era in which it was asked.
    pub era: Era,
    /// The code, where the response is an error.
    pub error: Option<i64>,
}

/// One message on an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// By which the stream is resumed after this event; none where it cannot be.
    pub id: Option<String>,
    /// How long a client that lost the stream should wait before it resumes it.
    pub retry: Option<Duration>,
    /// One JSON-RPC message on one line; empty in the event that only tells the id.
    pub message: Bytes,
}

impl Event {
    /// One that cannot be resumed after.
    pub(super) fn of(message: Bytes) -> Self {
        Self {
            id: None,
            retry: None,
            message,
        }
    }
}

/// A stream of events. What dropping it means is the revision's to say: in the legacy era nothing, in
/// the modern one the cancellation of the request.
pub struct Events {
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    session: Option<Arc<str>>,
}

impl Events {
    pub(super) fn new(events: impl Stream<Item = Event> + Send + 'static) -> Self {
        Self::opening(None, events)
    }

    /// Of a request that is about to open this session: the client is told its id before it is open.
    pub(super) fn opening(
        session: Option<Arc<str>>,
        events: impl Stream<Item = Event> + Send + 'static,
    ) -> Self {
        Self {
            events: Box::pin(events),
            session,
        }
    }

    /// One message, then the end.
    pub(super) fn one(message: Bytes) -> Self {
        Self::new(stream::iter([Event::of(message)]))
    }

    /// The session that the request opens, if it does not fail.
    pub fn session(&self) -> Option<&Arc<str>> {
        self.session.as_ref()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.as_mut().poll_next(context)
    }
}

/// A failed message.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// The JSON-RPC id as it was written (`1`, `"a"`), where it could be read.
    pub id: Option<Bytes>,
    /// The era in which it was asked, as far as that could be read.
    pub era: Era,
}
