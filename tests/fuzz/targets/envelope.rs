//! The scan of a message: it takes what a slow reader and `serde_json` take, finds every member where it
//! stands, and a message that passed it is one line in a frame and says the same there.
//!
//! Input: what a peer sends as one message.

use host_mcp_gateway::protocol::Deviation;
use host_mcp_gateway::protocol::message::{ChildMessage, ClientMessage, Ending};
use host_mcp_gateway::protocol::splice::into_frame;
use host_mcp_gateway::protocol::{Envelope, ScanError, Span, scan};
use serde_json::value::RawValue;

use super::reference::{self, Unread, Value};

const TOP: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS: [&str; 7] = [
    "_meta",
    "name",
    "uri",
    "requestId",
    "progressToken",
    "inputResponses",
    "requestState",
];
const META: [&str; 8] = [
    "progressToken",
    "traceparent",
    "tracestate",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/subscriptionId",
];

pub(crate) fn run(data: &[u8]) {
    let expected = reference::read(data);
    if expected.as_ref().err() != Some(&Unread::TooDeep) {
        let theirs =
            std::str::from_utf8(data).is_ok() && serde_json::from_slice::<&RawValue>(data).is_ok();
        assert_eq!(expected.is_ok(), theirs, "serde_json");
    }
    match (scan(data), &expected) {
        (Ok(envelope), Ok(message)) => {
            assert!(message.is_object());
            assert!(!is_ambiguous(message));
            members(&envelope, message, data);
            frame(message, data);
            messages(&envelope, data);
        }
        (Err(ScanError::NotAnObject { array }), Ok(value)) => {
            assert!(!value.is_object());
            assert_eq!(array, value.written(data).starts_with(b"["));
        }
        // What is wrong after a duplicate is not looked at.
        (Err(ScanError::Duplicate(_)), message) => {
            assert!(message.as_ref().map_or(true, is_ambiguous));
        }
        (Err(ScanError::TooDeep), Err(Unread::TooDeep))
        | (Err(ScanError::Syntax { .. } | ScanError::NotUtf8 { .. }), Err(Unread::Syntax)) => {}
        (ours, expected) => panic!("{ours:?}, expected {expected:?}"),
    }
    assert!(matches!(
        (scan(data), ChildMessage::read(data).0),
        (Ok(_), _)
            | (
                Err(_),
                ChildMessage::Unreadable { .. } | ChildMessage::Deviant(_) | ChildMessage::Garbage
            )
    ));
}

fn is_ambiguous(message: &Value) -> bool {
    let twice = |object: &Value, names: &[&str]| names.iter().any(|name| object.count(name) > 1);
    twice(message, &TOP)
        || message.member("params").is_some_and(|params| {
            twice(params, &PARAMS)
                || params
                    .member("_meta")
                    .is_some_and(|meta| twice(meta, &META))
        })
}

/// Whether a name differs from one of JSON-RPC's in its case only, with the two letters that fold to an ASCII one.
fn is_look_alike(name: &str) -> bool {
    let folded: String = name
        .chars()
        .map(|letter| match letter {
            'ſ' => 's',
            'ı' => 'i',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    !TOP.contains(&name) && TOP.contains(&folded.as_str())
}

/// Every member that was found stands where the slow reader sees it, and no other.
fn members(envelope: &Envelope, message: &Value, text: &[u8]) {
    let same = |found: &[Option<Span>], names: &[&str], object: Option<&Value>| {
        for (found, name) in found.iter().zip(names) {
            let expected = object.and_then(|object| object.member(name));
            let expected = expected.map(|value| Span {
                start: value.start,
                end: value.end,
            });
            assert_eq!(*found, expected, "{name}");
        }
    };
    let Envelope {
        jsonrpc,
        id,
        method,
        params,
        result,
        result_is_error,
        result_is_input_required,
        error,
        look_alike,
        close,
    } = *envelope;
    let whole = params.map(|params| params.span);
    same(
        &[jsonrpc, id, method, whole, result, error],
        &TOP,
        Some(message),
    );
    assert_eq!(close, message.end - 1);
    let names = message.members().iter();
    let mut names = names.filter_map(|member| member.name.as_deref());
    assert_eq!(look_alike, names.any(is_look_alike));
    let params_expected = message.member("params");
    let params = params.unwrap_or_default();
    let meta = params.meta.map(|meta| meta.span);
    let found = [
        meta,
        params.name,
        params.uri,
        params.request_id,
        params.progress_token,
        params.input_responses,
        params.request_state,
    ];
    same(&found, &PARAMS, params_expected);
    let is_empty = |value: Option<&Value>| {
        value.is_some_and(|value| value.is_object() && value.members().is_empty())
    };
    assert_eq!(params.empty, is_empty(params_expected));
    let meta_expected = params_expected.and_then(|params| params.member("_meta"));
    let meta = params.meta.unwrap_or_default();
    let found = [
        meta.progress_token,
        meta.traceparent,
        meta.tracestate,
        meta.protocol_version,
        meta.client_capabilities,
        meta.client_info,
        meta.log_level,
        meta.subscription_id,
    ];
    same(&found, &META, meta_expected);
    assert_eq!(meta.empty, is_empty(meta_expected));
    let of_result = |name: &str| Some(message.member("result")?.member(name)?.written(text));
    assert_eq!(result_is_error, of_result("isError") == Some(b"true"));
    let kind = of_result("resultType").and_then(reference::text_of);
    assert_eq!(
        result_is_input_required,
        kind.as_deref() == Some("input_required")
    );
}

/// One line, the same tokens in the same order.
fn frame(message: &Value, text: &[u8]) {
    let frame = into_frame(text.to_vec());
    let (end, line) = frame.split_last().expect("a newline at least");
    assert_eq!(*end, b'\n');
    assert!(!line.iter().any(|byte| b"\r\n".contains(byte)));
    let framed = reference::read(line).expect("a frame is JSON");
    assert_eq!(framed.minified(line), message.minified(text));
}

/// What the message is taken for holds what stands in it.
fn messages(envelope: &Envelope, text: &[u8]) {
    let method = || {
        envelope
            .method
            .and_then(|span| reference::text_of(span.of(text)))
    };
    match ClientMessage::read(envelope, text) {
        Ok(ClientMessage::Request { id, method: found }) => {
            assert_eq!(envelope.id, Some(id));
            assert_eq!(Some(found.into_owned()), method());
        }
        Ok(ClientMessage::Notification { method: found }) => {
            assert_eq!(envelope.id, None);
            assert_eq!(Some(found.into_owned()), method());
        }
        Ok(ClientMessage::Response { id }) => {
            assert_eq!((envelope.id, envelope.method), (Some(id), None));
        }
        Err(refused) => assert!(!refused.to_string().contains(['\n', '\r'])),
    }
    match ChildMessage::read(text).0 {
        ChildMessage::Response {
            id,
            span,
            ending,
            deviation,
        } => {
            let bare = std::str::from_utf8(span.of(text)).map(|id| id.trim_matches('"'));
            if deviation != Some(Deviation::IdAsFraction) {
                assert_eq!(bare.map(str::parse), Ok(Ok(id)));
            }
            assert_eq!(matches!(ending, Ending::Error(_)), envelope.error.is_some());
        }
        ChildMessage::BadResponse { .. }
        | ChildMessage::Unreadable { .. }
        | ChildMessage::Deviant(_)
        | ChildMessage::Garbage => {}
        ChildMessage::Request { method: found, .. }
        | ChildMessage::Notification { method: found } => {
            assert_eq!(Some(found.into_owned()), method());
        }
    }
}
