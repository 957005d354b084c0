//! The three spans of a call: HTTP server, MCP server, MCP client. Floor 1.
//!
//! Names and attributes follow the OpenTelemetry conventions for HTTP and for MCP
//! (semantic-conventions-genai, `docs/gen-ai/mcp.md`). The spans have the target [`TARGET`]: only the layer
//! that exports traces takes it, so without one they are disabled and cost one load of a flag. Metrics are
//! never counted from them.
//!
//! Not recorded, because it may be secret: queries, headers, arguments, results, and the message of a
//! child's error. `baggage` is neither read nor exported.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::instruments::Outcome;
use crate::protocol::trace_context::TraceContext;
use crate::types::ServerId;

/// The `tracing` target of every span that is made to be exported.
pub const TARGET: &str = "otel";

/// The longest text of a caller that goes into a span, in bytes.
const MAX_TEXT: usize = 256;

/// Off when `OTEL_PROPAGATORS` says `none`; process-wide like the subscriber.
static PROPAGATION: AtomicBool = AtomicBool::new(true);

/// Until when no span is made, in milliseconds of [`clock_ms`]; 0 while they are made. Process-wide like
/// the subscriber.
static PAUSED_UNTIL: AtomicU64 = AtomicU64::new(0);

/// The share of traces that begin here and are recorded, as the bits of an `f64`; [`BY_THE_SDK`] where that is not ours
/// to decide. Process-wide like the subscriber.
static ROOT_SHARE: AtomicU64 = AtomicU64::new(BY_THE_SDK);
/// Not a number.
const BY_THE_SDK: u64 = u64::MAX;

/// Whether spans are exported at all: without it, nothing needs to be gathered for one.
pub fn enabled() -> bool {
    tracing::span_enabled!(target: TARGET, Level::INFO) && !is_paused()
}

/// Whether a pause is on.
pub fn is_paused() -> bool {
    // The clock is only read while there is a pause.
    match PAUSED_UNTIL.load(Ordering::Relaxed) {
        0 => false,
        until => clock_ms() < until,
    }
}

/// Makes no spans for this long: those that no collector will take cost calls their time for nothing.
pub fn pause_for(length: Duration) {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    PAUSED_UNTIL.store(clock_ms().saturating_add(length), Ordering::Relaxed);
}

/// Makes spans again.
pub fn resume() {
    PAUSED_UNTIL.store(0, Ordering::Relaxed);
}

/// Milliseconds since the first look at this clock, counted from 1.
pub fn clock_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// Turns the use of callers' contexts, and the making of ones for children, on or off.
pub fn set_propagation(on: bool) {
    PROPAGATION.store(on, Ordering::Relaxed);
}

/// Decides, before spans are made, which traces are recorded.
///
/// All whose caller records them, none whose caller does not, and this share of those that begin here (0 to 1). With
/// `None` every span is made, and the SDK's sampler decides. That a trace is dropped is then known before anything was gathered for it, which is what a small share is for.
pub fn set_root_share(share: Option<f64>) {
    ROOT_SHARE.store(share.map_or(BY_THE_SDK, f64::to_bits), Ordering::Relaxed);
}

/// Whether a span is wanted whose parent is this context, or that has none.
fn is_wanted(parent: Option<&TraceContext>) -> bool {
    let share = ROOT_SHARE.load(Ordering::Relaxed);
    if share == BY_THE_SDK {
        return true;
    }
    match parent.filter(|_| PROPAGATION.load(Ordering::Relaxed)) {
        Some(parent) => parent.is_sampled(),
        None => fastrand::f64() < f64::from_bits(share),
    }
}

/// One HTTP request as its span shows it.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// The method as it came.
    pub method: &'a str,
    /// The route's template, such as `/{server_id}/rpc`, if one matched.
    pub route: Option<&'a str>,
    /// The path without the query.
    pub path: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Who connected.
    pub peer: SocketAddr,
    /// The context in the request's headers, if it was valid.
    pub parent: Option<&'a TraceContext>,
}

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

/// The span of an HTTP request, `{method} {route}`; its parent is the context in the headers.
pub fn http(call: &HttpCall<'_>) -> Span {
    if !enabled() || !is_wanted(call.parent) {
        return Span::none();
    }
    let name = match call.route {
        Some(route) => format!("{} {route}", clip(call.method)),
        None => clip(call.method).to_owned(),
    };
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "http",
        otel.name = name,
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        http.request.method = clip(call.method),
        http.response.status_code = Empty,
        http.route = call.route,
        url.path = clip(call.path),
        url.scheme = call.scheme,
        client.address = %call.peer.ip(),
        client.port = i64::from(call.peer.port()),
        network.protocol.name = "http",
    );
    follow(&span, call.parent);
    span
}

/// Records the response's status; the span ends when its last handle is dropped.
pub fn finish_http(span: &Span, status: u16) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("error.type", status.to_string().as_str());
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a message from a client, `{method} {target}`.
///
/// Its parent is the context in the message's `_meta`, and the HTTP span is a link then; without one the
/// HTTP span is the parent.
pub fn server(call: &Call<'_>, peer: SocketAddr, http: &Span, meta: Option<&TraceContext>) -> Span {
    let meta = meta.filter(|_| PROPAGATION.load(Ordering::Relaxed));
    let is_wanted = match meta {
        Some(meta) => is_wanted(Some(meta)),
        None => !http.is_disabled(),
    };
    if !enabled() || !is_wanted {
        return Span::none();
    }
    let parent = if meta.is_some() { None } else { http.id() };
    let span = tracing::info_span!(
        target: TARGET,
        parent: parent,
        "mcp.server",
        otel.name = name_of(call),
        otel.kind = "server",
        otel.status_code = Empty,
        error.type = Empty,
        rpc.response.status_code = Empty,
        mcp.method.name = clip(call.method),
        jsonrpc.request.id = call.id.map(id_text),
        gen_ai.tool.name = tool(call),
        gen_ai.prompt.name = prompt(call),
        gen_ai.operation.name = operation(call),
        mcp.resource.uri = resource(call),
        mcp.session.id = call.session.map(clip),
        mcp.protocol.version = call.revision.map(clip),
        host_mcp_gateway.server.id = call.server.as_str(),
        network.transport = "tcp",
        network.protocol.name = "http",
        client.address = %peer.ip(),
        client.port = i64::from(peer.port()),
    );
    if meta.is_some() {
        follow(&span, meta);
        if let Some(http) = span_context_of(http) {
            span.add_link(http);
        }
    }
    span
}

/// The span of what we write to a child for a message, `{method} {target}`; `parent` is the span of
/// [`server()`], or of [`http()`] for what the gateway asks on its own. Without that there is none.
pub fn client(call: &Call<'_>, parent: &Span) -> Span {
    if !enabled() || parent.is_disabled() {
        return Span::none();
    }
    tracing::info_span!(
        target: TARGET,
        parent: parent.id(),
        "mcp.client",
        otel.name = name_of(call),
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        rpc.response.status_code = Empty,
        mcp.method.name = clip(call.method),
        jsonrpc.request.id = call.id.map(id_text),
        gen_ai.tool.name = tool(call),
        gen_ai.prompt.name = prompt(call),
        gen_ai.operation.name = operation(call),
        mcp.resource.uri = resource(call),
        mcp.protocol.version = call.revision.map(clip),
        host_mcp_gateway.server.id = call.server.as_str(),
        network.transport = "pipe",
    )
}

/// Records how a message ended on the span of [`server()`] or [`client()`].
pub fn finish(span: &Span, outcome: Outcome) {
    if span.is_disabled() {
        return;
    }
    if let Some(code) = outcome.rpc_code() {
        let code = code.to_string();
        span.record("rpc.response.status_code", code.as_str());
        if let Outcome::Error(_) = outcome {
            span.record("error.type", code.as_str());
            span.record("otel.status_code", "ERROR");
            return;
        }
    }
    if let Some(kind) = outcome.error_label() {
        span.record("error.type", kind);
        span.record("otel.status_code", "ERROR");
    }
}

/// The context that a child is told of instead of the caller's.
///
/// `None` when the span is not exported, or propagation is off: then the caller's own context passes on
/// unchanged.
pub fn context_of(span: &Span) -> Option<TraceContext> {
    if !PROPAGATION.load(Ordering::Relaxed) {
        return None;
    }
    let context = span_context_of(span).filter(SpanContext::is_sampled)?;
    let state = context.trace_state().header();
    TraceContext::from_parts(
        context.trace_id().to_bytes(),
        context.span_id().to_bytes(),
        true,
        Some(state.as_str()).filter(|state| !state.is_empty()),
    )
}

fn span_context_of(span: &Span) -> Option<SpanContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(context)
}

/// Makes a remote context the parent of a span that nobody has entered yet.
fn follow(span: &Span, parent: Option<&TraceContext>) {
    let Some(parent) = parent.filter(|_| PROPAGATION.load(Ordering::Relaxed)) else {
        return;
    };
    let flags = TraceFlags::default().with_sampled(parent.is_sampled());
    let state = parent
        .tracestate()
        .and_then(|state| state.parse::<TraceState>().ok())
        .unwrap_or_default();
    let remote = SpanContext::new(
        TraceId::from_bytes(parent.trace_id()),
        SpanId::from_bytes(parent.span_id()),
        flags,
        true,
        state,
    );
    // Refused only where no layer exports the span, and then there is nothing to tie together.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}

fn name_of(call: &Call<'_>) -> String {
    match call.target {
        Some(Target::Tool(name) | Target::Prompt(name)) => {
            format!("{} {}", clip(call.method), clip(name))
        }
        Some(Target::Resource(_)) | None => clip(call.method).to_owned(),
    }
}

fn tool<'a>(call: &Call<'a>) -> Option<&'a str> {
    match call.target {
        Some(Target::Tool(name)) => Some(clip(name)),
        Some(Target::Prompt(_) | Target::Resource(_)) | None => None,
    }
}

fn prompt<'a>(call: &Call<'a>) -> Option<&'a str> {
    match call.target {
        Some(Target::Prompt(name)) => Some(clip(name)),
        Some(Target::Tool(_) | Target::Resource(_)) | None => None,
    }
}

fn resource<'a>(call: &Call<'a>) -> Option<&'a str> {
    match call.target {
        Some(Target::Resource(uri)) => Some(clip(uri)),
        Some(Target::Tool(_) | Target::Prompt(_)) | None => None,
    }
}

fn operation(call: &Call<'_>) -> Option<&'static str> {
    (call.method == "tools/call").then_some("execute_tool")
}

/// The convention wants a string id without its quotes.
fn id_text(id: &str) -> &str {
    let bare = id
        .strip_prefix('"')
        .and_then(|id| id.strip_suffix('"'))
        .unwrap_or(id);
    clip(bare)
}

/// The text, or its longest beginning of whole characters within [`MAX_TEXT`].
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or(text)
}
