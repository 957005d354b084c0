//! A modern client and a legacy child: its responses as the client may get them, the client's requests
//! as the child may get them.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::errors::{
    self, Error, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CLIENT_CAPABILITY, RESOURCE_NOT_FOUND,
    URL_ELICITATION_REQUIRED,
};
use super::features::Features;
use super::rounds::{InputRequest, InputRequired, key_of};
use crate::protocol::era::meta_key::SERVER_INFO;
use crate::protocol::members::{self, Object};
use crate::protocol::message::string;
use crate::protocol::splice::Patch;
use crate::protocol::{Envelope, Span};

/// Whether a server may ask for more input in answer to this method (MCP 2026-07-28,
/// basic/patterns/mrtr, supported requests).
pub(in crate::relay) fn takes_rounds(method: &str) -> bool {
    matches!(method, "tools/call" | "prompts/get" | "resources/read")
}

/// Whether results of this method say how long and for whom they may be kept (MCP 2026-07-28,
/// server/utilities/caching).
fn is_cacheable(method: &str) -> bool {
    matches!(
        method,
        "server/discover"
            | "tools/list"
            | "prompts/list"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
    )
}

/// What to change in a legacy child's response to `method`, so that a client of the modern era with
/// these features may get it. `server_info` is the child's, a JSON object.
///
/// - A result says that it is complete, who gave it, and where the revision wants it that it may not be
///   kept; what it says of that itself stays.
/// - -32002 (resource not found) becomes -32602: a modern server must not send it (SEP-2164).
/// - -32042 (URL elicitation required) must not be sent either. It means "let the user open these, then
///   ask again", which is what a result that needs more input says now: it becomes one, without a
///   state, because the child itself knows who has been there. Where the client did not declare
///   `elicitation.url` it becomes -32021, and where the method takes no rounds, or the child did not
///   say what to open, -32603.
/// - Everything else stays.
pub(in crate::relay) fn response(
    line: &Bytes,
    method: &str,
    server_info: &str,
    features: Features,
) -> Vec<Patch> {
    match errors::parts(line) {
        [Some(result), _] => complete(line, result, method, server_info),
        [None, Some(error)] => match Error::read(line, error) {
            Some(error) if error.code == RESOURCE_NOT_FOUND => {
                vec![error.with_code(INVALID_PARAMS)]
            }
            Some(error) if error.code == URL_ELICITATION_REQUIRED => {
                elicit(line, &error, method, server_info, features)
            }
            _ => Vec::new(),
        },
        [None, None] => Vec::new(),
    }
}

fn complete(line: &[u8], result: Span, method: &str, server_info: &str) -> Vec<Patch> {
    let names = ["resultType", "ttlMs", "cacheScope", "_meta"];
    let Some(result) = Object::read(line, result, names) else {
        return Vec::new();
    };
    let [kind, ttl, scope, meta] = result.values;
    let server = format!("\"{SERVER_INFO}\":{server_info}");
    let mut patches = Vec::new();
    let mut new = Vec::new();
    if kind.is_none() {
        new.push(r#""resultType":"complete""#.to_owned());
    }
    if is_cacheable(method) {
        if ttl.is_none() {
            new.push(r#""ttlMs":0"#.to_owned());
        }
        if scope.is_none() {
            new.push(r#""cacheScope":"private""#.to_owned());
        }
    }
    match meta {
        None => new.push(format!("\"_meta\":{{{server}}}")),
        Some(meta) => {
            let meta = Object::read(line, meta, [SERVER_INFO]);
            let unnamed = meta.filter(|meta| meta.values == [None]);
            patches.extend(unnamed.map(|meta| meta.insertion(server)));
        }
    }
    if !new.is_empty() {
        patches.push(result.insertion(new.join(",")));
    }
    patches
}

fn elicit(
    line: &Bytes,
    error: &Error,
    method: &str,
    server_info: &str,
    features: Features,
) -> Vec<Patch> {
    let requests = error.data.and_then(|data| elicitations(line, data));
    let requests = requests.filter(|requests| !requests.is_empty() && takes_rounds(method));
    let Some(requests) = requests else {
        return vec![error.with_code(INTERNAL_ERROR)];
    };
    if !features.elicitation.is_some_and(|modes| modes.url) {
        let needed = r#"{"requiredCapabilities":{"elicitation":{"url":{}}}}"#;
        let data = error.data.map(|span| Patch {
            span,
            with: needed.to_owned(),
        });
        return [error.with_code(MISSING_CLIENT_CAPABILITY)]
            .into_iter()
            .chain(data)
            .collect();
    }
    let asked = InputRequired {
        requests,
        state: None,
    };
    vec![Patch {
        span: members::member(line, error.span),
        with: format!("\"result\":{}", asked.to_result(server_info)),
    }]
}

/// The `elicitations` of such an error as requests; `None` where one is not an address to open.
fn elicitations(line: &Bytes, data: Span) -> Option<Vec<InputRequest>> {
    let [list] = Object::read(line, data, ["elicitations"])?.values;
    let list: Vec<&RawValue> = serde_json::from_slice(list?.of(line)).ok()?;
    let mut requests: Vec<InputRequest> = Vec::with_capacity(list.len());
    for params in list {
        let params = line.slice_ref(params.get().as_bytes());
        let whole = Span::whole(&params);
        let names = ["mode", "url", "elicitationId"];
        let [mode, url, id] = Object::read(&params, whole, names)?.values;
        let text = |span: Option<Span>| string(span?.of(&params));
        if text(mode).as_deref() != Some("url") || text(url).is_none() {
            return None;
        }
        let id = id.map_or(&b"elicitation"[..], |id| id.of(&params));
        let key = key_of(id, |key| requests.iter().any(|other| other.key == key));
        requests.push(InputRequest {
            key,
            method: "elicitation/create".to_owned(),
            params: Some(params),
        });
    }
    Some(requests)
}

/// Takes the claims (`_meta`: revision, client, capabilities, log level) and what belongs to a round
/// (`inputResponses`, `requestState`) out of a request for a legacy child. The rest, other members of
/// `_meta` too, stays as it was written; a `_meta` that held nothing else stays as `{}`.
pub(in crate::relay) fn strip_claims(body: &[u8], envelope: &Envelope) -> Vec<Patch> {
    let params = envelope.params.unwrap_or_default();
    let meta = params.meta.unwrap_or_default();
    let round = [params.input_responses, params.request_state];
    let claims = [
        meta.protocol_version,
        meta.client_capabilities,
        meta.client_info,
        meta.log_level,
    ];
    let round = members::cut(body, round.into_iter().flatten());
    let claims = members::cut(body, claims.into_iter().flatten());
    let spans = round.spans.into_iter().chain(claims.spans);
    spans.map(Patch::cut).collect()
}
