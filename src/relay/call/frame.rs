//! A request as the child gets it, and its answer as the client knows it.

use bytes::Bytes;
use tracing::Span as TraceSpan;

use super::message::Message;
use super::request::Request;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::era::meta_key;
use crate::protocol::level::Level;
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, MetaSlot, into_frame, splice};
use crate::protocol::trace_context::TraceContext;
use crate::protocol::{Era, Span};
use crate::relay::aggregate;
use crate::relay::api::Target;
use crate::spans;
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
        span: &TraceSpan,
        round: &Message,
    ) -> Result<Vec<u8>, Fault> {
        let Message { body, envelope } = round;
        let meta = round.meta();
        let id = envelope.id.unwrap_or_default();
        let context = spans::context_of(span);
        let told = context.as_ref().or_else(|| {
            if self.own_context().is_none() {
                self.caller.trace.as_ref()
            } else {
                None
            }
        });
        let traceparent = told.map(|context| format!("\"{}\"", context.traceparent()));
        let tracestate = told
            .map(|context| serde_json::json!(context.tracestate().unwrap_or_default()).to_string());
        let mut edits = vec![Edit {
            span: id,
            with: minted.as_bytes(),
        }];
        edits.extend(meta.and_then(|meta| meta.progress_token).map(|span| Edit {
            span,
            with: minted.as_bytes(),
        }));
        let mut members = Vec::new();
        if let Some(value) = &traceparent {
            match meta.and_then(|meta| meta.traceparent) {
                Some(span) => edits.push(Edit {
                    span,
                    with: value.as_bytes(),
                }),
                None => members.push(format!(r#""traceparent":{value}"#)),
            }
        }
        if let Some(value) = &tracestate {
            match meta.and_then(|meta| meta.tracestate) {
                Some(span) => edits.push(Edit {
                    span,
                    with: value.as_bytes(),
                }),
                None if value.len() > 2 => members.push(format!(r#""tracestate":{value}"#)),
                None => {}
            }
        }
        let claims_modern = round.claims_modern();
        if handshake.era == Era::Modern && !claims_modern {
            members.extend(self.claims(round));
        } else if envelope.params.is_none() {
            // Only for its context nothing is added to a request without params.
            members.clear();
        }
        let slot = MetaSlot::of(envelope, body);
        if slot.is_none() && handshake.era == Era::Modern && !claims_modern {
            let text = "params or params._meta is not an object, which this server's protocol revision needs";
            return Err(Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No));
        }
        let inserted = slot
            .filter(|_| !members.is_empty())
            .map(|slot| (slot.at(), slot.text(&members.join(","))));
        edits.extend(inserted.as_ref().map(|(span, text)| Edit {
            span: *span,
            with: text.as_bytes(),
        }));
        Ok(into_frame(splice(body, &mut edits)))
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
            let level = self
                .ear()
                .and_then(|ear| ear.level())
                .unwrap_or(Level::Info);
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
