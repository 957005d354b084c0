//! What a scanned message is, and whether its sender may send such a one.
//!
//! Strict towards clients, who are told what is wrong; lenient towards children, whose every valid
//! answer is a client's.

use std::borrow::Cow;

use super::deviation::Deviation;
use super::envelope::{Envelope, ScanError, Span};
use super::members::Object;
use super::salvage::Salvaged;

/// Longest id, progress token or method, in bytes of JSON text. Ids are echoed, methods become names
/// of spans: neither may carry a payload.
const MAX_NAME: usize = 1024;
/// Longest number as an id, in digits.
const MAX_DIGITS: usize = 64;

/// Why JSON is not a JSON-RPC 2.0 message that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// Not one JSON object.
    #[error("{0}")]
    Scan(#[from] ScanError),
    /// The member does not hold what it must.
    #[error("{member} is {found}, expected {expected}")]
    Member {
        /// Which member.
        member: &'static str,
        /// What it holds.
        found: &'static str,
        /// What it must hold.
        expected: &'static str,
    },
    /// A member that is none of JSON-RPC's, and that another reader may take for one.
    #[error("a member has the name of one of JSON-RPC's in another case")]
    LookAlike,
    /// Neither a request, nor a notification, nor a response.
    #[error(
        "neither a request (method and id), nor a notification (method), nor a response (id and either result or error)"
    )]
    Shape,
}

/// One message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// Wants an answer.
    Request {
        /// Where the id stands.
        id: Span,
        /// What is asked for.
        method: Cow<'a, str>,
    },
    /// Wants none.
    Notification {
        /// What is told.
        method: Cow<'a, str>,
    },
    /// Answers a request of the server's.
    Response {
        /// Where the id stands.
        id: Span,
    },
}

impl<'a> ClientMessage<'a> {
    /// Reads what `scan` found in `text`.
    pub fn read(envelope: &Envelope, text: &'a [u8]) -> Result<Self, InvalidMessage> {
        let version = envelope.jsonrpc.map(|span| span.of(text));
        if version != Some(b"\"2.0\"") && version.and_then(string).as_deref() != Some("2.0") {
            return Err(wrong("jsonrpc", version, "the string \"2.0\""));
        }
        if envelope.look_alike {
            return Err(InvalidMessage::LookAlike);
        }
        if let Some(id) = envelope.id {
            check_token(
                "id",
                id.of(text),
                "an integer of at most 64 digits or a string of at most 1024 bytes",
            )?;
        }
        if let Some(params) = &envelope.params {
            check_params(params, text)?;
        }
        let answers = envelope.result.is_some() || envelope.error.is_some();
        match (envelope.id, envelope.method, answers) {
            (id, Some(method), false) => {
                let method = name("method", method.of(text))?;
                Ok(match id {
                    Some(id) => Self::Request { id, method },
                    None => Self::Notification { method },
                })
            }
            (Some(id), None, true) if envelope.result.is_none() || envelope.error.is_none() => {
                Ok(Self::Response { id })
            }
            _ => Err(InvalidMessage::Shape),
        }
    }
}

fn check_params(params: &super::Params, text: &[u8]) -> Result<(), InvalidMessage> {
    let whole = params.span.of(text);
    if !matches!(whole.first(), Some(b'{' | b'[')) {
        return Err(wrong("params", Some(whole), "an object or an array"));
    }
    if let Some(span) = params.name
        && span.of(text).first() == Some(&b'"')
    {
        name("params.name", span.of(text))?;
    }
    if let Some(token) = params.meta.and_then(|meta| meta.progress_token) {
        check_token(
            "params._meta.progressToken",
            token.of(text),
            "an integer or a string of at most 1024 bytes",
        )?;
    }
    Ok(())
}

/// A string that names something: not empty, no lone surrogate, no NUL.
fn name<'a>(member: &'static str, json: &'a [u8]) -> Result<Cow<'a, str>, InvalidMessage> {
    let expected = "a string of 1 to 1024 bytes without NUL";
    let name = (json.len() <= MAX_NAME).then(|| string(json)).flatten();
    name.filter(|name| !name.is_empty() && !name.contains('\0'))
        .ok_or_else(|| wrong(member, Some(json), expected))
}

/// Ids and progress tokens: an integer as text, or a string.
fn check_token(
    member: &'static str,
    json: &[u8],
    expected: &'static str,
) -> Result<(), InvalidMessage> {
    let legal = match json.first() {
        Some(b'"') => json.len() <= MAX_NAME && string(json).is_some(),
        Some(b'-' | b'0'..=b'9') => {
            let digits = json.strip_prefix(b"-").unwrap_or(json);
            digits.len() <= MAX_DIGITS && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    if legal {
        Ok(())
    } else {
        Err(wrong(member, Some(json), expected))
    }
}

/// The text of a JSON string; `None` for other values and for lone surrogates.
pub fn string(json: &[u8]) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(json).ok().map(Cow::Owned)
}

fn wrong(member: &'static str, json: Option<&[u8]>, expected: &'static str) -> InvalidMessage {
    let found = match json.and_then(|json| json.first()) {
        None => "missing",
        Some(b'"') => "another string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(_) => "another number",
    };
    InvalidMessage::Member {
        member,
        found,
        expected,
    }
}

/// What kind of answer a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A result.
    Result,
    /// A result with `isError: true`, by which a tool says that it failed.
    ToolError,
    /// A result with `resultType: "input_required"`: to be asked again with more input.
    InputRequired,
    /// An error; where the error object stands.
    Error(Span),
}

/// One message from a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildMessage<'a> {
    /// Answers a request of ours.
    Response {
        /// The id that we minted.
        id: u64,
        /// Where it stands.
        span: Span,
        /// What kind of answer it is.
        ending: Ending,
        /// How the id differs from what was asked with.
        deviation: Option<Deviation>,
    },
    /// Bears the id of a request of ours, and is JSON, but no response.
    BadResponse {
        /// The id that we minted.
        id: u64,
    },
    /// Asks something of a client.
    Request {
        /// Where the id stands.
        id: Span,
        /// What is asked for.
        method: Cow<'a, str>,
    },
    /// Tells something.
    Notification {
        /// What is told.
        method: Cow<'a, str>,
    },
    /// Answers or asks something, but not in a way that could be passed on: who waits for it is to be told.
    Unreadable {
        /// The ids that it bears.
        ids: Salvaged,
        /// Why it is no message.
        error: InvalidMessage,
    },
    /// Can be read once [`Deviation::undo`] has made one or more messages of it.
    Deviant(Deviation),
    /// Nothing that JSON-RPC knows.
    Garbage,
}

impl<'a> ChildMessage<'a> {
    /// Reads a line of the child's output.
    pub fn read(text: &'a [u8]) -> (Self, Envelope) {
        match super::scan(text) {
            Ok(envelope) => (Self::of(&envelope, text), envelope),
            Err(error) => (Self::unreadable(text, error), Envelope::default()),
        }
    }

    /// What a line was meant as that did not pass the scan.
    #[cold]
    fn unreadable(text: &[u8], error: ScanError) -> Self {
        if let Some(deviation) = Deviation::of_text(text, error) {
            return Self::Deviant(deviation);
        }
        let ids = super::salvage::ids_of(text);
        if ids == Salvaged::default() {
            return Self::Garbage;
        }
        let error = error.into();
        Self::Unreadable { ids, error }
    }

    fn of(envelope: &Envelope, text: &'a [u8]) -> Self {
        if envelope
            .params
            .is_some_and(|params| is_null(params.span, text))
        {
            return Self::Deviant(Deviation::NullMember);
        }
        if let Some(method) = envelope.method {
            let Some(name) = string(method.of(text)) else {
                return Self::without_method_name(envelope, method, text);
            };
            return match envelope.id {
                Some(id) if is_null(id, text) => Self::Deviant(Deviation::NullMember),
                Some(id) => Self::Request { id, method: name },
                None => Self::Notification { method: name },
            };
        }
        let Some((span, id)) = envelope
            .id
            .and_then(|span| Some((span, minted(span.of(text))?)))
        else {
            return Self::Garbage;
        };
        let ending = match (envelope.result, envelope.error) {
            (Some(_), None) if envelope.result_is_error => Ending::ToolError,
            (Some(_), None) if envelope.result_is_input_required => Ending::InputRequired,
            (Some(_), None) => Ending::Result,
            (None, Some(error)) if is_error(text, error) => Ending::Error(error),
            (Some(result), Some(error)) if is_null(result, text) || is_null(error, text) => {
                return Self::Deviant(Deviation::NullMember);
            }
            _ => return Self::BadResponse { id },
        };
        Self::Response {
            id,
            span,
            ending,
            deviation: Deviation::of_id(span.of(text)),
        }
    }

    /// What a message is whose method is no string.
    #[cold]
    fn without_method_name(envelope: &Envelope, method: Span, text: &[u8]) -> Self {
        if is_null(method, text) {
            return Self::Deviant(Deviation::NullMember);
        }
        match envelope.id.filter(|id| !is_null(*id, text)) {
            Some(id) => Self::Unreadable {
                ids: Salvaged {
                    request: Some(id.of(text).to_vec()),
                    response: None,
                },
                error: wrong("method", Some(method.of(text)), "a string"),
            },
            None => Self::Garbage,
        }
    }
}

/// The frame that refuses a request of a child whose id was found, one line with its newline.
pub fn refusal(id: &[u8], code: i32, message: &str) -> Vec<u8> {
    let message = serde_json::Value::from(message).to_string();
    let error = format!(r#","error":{{"code":{code},"message":{message}}}}}"#);
    let answer = [br#"{"jsonrpc":"2.0","id":"#, id, error.as_bytes()].concat();
    super::splice::into_frame(answer)
}

fn is_null(span: Span, text: &[u8]) -> bool {
    span.of(text) == b"null"
}

/// Whether a value is an error object: with one code, an integer (JSON-RPC 2.0, 5.1). Without it no client
/// could read the response; the rest of it is the client's.
fn is_error(text: &[u8], error: Span) -> bool {
    let Some(members) = Object::read(text, error, ["code", "data"]) else {
        return false;
    };
    let [code, _data] = members.values;
    let is_integer = code.is_some_and(|code| {
        let code = code.of(text);
        let digits = code.strip_prefix(b"-").unwrap_or(code);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    });
    is_integer && !members.ambiguous
}

/// An id of ours as a child gives it back: an integer. As a number of the same value (`3.0`, `3E0`) or as
/// a string it is not right and yet cannot mean another, since we mint integers only.
pub fn minted(json: &[u8]) -> Option<u64> {
    let number = json
        .strip_prefix(b"\"")
        .and_then(|json| json.strip_suffix(b"\""))
        .unwrap_or(json);
    if !number.iter().all(u8::is_ascii_digit) {
        return whole_number(number);
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// The value of a number with a fraction or an exponent, where it is a whole one that is not negative.
#[cold]
fn whole_number(number: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(number).ok()?;
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = [whole, fraction].concat();
    // The parser of Rust takes a sign, and there can be none here.
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut value: u64 = digits.parse().ok()?;
    let exponent: i32 = exponent.parse().ok()?;
    let mut shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    while value > 0 && shift != 0 {
        value = if shift > 0 {
            value.checked_mul(10)?
        } else if value.is_multiple_of(10) {
            value / 10
        } else {
            return None;
        };
        shift -= shift.signum();
    }
    Some(value)
}
