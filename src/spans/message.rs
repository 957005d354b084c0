//! The two spans of a message: what a client asks of the gateway, and what the gateway asks of a child.

use std::net::SocketAddr;

use opentelemetry::trace::{
    Link, Span as SpanTrait, SpanContext, SpanKind, Status, TraceContextExt,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::{HttpSpan, clip, enabled, is_wanted, propagates, remote, tracer};
use crate::instruments::Outcome;
use crate::protocol::trace_context::TraceContext;
use crate::types::ServerId;

/// How many attributes a span has at most, with those that its end adds.
const MOST_ATTRIBUTES: usize = 14;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The `params.name` of `tools/call`.
    Tool(&'a str),
    /// The `params.name` of `prompts/get`.
    Prompt(&'a str),
    /// The `params.uri` of a `resources/…` method; not in the span's name.
    Resource(&'a str),
}

/// One MCP message as its spans show it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The server it is for.
    pub server: &'a ServerId,
    /// The JSON-RPC method.
    pub method: &'a str,
    /// The tool, prompt or resource.
    pub target: Option<Target<'a>>,
    /// The id as it is written on this side (`1`, `"a"`); `None` for a notification.
    pub id: Option<&'a str>,
    /// The `MCP-Session-Id`, if there is one.
    pub session: Option<&'a str>,
    /// The protocol revision on this side, where it is known.
    pub revision: Option<&'a str>,
}

/// The span of a message while it lasts, or nothing; dropped, it ends.
#[derive(Debug)]
pub struct MessageSpan(Option<Box<Span>>);

impl MessageSpan {
    /// A span that nobody sees.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether nobody sees it.
    pub fn is_disabled(&self) -> bool {
        self.0.is_none()
    }

    fn context(&self) -> Option<&SpanContext> {
        self.0.as_deref().map(SpanTrait::span_context)
    }

    fn start(
        call: &Call<'_>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        link: Option<Link>,
        parent: &Context,
    ) -> Self {
        let span = tracer::start(name_of(call), kind, attributes, link, parent);
        Self(span.map(Box::new))
    }

    /// Records how the message ended.
    pub fn finish(&mut self, outcome: Outcome) {
        if self.is_disabled() {
            return;
        }
        if let Some(code) = outcome.rpc_code() {
            let code = code.to_string();
            self.set("rpc.response.status_code", code.clone());
            if let Outcome::Error(_) = outcome {
                return self.fail(code);
            }
        }
        if let Some(kind) = outcome.error_label() {
            self.fail(kind);
        }
    }

    /// The context that a child is told of instead of the caller's.
    ///
    /// `None` when the span is not exported, or propagation is off: then the caller's own context passes on
    /// unchanged.
    pub fn told(&self) -> Option<TraceContext> {
        if !propagates() {
            return None;
        }
        let context = self.context().filter(|context| context.is_sampled())?;
        let state = context.trace_state().header();
        TraceContext::from_parts(
            context.trace_id().to_bytes(),
            context.span_id().to_bytes(),
            true,
            Some(state.as_str()).filter(|state| !state.is_empty()),
        )
    }

    fn set(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Self(Some(span)) = self {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    fn fail(&mut self, kind: impl Into<opentelemetry::Value>) {
        self.set("error.type", kind);
        if let Self(Some(span)) = self {
            span.set_status(Status::error(""));
        }
    }
}

/// The span of a message from a client, `{method} {target}`.
///
/// Its parent is the context in the message's `_meta`, and the HTTP span is a link then; without one the
/// HTTP span is the parent.
pub fn server(
    call: &Call<'_>,
    peer: SocketAddr,
    http: &HttpSpan,
    meta: Option<&TraceContext>,
) -> MessageSpan {
    if !enabled() {
        return MessageSpan::none();
    }
    let of_meta = remote(meta);
    let (parent, link) = match (&of_meta, http.context()) {
        (Some(_), _) if !is_wanted(meta) => return MessageSpan::none(),
        (Some(parent), _) => (parent, http.span_context()),
        (None, Some(parent)) => (parent, None),
        (None, None) => return MessageSpan::none(),
    };
    let mut attributes = attributes(call, "tcp");
    attributes.extend([
        KeyValue::new("network.protocol.name", "http"),
        KeyValue::new("client.address", peer.ip().to_string()),
        KeyValue::new("client.port", i64::from(peer.port())),
    ]);
    if let Some(session) = call.session {
        attributes.push(KeyValue::new("mcp.session.id", clip(session).to_owned()));
    }
    let link = link.map(Link::with_context);
    MessageSpan::start(call, SpanKind::Server, attributes, link, parent)
}

/// The span of what we write to a child for a message, `{method} {target}`; `parent` is the span of
/// [`server()`]. Without that there is none, and nothing is gathered for it.
pub fn client<'a>(call: impl FnOnce() -> Call<'a>, parent: &MessageSpan) -> MessageSpan {
    let parent = parent.context().filter(|_| enabled()).cloned();
    parent.map_or(MessageSpan::none(), |parent| {
        client_of(&call(), &Context::new().with_remote_span_context(parent))
    })
}

/// The span of what we ask a child for an HTTP request that is no message to that child.
pub fn client_of_http(call: &Call<'_>, http: &HttpSpan) -> MessageSpan {
    let parent = http.context().filter(|_| enabled());
    parent.map_or(MessageSpan::none(), |parent| client_of(call, parent))
}

fn client_of(call: &Call<'_>, parent: &Context) -> MessageSpan {
    MessageSpan::start(
        call,
        SpanKind::Client,
        attributes(call, "pipe"),
        None,
        parent,
    )
}

/// What both spans say of a message.
fn attributes(call: &Call<'_>, transport: &'static str) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(MOST_ATTRIBUTES);
    let mut text = |key, text: Option<&str>| {
        if let Some(text) = text {
            attributes.push(KeyValue::new(key, clip(text).to_owned()));
        }
    };
    text("mcp.method.name", Some(call.method));
    text("jsonrpc.request.id", call.id.map(id_text));
    text("mcp.protocol.version", call.revision);
    match call.target {
        Some(Target::Tool(name)) => text("gen_ai.tool.name", Some(name)),
        Some(Target::Prompt(name)) => text("gen_ai.prompt.name", Some(name)),
        Some(Target::Resource(uri)) => text("mcp.resource.uri", Some(uri)),
        None => {}
    }
    if call.method == "tools/call" {
        attributes.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
    }
    attributes.extend([
        KeyValue::new("host_mcp_gateway.server.id", call.server.shared()),
        KeyValue::new("network.transport", transport),
    ]);
    attributes
}

fn name_of(call: &Call<'_>) -> String {
    let method = clip(call.method);
    match call.target {
        Some(Target::Tool(name) | Target::Prompt(name)) => [method, clip(name)].join(" "),
        Some(Target::Resource(_)) | None => method.to_owned(),
    }
}

/// The convention wants a string id without its quotes.
fn id_text(id: &str) -> &str {
    id.strip_prefix('"')
        .and_then(|id| id.strip_suffix('"'))
        .unwrap_or(id)
}
