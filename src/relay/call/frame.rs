//! A request as the child gets it, and its answer as the client knows it.

use bytes::Bytes;

use super::message::Message;
use super::request::Request;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::era::meta_key;
use crate::protocol::message::string;
use crate::protocol::request::{self, NoPlace, Rewriting};
use crate::protocol::trace_context::TraceContext;
use crate::protocol::{Era, Span};
use crate::relay::aggregate;
use crate::relay::api::Target;
use crate::relay::hub::USUAL;
use crate::spans::MessageSpan;
use crate::supervisor::{Handshake, claims};

impl Request {
    /// A response under the names that its client knows.
    pub(super) fn named(&self, message: Bytes) -> Bytes {
        match self.target {
            Target::Server(_) => message,
            Target::All => aggregate::renamed(&self.method, self.upstream.handle.id(), message),
        }
    }

    /// The request as the child gets it: our id, our progress token, our span's context, and the claims
    /// of the modern era where the child wants them and the client did not make them.
    pub(super) fn frame(
        &self,
        minted: &str,
        handshake: &Handshake,
        span: &MessageSpan,
        round: &Message,
    ) -> Result<Vec<u8>, Fault> {
        let context = span.told();
        let told = context.as_ref().or_else(|| {
            if self.own_context().is_none() {
                self.caller.trace.as_ref()
            } else {
                None
            }
        });
        let wants_claims = handshake.era == Era::Modern && !round.claims_modern();
        let rewriting = Rewriting {
            id: minted,
            context: told,
            claims: wants_claims.then(|| self.claims(round)),
        };
        request::framed(&round.body, &round.envelope, rewriting).map_err(|NoPlace| {
            let text = "params or params._meta is not an object, which this server's protocol revision needs";
            Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No)
        })
    }

    /// The claims that a modern child wants and that the client did not make: those of its session, or
    /// else those of one that cannot be asked anything.
    fn claims(&self, round: &Message) -> Vec<String> {
        let meta = round.meta().unwrap_or_default();
        let there = |key: &str| match key {
            meta_key::PROTOCOL_VERSION => meta.protocol_version.is_some(),
            meta_key::CLIENT_CAPABILITIES => {
                meta.client_capabilities.is_some() || self.session.is_some()
            }
            meta_key::CLIENT_INFO => meta.client_info.is_some(),
            _ => false,
        };
        let mut members = claims(there);
        if let Some(session) = self
            .session
            .as_ref()
            .filter(|_| meta.client_capabilities.is_none())
        {
            let (key, declared) = (
                meta_key::CLIENT_CAPABILITIES,
                &session.agreed().capabilities,
            );
            members.push(format!("\"{key}\":{declared}"));
            // A client of the legacy era hears logs unless it says otherwise.
            let level = self.ear().and_then(|ear| ear.level()).unwrap_or(USUAL);
            members.push(format!(
                "\"{}\":\"{}\"",
                meta_key::LOG_LEVEL,
                level.as_str()
            ));
        }
        members
    }

    /// The context that the client put into the message itself, if it is valid.
    pub(super) fn own_context(&self) -> Option<TraceContext> {
        let meta = self.message.meta()?;
        let text = |span: Option<Span>| span.and_then(|span| string(span.of(&self.message.body)));
        TraceContext::parse(&text(meta.traceparent)?, text(meta.tracestate).as_deref())
    }
}
