//! Where the members stand that a gateway must see: one validating pass over a message.

use super::era::meta_key;
use super::json::{Cursor, Text};
use super::message::string;

/// A part of a scanned text, as byte offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The bytes of `text` at this span; empty where the span does not belong to this text.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// All of a text.
    pub fn whole(text: &[u8]) -> Self {
        Self {
            start: 0,
            end: text.len(),
        }
    }

    /// A place between two bytes.
    pub fn empty_at(at: usize) -> Self {
        Self { start: at, end: at }
    }
}

/// Why a text is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The text is not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// The text is not one JSON value.
    #[error("not valid JSON at byte {at}")]
    Syntax {
        /// Where the scan stopped.
        at: usize,
    },
    /// More levels of nesting than are followed.
    #[error("nested more than 128 levels deep")]
    TooDeep,
    /// A JSON value, but not an object; `true` for an array, which an older revision used as a batch.
    #[error("{}", if *.array { "a batch, which no revision since 2025-06-18 knows; send the messages one by one" } else { "not a JSON object" })]
    NotAnObject {
        /// The value is an array.
        array: bool,
    },
    /// A member that decides what the message is stands in it twice, so that two readers could see two messages.
    #[error("duplicate member {0:?}")]
    Duplicate(&'static str),
}

/// What a scan found: the spans of values, strings with their quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `jsonrpc`
    pub jsonrpc: Option<Span>,
    /// `id`
    pub id: Option<Span>,
    /// `method`
    pub method: Option<Span>,
    /// `params`
    pub params: Option<Params>,
    /// `result`
    pub result: Option<Span>,
    /// The result is an object with `isError: true`: the answer of a tool that failed.
    pub result_is_error: bool,
    /// The result is an object with `resultType: "input_required"`: the server wants to be asked again
    /// with more input (MCP 2026-07-28, basic/patterns/mrtr).
    pub result_is_input_required: bool,
    /// `error`
    pub error: Option<Span>,
    /// A member stands there whose name differs from one of the above in its case only. It is none of
    /// them, and a reader that folds case would see another message (CVE-2026-27896).
    pub look_alike: bool,
    /// The closing brace of the message.
    pub close: usize,
}

/// `params`, and the members of it that a gateway must see. All `None` where it is no object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The whole value.
    pub span: Span,
    /// It is an object without members.
    pub empty: bool,
    /// `_meta`
    pub meta: Option<Meta>,
    /// `name`, of a tool or a prompt.
    pub name: Option<Span>,
    /// `uri`, of a resource.
    pub uri: Option<Span>,
    /// `requestId`, of a cancellation.
    pub request_id: Option<Span>,
    /// `progressToken`, of a progress notification.
    pub progress_token: Option<Span>,
    /// `inputResponses`, of a request that is made again with more input.
    pub input_responses: Option<Span>,
    /// `requestState`, of the same.
    pub request_state: Option<Span>,
    /// `task`, of a request to be made a task of.
    pub task: Option<Span>,
}

/// `_meta`, and the members of it that a gateway must see. All `None` where it is no object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The whole value.
    pub span: Span,
    /// It is an object without members.
    pub empty: bool,
    /// `progressToken`
    pub progress_token: Option<Span>,
    /// `traceparent` (W3C Trace Context, SEP-414)
    pub traceparent: Option<Span>,
    /// `tracestate`
    pub tracestate: Option<Span>,
    /// `io.modelcontextprotocol/protocolVersion`: the claim that makes a request a modern one.
    pub protocol_version: Option<Span>,
    /// `io.modelcontextprotocol/clientCapabilities`
    pub client_capabilities: Option<Span>,
    /// `io.modelcontextprotocol/clientInfo`
    pub client_info: Option<Span>,
    /// `io.modelcontextprotocol/logLevel`
    pub log_level: Option<Span>,
    /// `io.modelcontextprotocol/subscriptionId`
    pub subscription_id: Option<Span>,
    /// `io.modelcontextprotocol/related-task`
    pub related_task: Option<Span>,
}

/// Validates that `text` is one JSON object in UTF-8 and notes where its members stand.
///
/// Key comparison is exact, after unescaping (`"\u0069d"` is `id`, `"Id"` is not; CVE-2026-27896). Of
/// the members noted none may stand twice; other members may.
pub fn scan(text: &[u8]) -> Result<Envelope, ScanError> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(ScanError::NotUtf8 {
            at: error.valid_up_to(),
        });
    }
    let mut cursor = Cursor::new(text);
    if cursor.peek() != Some(b'{') {
        let array = cursor.peek() == Some(b'[');
        cursor.value(0)?;
        cursor.end()?;
        return Err(ScanError::NotAnObject { array });
    }
    let mut envelope = Envelope::default();
    object(&mut cursor, |cursor, key| {
        match Key(text, key).name().as_ref() {
            b"jsonrpc" => once(&mut envelope.jsonrpc, "jsonrpc", cursor.value(1)?),
            b"id" => once(&mut envelope.id, "id", cursor.value(1)?),
            b"method" => once(&mut envelope.method, "method", cursor.value(1)?),
            b"result" => {
                let span = result(cursor, text, &mut envelope)?;
                once(&mut envelope.result, "result", span)
            }
            b"error" => once(&mut envelope.error, "error", cursor.value(1)?),
            b"params" => once(&mut envelope.params, "params", params(cursor, text)?),
            other => {
                envelope.look_alike |= is_look_alike(other);
                cursor.value(1).map(drop)
            }
        }
    })?;
    envelope.close = cursor.at().saturating_sub(1);
    cursor.end()?;
    Ok(envelope)
}

/// Whether a name that is none of JSON-RPC's would be one if case did not matter. As in Go's
/// `encoding/json`, `ſ` is an `s` then.
fn is_look_alike(name: &[u8]) -> bool {
    const NAMES: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
    let name = String::from_utf8_lossy(name).to_uppercase().to_lowercase();
    NAMES.contains(&name.as_str())
}

/// A result, and what kind of one it is.
fn result(
    cursor: &mut Cursor<'_>,
    text: &[u8],
    envelope: &mut Envelope,
) -> Result<Span, ScanError> {
    if cursor.peek() != Some(b'{') {
        return cursor.value(1);
    }
    let start = cursor.at();
    object(cursor, |cursor, key| {
        let value = cursor.value(2)?;
        match Key(text, key).name().as_ref() {
            b"isError" => envelope.result_is_error = value.of(text) == b"true",
            b"resultType" => {
                let kind = string(value.of(text));
                envelope.result_is_input_required = kind.as_deref() == Some("input_required");
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(Span {
        start,
        end: cursor.at(),
    })
}

fn params(cursor: &mut Cursor<'_>, text: &[u8]) -> Result<Params, ScanError> {
    let mut found = Params::default();
    if cursor.peek() != Some(b'{') {
        found.span = cursor.value(1)?;
        return Ok(found);
    }
    let start = cursor.at();
    let members = object(cursor, |cursor, key| match Key(text, key).name().as_ref() {
        b"_meta" => once(&mut found.meta, "params._meta", meta(cursor, text)?),
        b"name" => once(&mut found.name, "params.name", cursor.value(2)?),
        b"uri" => once(&mut found.uri, "params.uri", cursor.value(2)?),
        b"requestId" => once(&mut found.request_id, "params.requestId", cursor.value(2)?),
        b"progressToken" => once(
            &mut found.progress_token,
            "params.progressToken",
            cursor.value(2)?,
        ),
        b"inputResponses" => once(
            &mut found.input_responses,
            "params.inputResponses",
            cursor.value(2)?,
        ),
        b"requestState" => once(
            &mut found.request_state,
            "params.requestState",
            cursor.value(2)?,
        ),
        b"task" => once(&mut found.task, "params.task", cursor.value(2)?),
        _ => cursor.value(2).map(drop),
    })?;
    found.span = Span {
        start,
        end: cursor.at(),
    };
    found.empty = members == 0;
    Ok(found)
}

fn meta(cursor: &mut Cursor<'_>, text: &[u8]) -> Result<Meta, ScanError> {
    let mut found = Meta::default();
    if cursor.peek() != Some(b'{') {
        found.span = cursor.value(2)?;
        return Ok(found);
    }
    let start = cursor.at();
    let members = object(cursor, |cursor, key| {
        let name = Key(text, key).name();
        let (place, name) = match name.as_ref() {
            b"progressToken" => (&mut found.progress_token, "params._meta.progressToken"),
            b"traceparent" => (&mut found.traceparent, "params._meta.traceparent"),
            b"tracestate" => (&mut found.tracestate, "params._meta.tracestate"),
            name if name == meta_key::PROTOCOL_VERSION.as_bytes() => {
                (&mut found.protocol_version, meta_key::PROTOCOL_VERSION)
            }
            name if name == meta_key::CLIENT_CAPABILITIES.as_bytes() => (
                &mut found.client_capabilities,
                meta_key::CLIENT_CAPABILITIES,
            ),
            name if name == meta_key::CLIENT_INFO.as_bytes() => {
                (&mut found.client_info, meta_key::CLIENT_INFO)
            }
            name if name == meta_key::LOG_LEVEL.as_bytes() => {
                (&mut found.log_level, meta_key::LOG_LEVEL)
            }
            name if name == meta_key::SUBSCRIPTION_ID.as_bytes() => {
                (&mut found.subscription_id, meta_key::SUBSCRIPTION_ID)
            }
            name if name == meta_key::RELATED_TASK.as_bytes() => {
                (&mut found.related_task, meta_key::RELATED_TASK)
            }
            _ => return cursor.value(3).map(drop),
        };
        once(place, name, cursor.value(3)?)
    })?;
    found.span = Span {
        start,
        end: cursor.at(),
    };
    found.empty = members == 0;
    Ok(found)
}

/// Walks the members of an object, of which the visitor consumes each value; gives their number.
pub(super) fn object<'a>(
    cursor: &mut Cursor<'a>,
    mut visit: impl FnMut(&mut Cursor<'a>, Text) -> Result<(), ScanError>,
) -> Result<usize, ScanError> {
    cursor.expect(b'{')?;
    if cursor.peek() == Some(b'}') {
        cursor.expect(b'}')?;
        return Ok(0);
    }
    let mut members = 0;
    loop {
        let key = cursor.key()?;
        visit(cursor, key)?;
        members += 1;
        if !cursor.more(b'}')? {
            return Ok(members);
        }
    }
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), ScanError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ScanError::Duplicate(name)),
    }
}

/// A key as it stands in the text.
pub(super) struct Key<'a>(pub(super) &'a [u8], pub(super) Text);

impl<'a> Key<'a> {
    /// The name that is meant: without quotes and escapes.
    #[inline]
    pub(super) fn name(&self) -> std::borrow::Cow<'a, [u8]> {
        let Self(text, Text { span, escaped }) = *self;
        if !escaped {
            return Span {
                start: span.start + 1,
                end: span.end.saturating_sub(1),
            }
            .of(text)
            .into();
        }
        // A key with a lone surrogate is no name that we know.
        let name: Result<String, _> = serde_json::from_slice(span.of(text));
        name.map(String::into_bytes).unwrap_or_default().into()
    }
}
