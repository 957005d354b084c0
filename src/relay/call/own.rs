//! What the gateway answers itself, and what it must know of a request before the child gets it.

use bytes::Bytes;
use tracing::Span as TraceSpan;

use super::Request;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::Outcome;
use crate::protocol::message::string;
use crate::relay::{Door, answers};
use crate::supervisor::Handshake;

impl Request<'_> {
    pub(super) async fn answer(&self, span: &TraceSpan) -> Result<(Bytes, Outcome), Fault> {
        let own = |bytes: Vec<u8>| Ok((bytes.into(), Outcome::Ok));
        let handle = &self.upstream.handle;
        self.check_era()?;
        if self.method == "ping" {
            return own(answers::empty(self.client_id()));
        }
        if self.method == "subscriptions/listen" {
            let text = "subscriptions/listen has no stream here, expected GET on this path for notifications";
            return Err(Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No));
        }
        let handshake = handle.wait_for_handshake().await?;
        match self.method {
            "initialize" => {
                let params = self
                    .message
                    .envelope
                    .params
                    .map_or(&b"{}"[..], |params| params.span.of(&self.message.body));
                return own(answers::initialize(self.client_id(), params, &handshake));
            }
            "server/discover" => return own(answers::discover(self.client_id(), &handshake)),
            "resources/subscribe" => return self.subscribe(&handshake, span).await,
            "resources/unsubscribe" => {
                if let (Some(session), Some(uri)) = (&self.session, self.uri()) {
                    self.sessions.unsubscribe(&session.id, &uri);
                }
                // The child has one subscription for all: it stays while anybody wants it.
                let wanted = |uri: String| self.upstream.hub.is_wanted(&uri);
                if self.uri().is_some_and(wanted) {
                    return own(answers::empty(self.client_id()));
                }
            }
            _ => {}
        }
        self.ask_child(&handshake, span).await
    }

    /// Noted before the child hears of it, so that its first update finds the session; unless the child
    /// refuses, of course.
    async fn subscribe(
        &self,
        handshake: &Handshake,
        span: &TraceSpan,
    ) -> Result<(Bytes, Outcome), Fault> {
        let (Some(session), Some(uri)) = (&self.session, self.uri()) else {
            return self.ask_child(handshake, span).await;
        };
        self.sessions.subscribe(&session.id, &uri);
        let answered = self.ask_child(handshake, span).await;
        if !matches!(answered, Ok((_, Outcome::Ok))) {
            self.sessions.unsubscribe(&session.id, &uri);
        }
        answered
    }

    /// At a legacy endpoint a request of the modern era is refused with the code by which a client of
    /// both eras knows to fall back (MCP 2026-07-28, basic/versioning).
    fn check_era(&self) -> Result<(), Fault> {
        match self.caller.door {
            Door::Raw => Ok(()),
            Door::Mcp if !self.is_modern() && self.method != "server/discover" => Ok(()),
            Door::Mcp => {
                let text = "this endpoint serves the revisions 2024-11-05 to 2025-11-25, expected initialize";
                Err(Fault::new(FaultKind::UnsupportedVersion, text).delivered(Delivered::No))
            }
        }
    }

    fn uri(&self) -> Option<String> {
        let uri = self.message.envelope.params?.uri?;
        string(uri.of(&self.message.body)).map(std::borrow::Cow::into_owned)
    }
}
