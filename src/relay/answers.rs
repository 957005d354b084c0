//! What the gateway answers itself, from the handshake that it did with the child.
//!
//! A second `initialize` never reaches a shared child: every server measured takes it for a new
//! negotiation and changes version and capabilities for everybody.

use serde::{Deserialize, Serialize};

use crate::fault::{Delivered, Fault};
use crate::protocol::era::{
    LEGACY_REVISIONS, MODERN_REVISION, NEWEST_LEGACY, meta_key, negotiate_legacy,
};
use crate::protocol::members::{self, Object};
use crate::protocol::splice::{Patch, splice};
use crate::protocol::{Era, Span};
use crate::supervisor::Handshake;
use crate::types::ServerId;

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
        r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{server_info}"#
    );
    push_instructions(&mut result, handshake);
    result.push('}');
    response(id, &result)
}

/// The response to `server/discover`.
pub(super) fn discover(id: &[u8], handshake: &Handshake) -> Vec<u8> {
    let mut versions = vec![MODERN_REVISION];
    versions.extend(LEGACY_REVISIONS.iter().rev());
    let versions = serde_json::json!(versions);
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
    let whole = Span {
        start: 0,
        end: text.len(),
    };
    let tasks = Object::read(text, whole, ["tasks"]).and_then(
        |Object {
             values: [tasks], ..
         }| tasks,
    );
    let Some(tasks) = tasks.filter(|_| handshake.era == Era::Legacy) else {
        return handshake.capabilities.to_string();
    };
    let cuts = members::cut(text, [tasks]).spans;
    let patches: Vec<_> = cuts.into_iter().map(Patch::cut).collect();
    let mut edits: Vec<_> = patches.iter().map(Patch::edit).collect();
    String::from_utf8_lossy(&splice(text, &mut edits)).into_owned()
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

/// The response by which a failure of the gateway's is told where it cannot be told by a status.
pub(super) fn failure(id: &[u8], fault: &Fault, server: Option<&ServerId>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Error<'a> {
        code: i32,
        message: &'a str,
        data: Data<'a>,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        origin: &'static str,
        error_code: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        server_id: Option<&'a ServerId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivered: Option<&'static str>,
    }
    let error = Error {
        code: fault.kind.rpc_code(),
        message: &fault.message,
        data: Data {
            origin: "gateway",
            error_code: fault.kind.code(),
            server_id: server,
            delivered: fault.delivered.map(Delivered::as_str),
        },
    };
    // Numbers and text only: it cannot fail.
    let error = serde_json::to_vec(&error).unwrap_or_default();
    [
        br#"{"jsonrpc":"2.0","id":"#,
        id,
        br#","error":"#,
        &error,
        b"}",
    ]
    .concat()
}
