//! The headers that repeat a modern request's body, and whether they repeat it truly (SEP-2243; MCP
//! 2026-07-28, basic/transports/streamable-http, request metadata).
//!
//! Others on the way may route by the headers while the child acts on the body: where the two differ,
//! one of them was deceived. A gateway reads the body, so it must compare.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::tool_headers::{ToolHeader, ToolHeaders};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::members::Object;
use crate::protocol::message::string;
use crate::protocol::{Envelope, Params, Span};
use crate::relay::api::{RoutingHeaders, Sent};

/// The headers of a request do not say what its body says: JSON-RPC -32020 (`HeaderMismatch`), HTTP 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{header} {complaint}, expected {expected}")]
pub(in crate::relay) struct HeaderFault {
    header: Cow<'static, str>,
    complaint: &'static str,
    expected: Cow<'static, str>,
}

impl From<HeaderFault> for Fault {
    fn from(fault: HeaderFault) -> Self {
        Self::new(FaultKind::HeaderMismatch, fault.to_string()).delivered(Delivered::No)
    }
}

impl RoutingHeaders {
    /// Picks the routing headers out of all headers of a request: name, in lower case, and value.
    pub fn pick<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut picked = Self::default();
        for (name, value) in headers {
            let sent = match name {
                "mcp-protocol-version" => &mut picked.version,
                "mcp-method" => &mut picked.method,
                "mcp-name" => &mut picked.name,
                other => {
                    if let Some(suffix) = other.strip_prefix("mcp-param-") {
                        let value = Bytes::copy_from_slice(value);
                        picked.params.push((suffix.to_owned(), value));
                    }
                    continue;
                }
            };
            sent.add(value);
        }
        picked
    }

    /// Compares the headers that every request has with a scanned one (`body`).
    ///
    /// What the body does not say is not compared, except that a header must not say more than it: the
    /// claims and params that a request lacks are for others to complain of.
    pub(in crate::relay) fn check(
        &self,
        envelope: &Envelope,
        body: &[u8],
        method: &str,
    ) -> Result<(), HeaderFault> {
        let version = Header::new("mcp-protocol-version", "the revision in params._meta");
        let found = version.required(&self.version)?;
        let params = envelope.params.unwrap_or_default();
        let claim = params.meta.and_then(|meta| meta.protocol_version);
        if let Some(claim) = claim.and_then(|claim| string(claim.of(body))) {
            version.same(found, &claim)?;
        }
        let header = Header::new("mcp-method", "the method of the body");
        header.same(header.required(&self.method)?, method)?;
        self.check_name(&params, body, method)
    }

    fn check_name(&self, params: &Params, body: &[u8], method: &str) -> Result<(), HeaderFault> {
        let (place, named) = match method {
            "tools/call" | "prompts/get" => ("params.name of the body", params.name),
            "resources/read" => ("params.uri of the body", params.uri),
            // SEP-2663, routing headers.
            "tasks/get" | "tasks/update" | "tasks/cancel" => {
                let object = Object::read(body, params.span, ["taskId"]);
                let task = object.and_then(|Object { values: [task], .. }| task);
                ("params.taskId of the body", task)
            }
            _ => return Ok(()),
        };
        let header = Header::new("mcp-name", place);
        match named.and_then(|named| string(named.of(body))) {
            Some(named) => {
                let found = header.decoded(header.required(&self.name)?)?;
                header.same(&found, &named)
            }
            None if self.name == Sent::Never => Ok(()),
            None => Err(header.fault("is there without one")),
        }
    }

    /// Checks the headers that a tool wants of its calls.
    pub(in crate::relay) fn check_arguments(
        &self,
        envelope: &Envelope,
        body: &[u8],
        tool: &ToolHeaders,
    ) -> Result<(), HeaderFault> {
        let params = envelope.params.unwrap_or_default().span;
        for wanted in tool.headers() {
            let header = Header {
                name: format!("mcp-param-{}", wanted.suffix()).into(),
                expected: format!("the argument {}", wanted.argument()).into(),
            };
            let mut sent = Sent::default();
            for (_, value) in self
                .params
                .iter()
                .filter(|(suffix, _)| suffix == wanted.suffix())
            {
                sent.add(value);
            }
            match argument(wanted, params, body)
                .map_err(|Twice| header.fault("has no one argument to repeat"))?
            {
                Some(argument) => {
                    let found = header.decoded(header.required(&sent)?)?;
                    if !says(&found, argument) {
                        return Err(header.fault("says another thing than the body"));
                    }
                }
                None if sent == Sent::Never => {}
                None => return Err(header.fault("is there without one")),
            }
        }
        Ok(())
    }
}

/// One header, for the complaints about it.
struct Header {
    name: Cow<'static, str>,
    expected: Cow<'static, str>,
}

impl Header {
    fn new(name: &'static str, expected: &'static str) -> Self {
        Self {
            name: name.into(),
            expected: expected.into(),
        }
    }

    fn fault(&self, complaint: &'static str) -> HeaderFault {
        HeaderFault {
            header: self.name.clone(),
            complaint,
            expected: self.expected.clone(),
        }
    }

    /// The one value, without the white space around it.
    fn required<'a>(&self, sent: &'a Sent) -> Result<&'a str, HeaderFault> {
        let value = match sent {
            Sent::Never => return Err(self.fault("is missing")),
            Sent::Once(value) => value,
            Sent::Repeatedly => return Err(self.fault("is there more than once")),
        };
        // RFC 9110, section 5.5: visible ASCII, space and tab.
        let text = std::str::from_utf8(value).ok();
        text.filter(|text| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')))
            .map(|text| text.trim_matches([' ', '\t']))
            .ok_or_else(|| self.fault("has a character that no header may have"))
    }

    /// The value that is meant: what stands between `=?base64?` and `?=`, taken apart. A value without
    /// both of them is what it is.
    fn decoded<'a>(&self, value: &'a str) -> Result<Cow<'a, str>, HeaderFault> {
        let inner = value.strip_prefix("=?base64?");
        let Some(inner) = inner.and_then(|inner| inner.strip_suffix("?=")) else {
            return Ok(value.into());
        };
        let bytes = STANDARD.decode(inner).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Cow::Owned)
            .ok_or_else(|| self.fault("is not base64 of UTF-8"))
    }

    fn same(&self, found: &str, expected: &str) -> Result<(), HeaderFault> {
        if found == expected {
            return Ok(());
        }
        Err(self.fault("says another thing than the body"))
    }
}

/// A member on the way to an argument stands there twice: one reader could see another than the next.
struct Twice;

/// The value of an argument; `None` where the call has none, or has `null`.
fn argument<'a>(
    wanted: &ToolHeader,
    params: Span,
    body: &'a [u8],
) -> Result<Option<&'a [u8]>, Twice> {
    let mut at = params;
    for name in ["arguments"].into_iter().chain(wanted.path()) {
        let Some(object) = Object::read(body, at, [name]) else {
            return Ok(None);
        };
        if object.ambiguous {
            return Err(Twice);
        }
        let [Some(value)] = object.values else {
            return Ok(None);
        };
        at = value;
    }
    Ok(Some(at.of(body)).filter(|value| *value != b"null"))
}

/// Whether a header repeats an argument: text and booleans letter by letter, numbers by their value.
fn says(header: &str, argument: &[u8]) -> bool {
    match argument.first() {
        Some(b'"') => string(argument).is_some_and(|argument| argument == header),
        Some(b't' | b'f') => argument == header.as_bytes(),
        Some(b'-' | b'0'..=b'9') => {
            argument == header.as_bytes()
                || integer(header.as_bytes())
                    .is_some_and(|header| integer(argument) == Some(header))
        }
        _ => false,
    }
}

/// A JSON number without a fraction, in whichever way it is written. Within the numbers that every
/// reader holds exactly (MCP 2026-07-28: -2^53+1 to 2^53-1) only.
fn integer(json: &[u8]) -> Option<i64> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    // One reader for the syntax, as JSON has it; one for the value, which rounds rightly.
    let _: serde_json::Number = serde_json::from_slice(json).ok()?;
    let number: f64 = std::str::from_utf8(json).ok()?.parse().ok()?;
    let whole = number.fract() == 0.0 && number.abs() <= SAFE;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number of at most 53 bits"
    )]
    whole.then_some(number as i64)
}
