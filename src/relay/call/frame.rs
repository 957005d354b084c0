//! A request as the child gets it.

use tracing::Span as TraceSpan;

use super::{Message, Request};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::era::meta_key;
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, MetaSlot, into_frame, splice};
use crate::protocol::trace_context::TraceContext;
use crate::protocol::{Era, Meta, Span};
use crate::spans;
use crate::supervisor::{Handshake, claims};

impl Request<'_> {
    /// The request as the child gets it: our id, our progress token, our span's context, and the claims
    /// of the modern era where the child wants them and the client did not make them.
    pub(super) fn frame(
        &self,
        minted: &str,
        handshake: &Handshake,
        span: &TraceSpan,
    ) -> Result<Vec<u8>, Fault> {
        let Message { body, envelope } = self.message;
        let meta = self.meta();
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
            span: self.id,
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
        if handshake.era == Era::Modern && !self.is_modern() {
            members.extend(claims(|key| self.claims_already(key)));
        } else if envelope.params.is_none() {
            // Only for its context nothing is added to a request without params.
            members.clear();
        }
        let slot = MetaSlot::of(envelope, body);
        if slot.is_none() && handshake.era == Era::Modern && !self.is_modern() {
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

    /// Whether the client made this claim itself.
    fn claims_already(&self, key: &str) -> bool {
        let claimed = |meta: Meta| match key {
            meta_key::PROTOCOL_VERSION => meta.protocol_version,
            meta_key::CLIENT_CAPABILITIES => meta.client_capabilities,
            meta_key::CLIENT_INFO => meta.client_info,
            _ => None,
        };
        self.meta().and_then(claimed).is_some()
    }

    /// The context that the client put into the message itself, if it is valid.
    pub(super) fn own_context(&self) -> Option<TraceContext> {
        let meta = self.meta()?;
        let text = |span: Option<Span>| span.and_then(|span| string(span.of(&self.message.body)));
        TraceContext::parse(&text(meta.traceparent)?, text(meta.tracestate).as_deref())
    }
}
