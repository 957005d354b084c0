//! Which message goes to which server, what the gateway answers itself, and who hears of it.

mod config;

pub use config::Config;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::fault::Fault;
use crate::supervisor::ServerHandle;
use crate::types::{Principal, ServerId};

/// The door of the relay: every configured server, and the event streams that are open.
#[derive(Debug)]
pub struct Relay {}

/// Who sent a message, and what came with it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who speaks.
    pub principal: Arc<Principal>,
    /// The value of `MCP-Session-Id`, if one was sent.
    pub session: Option<String>,
    /// The peer, for the span.
    pub peer: std::net::SocketAddr,
}

/// What became of one message.
#[derive(Debug)]
pub enum Answer {
    /// A request: its JSON-RPC response, the client's own id in it.
    Reply(Bytes),
    /// A notification or a response: taken over, nothing to say.
    Accepted,
}

/// A failed message.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// The JSON-RPC id as it was written (`1`, `"a"`), where it could be read.
    pub id: Option<Bytes>,
}

impl Relay {
    /// The server with this id, where it exists and the principal may reach it; both other cases are
    /// the same fault.
    pub fn server(&self, _principal: &Principal, _id: &str) -> Result<&ServerHandle, Fault> {
        unimplemented!()
    }

    /// Every server that the principal may reach, in the order of the config file.
    pub fn servers<'a>(
        &'a self,
        _principal: &'a Principal,
    ) -> impl Iterator<Item = &'a ServerHandle> {
        [].iter()
    }

    /// Whether every server is ready, or asleep because nobody has asked for it.
    pub fn is_healthy(&self) -> bool {
        unimplemented!()
    }

    /// Sends one JSON-RPC message (`body`, as it came) to a server and waits for what becomes of it.
    ///
    /// Cancel safe: when the future is dropped, a request that was written runs on and its answer is
    /// dropped (MCP 2025-11-25, transports: a disconnect is not a cancellation).
    pub async fn message(
        &self,
        _server: &ServerId,
        _caller: Caller,
        _body: Bytes,
    ) -> Result<Answer, Failure> {
        unimplemented!()
    }

    /// Opens an event stream with a new session of this principal on one server.
    ///
    /// The session ends when the stream is dropped.
    pub fn open_stream(
        &self,
        _server: &ServerId,
        _principal: &Arc<Principal>,
    ) -> Result<EventStream, Fault> {
        unimplemented!()
    }

    /// Requests and event streams of this server: (requests in flight, open sessions).
    pub fn load(&self, _server: &ServerId) -> (usize, usize) {
        unimplemented!()
    }

    /// Refuses new messages with `shutting_down` and ends every event stream.
    pub fn drain(&self) {}
}

/// The notifications for one session, in the server's order.
#[derive(Debug)]
pub struct EventStream {
    session: String,
}

impl EventStream {
    /// The session's id, for `MCP-Session-Id`.
    pub fn session_id(&self) -> &str {
        &self.session
    }
}

impl futures_util::Stream for EventStream {
    /// One JSON-RPC message on one line, without a newline.
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Poll::Ready(None)
    }
}
