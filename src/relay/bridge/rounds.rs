//! Requests that take several rounds (SEP-2322; MCP 2026-07-28, basic/patterns/mrtr).
//!
//! A modern server that needs something of the client answers with what it needs, and the client makes
//! the same request again with it. Between two modern peers this crosses as it is; towards a legacy peer
//! the gateway takes a round apart here, or puts one together.

use bytes::Bytes;

use crate::protocol::era::meta_key::SERVER_INFO;
use crate::protocol::members::{self, Object};
use crate::protocol::message::string;
use crate::protocol::splice::Patch;
use crate::protocol::{Envelope, Span};

/// What a server needs before it can answer: the parts of a result with `resultType: "input_required"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct InputRequired {
    /// `inputRequests`, in the order in which they stand.
    pub(in crate::relay) requests: Vec<InputRequest>,
    /// `requestState`, to be given back as it is.
    pub(in crate::relay) state: Option<String>,
}

/// One thing that the client is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) struct InputRequest {
    /// Under which key the response is given back.
    pub(in crate::relay) key: String,
    /// What is asked, such as `elicitation/create`.
    pub(in crate::relay) method: String,
    /// The JSON text of its params, where it has any.
    pub(in crate::relay) params: Option<Bytes>,
}

/// What a client brings on a retry; both parts empty on a request that is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Retry {
    /// `inputResponses`: key and JSON text of the result, in the order in which they stand.
    pub(in crate::relay) responses: Vec<(String, Bytes)>,
    /// `requestState`
    pub(in crate::relay) state: Option<String>,
}

/// Why a message is no round: one sentence, which names the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::relay) struct BadRound(&'static str);

impl InputRequired {
    /// Reads the response line of a server whose result is known to be of this kind.
    pub(in crate::relay) fn read(line: &Bytes) -> Result<Self, BadRound> {
        let [asked, state] = parts_of_result(line)?.values;
        let state = state.map(|state| {
            let state = string(state.of(line));
            let state = state.ok_or(BadRound("result.requestState is not a string"))?;
            Ok(state.into_owned())
        });
        let asked = asked.map(|asked| {
            members::entries(line, asked).ok_or(BadRound("result.inputRequests is not an object"))
        });
        let requests = asked.transpose()?.unwrap_or_default();
        let requests: Vec<_> = requests
            .into_iter()
            .map(|(key, request)| InputRequest::read(line, key, request))
            .collect::<Result<_, _>>()?;
        if has_twice(requests.iter().map(|request| &request.key)) {
            return Err(BadRound("result.inputRequests holds a key twice"));
        }
        let state = state.transpose()?;
        if requests.is_empty() && state.is_none() {
            return Err(BadRound(
                "neither result.inputRequests nor result.requestState asks for anything",
            ));
        }
        Ok(Self { requests, state })
    }

    /// The JSON text of the result that asks for this; `server_info` is the server's, a JSON object.
    pub(in crate::relay) fn to_result(&self, server_info: &str) -> String {
        let requests = self.requests.iter().map(|request| {
            let mut text = format!(
                r#"{}:{{"method":{}"#,
                quoted(&request.key),
                quoted(&request.method)
            );
            if let Some(params) = request
                .params
                .as_deref()
                .and_then(|params| std::str::from_utf8(params).ok())
            {
                text.push_str(r#","params":"#);
                text.push_str(params);
            }
            text.push('}');
            text
        });
        let requests: Vec<_> = requests.collect();
        let mut result = r#"{"resultType":"input_required""#.to_owned();
        if !requests.is_empty() {
            result.push_str(r#","inputRequests":{"#);
            result.push_str(&requests.join(","));
            result.push('}');
        }
        if let Some(state) = &self.state {
            result.push_str(r#","requestState":"#);
            result.push_str(&quoted(state));
        }
        for part in [r#","_meta":{""#, SERVER_INFO, "\":", server_info, "}}"] {
            result.push_str(part);
        }
        result
    }
}

impl InputRequest {
    fn read(line: &Bytes, key: String, request: Span) -> Result<Self, BadRound> {
        let [method, params] = Object::read(line, request, ["method", "params"])
            .ok_or(BadRound("result.inputRequests holds what is not an object"))?
            .values;
        let method = method.and_then(|method| string(method.of(line)));
        let method = method.ok_or(BadRound(
            "result.inputRequests holds a request without a method",
        ))?;
        Ok(Self {
            key,
            method: method.into_owned(),
            params: params.map(|params| line.slice(params.start..params.end)),
        })
    }
}

impl Retry {
    /// Reads a scanned request of a client.
    pub(in crate::relay) fn read(body: &Bytes, envelope: &Envelope) -> Result<Self, BadRound> {
        let params = envelope.params.unwrap_or_default();
        let state = params.request_state.map(|state| {
            let state = string(state.of(body));
            let state = state.ok_or(BadRound("params.requestState is not a string"))?;
            Ok(state.into_owned())
        });
        let responses = params.input_responses.map(|responses| {
            members::entries(body, responses)
                .ok_or(BadRound("params.inputResponses is not an object"))
        });
        let responses = responses.transpose()?.unwrap_or_default();
        if has_twice(responses.iter().map(|(key, _)| key)) {
            return Err(BadRound("params.inputResponses holds a key twice"));
        }
        let responses = responses.into_iter();
        Ok(Self {
            responses: responses
                .map(|(key, value)| (key, body.slice(value.start..value.end)))
                .collect(),
            state: state.transpose()?,
        })
    }

    /// The JSON text of `inputResponses`.
    pub(in crate::relay) fn responses_to_json(&self) -> String {
        let responses = self.responses.iter().filter_map(|(key, response)| {
            let response = std::str::from_utf8(response).ok()?;
            Some(format!("{}:{response}", quoted(key)))
        });
        let responses: Vec<_> = responses.collect();
        format!("{{{}}}", responses.join(","))
    }
}

/// Makes the response of a server that needs more input carry this state in place of its own, if it has
/// one. `None` where the result is no object.
pub(in crate::relay) fn with_state(line: &[u8], state: &str) -> Option<Patch> {
    let result = parts_of_result(line).ok()?;
    let [_, old] = result.values;
    Some(match old {
        Some(span) => Patch {
            span,
            with: quoted(state),
        },
        None => result.insertion(format!(r#""requestState":{}"#, quoted(state))),
    })
}

/// Makes a request carry exactly this: the JSON text of `inputResponses` and the state, each put in,
/// replaced, or taken out where it is `None`.
///
/// `None` where params is not an object with other members, of which no request that takes rounds is.
pub(in crate::relay) fn with_retry(
    body: &[u8],
    envelope: &Envelope,
    responses: Option<&str>,
    state: Option<&str>,
) -> Option<Vec<Patch>> {
    let params = envelope.params?;
    let object = Object::read(body, params.span, [])?;
    let mut patches = Vec::new();
    let mut gone = Vec::new();
    let mut new = Vec::new();
    for (name, old, value) in [
        (
            "inputResponses",
            params.input_responses,
            responses.map(str::to_owned),
        ),
        ("requestState", params.request_state, state.map(quoted)),
    ] {
        match (old, value) {
            (Some(span), Some(with)) => patches.push(Patch { span, with }),
            (Some(span), None) => gone.push(span),
            (None, Some(value)) => new.push(format!("\"{name}\":{value}")),
            (None, None) => {}
        }
    }
    let cut = members::cut(body, gone);
    if object.empty || cut.all {
        return None;
    }
    patches.extend(cut.spans.into_iter().map(Patch::cut));
    if !new.is_empty() {
        patches.push(object.insertion(new.join(",")));
    }
    Some(patches)
}

/// The key under which a legacy child's own request is asked for: its id, a string as it is and a number
/// as its digits; with a number behind it where another request has that key already.
pub(in crate::relay) fn key_of(child_id: &[u8], is_taken: impl Fn(&str) -> bool) -> String {
    let id = string(child_id).unwrap_or_else(|| String::from_utf8_lossy(child_id));
    if !is_taken(&id) {
        return id.into_owned();
    }
    let mut number = 2u64;
    loop {
        let key = format!("{id}-{number}");
        if !is_taken(&key) {
            return key;
        }
        number += 1;
    }
}

/// Whether the JSON text that a client gave in response to a request of this method can be its result.
///
/// Only what every reader needs is looked at; the rest is for the server to judge. The error goes on
/// after the name of the response: "… is not an object".
pub(in crate::relay) fn check_response(method: &str, response: &[u8]) -> Result<(), &'static str> {
    let whole = Span::whole(response);
    let names = ["action", "content", "role", "roots"];
    let Some(Object { values, .. }) = Object::read(response, whole, names) else {
        return Err("is not an object");
    };
    let [action, content, role, roots] = values.map(|value| value.map(|value| value.of(response)));
    let begins = |value: Option<&[u8]>, with: &[u8]| {
        value
            .and_then(|value| value.first())
            .is_some_and(|first| with.contains(first))
    };
    let is_action = |action: Option<&[u8]>| {
        matches!(
            action.and_then(string).as_deref(),
            Some("accept" | "decline" | "cancel")
        )
    };
    let complaint = match method {
        "elicitation/create" if !is_action(action) => {
            "has no action, expected accept, decline or cancel"
        }
        "sampling/createMessage" if !begins(content, b"{[") || !begins(role, b"\"") => {
            "has no message, expected role and content"
        }
        "roots/list" if !begins(roots, b"[") => "has no roots, expected an array",
        _ => return Ok(()),
    };
    Err(complaint)
}

/// `inputRequests` and `requestState` of a response's result.
fn parts_of_result(line: &[u8]) -> Result<Object<2>, BadRound> {
    let whole = Span::whole(line);
    let response = Object::read(line, whole, ["result"]);
    let [result] = response.ok_or(BadRound("not a response"))?.values;
    result
        .and_then(|result| Object::read(line, result, ["inputRequests", "requestState"]))
        .ok_or(BadRound("result is not an object"))
}

fn has_twice<'a>(mut keys: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = std::collections::HashSet::new();
    !keys.all(|key| seen.insert(key))
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
