//! One message of a client, as it was read.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::fault::{Fault, FaultKind};
use crate::protocol::era::MODERN_REVISION;
use crate::protocol::message::{InvalidMessage, string};
use crate::protocol::{Envelope, Era, Meta, ScanError, Span, scan};
use crate::relay::api::{Caller, Door};

/// A body and what stands where in it; a clone is the same one.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Message(Arc<Read>);

#[derive(Debug)]
pub(in crate::relay) struct Read {
    pub(in crate::relay) body: Bytes,
    pub(in crate::relay) envelope: Envelope,
}

impl Deref for Message {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.0
    }
}

/// RFC 8259, 2; a form feed is none.
fn is_json_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl Message {
    pub(in crate::relay) fn read(body: Bytes) -> Result<Self, Fault> {
        // RFC 8259 lets a reader ignore a byte order mark; it is never passed on.
        let body = if body.starts_with(b"\xEF\xBB\xBF") {
            body.slice(3..)
        } else {
            body
        };
        let start = body.iter().take_while(|byte| is_json_space(**byte)).count();
        let end = body
            .iter()
            .rev()
            .take_while(|byte| is_json_space(**byte))
            .count();
        if start == body.len() {
            return Err(Fault::new(
                FaultKind::ParseError,
                "the body is empty, expected one JSON-RPC message",
            ));
        }
        Self::of_json(body.slice(start..body.len() - end))
    }

    /// Reads a text that has nothing around it.
    pub(in crate::relay) fn of_json(body: Bytes) -> Result<Self, Fault> {
        let envelope = scan(&body).map_err(|error| invalid(&InvalidMessage::Scan(error)))?;
        Ok(Self(Arc::new(Read { body, envelope })))
    }

    pub(in crate::relay) fn text(&self, span: Span) -> Bytes {
        self.body.slice(span.start..span.end)
    }

    pub(in crate::relay) fn meta(&self) -> Option<Meta> {
        self.envelope.params.and_then(|params| params.meta)
    }

    /// The request makes the claims of the modern era.
    pub(in crate::relay) fn claims_modern(&self) -> bool {
        self.meta()
            .is_some_and(|meta| meta.protocol_version.is_some())
    }

    /// The era in which it is meant: the claim in the body decides, and where there is none the header
    /// (MCP 2026-07-28, basic/versioning: both eras may be served at one endpoint).
    pub(in crate::relay) fn era(&self, caller: &Caller) -> Era {
        let in_header = caller.door == Door::Mcp
            && caller
                .headers
                .version
                .once()
                .is_some_and(|value| value == MODERN_REVISION);
        if self.claims_modern() || in_header {
            Era::Modern
        } else {
            Era::Legacy
        }
    }

    /// The params as JSON text; an empty object where there are none.
    pub(in crate::relay) fn params(&self) -> &[u8] {
        self.envelope
            .params
            .map_or(&b"{}"[..], |params| params.span.of(&self.body))
    }

    /// The resource that the params name.
    pub(in crate::relay) fn uri(&self) -> Option<String> {
        let uri = self.envelope.params?.uri?;
        string(uri.of(&self.body)).map(std::borrow::Cow::into_owned)
    }

    /// The tool, prompt or resource that the params name, without its escapes; empty where none is.
    pub(in crate::relay) fn target(&self) -> String {
        let params = self.envelope.params.unwrap_or_default();
        let span = params.name.or(params.uri);
        let text = span.and_then(|span| string(span.of(&self.body)));
        text.map(std::borrow::Cow::into_owned).unwrap_or_default()
    }
}

pub(in crate::relay) fn invalid(error: &InvalidMessage) -> Fault {
    let kind = match error {
        InvalidMessage::Scan(
            ScanError::NotUtf8 { .. } | ScanError::Syntax { .. } | ScanError::TooDeep,
        ) => FaultKind::ParseError,
        InvalidMessage::Scan(ScanError::NotAnObject { .. } | ScanError::Duplicate(_))
        | InvalidMessage::Member { .. }
        | InvalidMessage::LookAlike
        | InvalidMessage::Shape => FaultKind::InvalidRequest,
    };
    Fault::new(kind, format!("not a JSON-RPC 2.0 message: {error}"))
}
