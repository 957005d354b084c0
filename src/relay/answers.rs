//! What the gateway answers itself, from the handshake that it did with the child.
//!
//! A second `initialize` never reaches a shared child: every server measured takes it for a new
//! negotiation and changes version and capabilities for everybody.

use std::borrow::Cow;

use serde::Deserialize;

use crate::protocol::era::{NEWEST_LEGACY, REVISIONS, meta_key, negotiate_legacy};
use crate::protocol::members::{self, Object};
use crate::protocol::splice::{Patch, patched};
use crate::protocol::{Era, Span};
use crate::supervisor::Handshake;

/// The response to `initialize`; `params` as it came.
pub(super) fn initialize(id: &[u8], params: &[u8], handshake: &Handshake) -> Vec<u8> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        protocol_version: String,
    }
    // A client that wishes nothing gets the newest, as one does that wishes what we do not know.
    let wish: Option<Params> = serde_json::from_slice(params).ok();
    let version = wish.map_or(NEWEST_LEGACY, |wish| {
        negotiate_legacy(&wish.protocol_version)
    });
    let Handshake {
        capabilities,
        server_info,
        ..
    } = handshake;
    let mut result = format!(
        r#"{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{server_info}"#,
        &**capabilities,
    );
    push_instructions(&mut result, handshake);
    result.push('}');
    response(id, &result)
}

/// The response to `server/discover`.
pub(super) fn discover(id: &[u8], handshake: &Handshake) -> Vec<u8> {
    let versions = serde_json::json!(REVISIONS);
    let Handshake { server_info, .. } = handshake;
    let capabilities = modern_capabilities(handshake);
    let mut result = format!(
        r#"{{"resultType":"complete","supportedVersions":{versions},"capabilities":{capabilities},"ttlMs":0,"cacheScope":"private","_meta":{{"{}":{server_info}}}"#,
        meta_key::SERVER_INFO
    );
    push_instructions(&mut result, handshake);
    result.push('}');
    response(id, &result)
}

/// What a server can do for a modern client: the tasks of the legacy era are none that it knows
/// (MCP 2026-07-28, changelog: tasks are an extension of another shape).
fn modern_capabilities(handshake: &Handshake) -> String {
    let text = handshake.capabilities.as_bytes();
    let tasks = member(text, Span::whole(text), "tasks");
    match tasks.filter(|_| handshake.era == Era::Legacy) {
        Some(tasks) => without(text, tasks),
        None => handshake.capabilities.to_string(),
    }
}

/// The same handshake of a server that does not say that it lists tasks.
pub(super) fn without_task_list(handshake: &Handshake) -> Cow<'_, Handshake> {
    let text = handshake.capabilities.as_bytes();
    let tasks = member(text, Span::whole(text), "tasks");
    let list = tasks.and_then(|tasks| member(text, tasks, "list"));
    list.map_or(Cow::Borrowed(handshake), |list| {
        Cow::Owned(Handshake {
            capabilities: without(text, list).into(),
            ..handshake.clone()
        })
    })
}

/// Where the value of a member of an object stands.
fn member(text: &[u8], object: Span, name: &str) -> Option<Span> {
    let Object {
        values: [value], ..
    } = Object::read(text, object, [name])?;
    value
}

/// A text without the member that has this value.
fn without(text: &[u8], value: Span) -> String {
    let cuts = members::cut(text, [value]).spans;
    let cuts: Vec<_> = cuts.into_iter().map(Patch::cut).collect();
    String::from_utf8_lossy(&patched(text, &cuts)).into_owned()
}

fn push_instructions(result: &mut String, handshake: &Handshake) {
    if let Some(instructions) = &handshake.instructions {
        result.push_str(r#","instructions":"#);
        result.push_str(instructions);
    }
}

/// A response with an empty result.
pub(super) fn empty(id: &[u8]) -> Vec<u8> {
    response(id, "{}")
}

pub(super) fn response(id: &[u8], result: &str) -> Vec<u8> {
    [
        br#"{"jsonrpc":"2.0","id":"#,
        id,
        br#","result":"#,
        result.as_bytes(),
        b"}",
    ]
    .concat()
}
