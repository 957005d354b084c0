//! The three spans of a call: HTTP server, MCP server, MCP client; and that of a server's start. Floor 1.
//!
//! Names and attributes follow the OpenTelemetry conventions for HTTP and for MCP
//! (semantic-conventions-genai, `docs/gen-ai/mcp.md`). Those of a call are made at the SDK's tracer, which the
//! subscriber has where traces are exported ([`CallTracer`]); made as spans of `tracing` and translated they cost three
//! times as much. Without it they are disabled and cost one load of a number. Metrics are never counted from them.
//!
//! Not recorded, because it may be secret: queries, headers, arguments, results, and the message of a
//! child's error. `baggage` is neither read nor exported.

mod http;
mod message;
mod start;
mod tracer;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tokio::time::Instant;

use crate::protocol::trace_context::TraceContext;

pub use self::http::{HttpCall, HttpSpan};
pub use self::message::{Call, MessageSpan, Target, client, client_of_http, server};
pub use self::start::{StartFault, StartSpan};
pub use self::tracer::CallTracer;

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
    tracer::is_there() && !is_paused()
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

fn propagates() -> bool {
    PROPAGATION.load(Ordering::Relaxed)
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
    match parent.filter(|_| propagates()) {
        Some(parent) => parent.is_sampled(),
        None => fastrand::f64() < f64::from_bits(share),
    }
}

/// What another process says of its span, as the parent of one of ours; `None` where its word is not taken.
fn remote(parent: Option<&TraceContext>) -> Option<Context> {
    let parent = parent.filter(|_| propagates())?;
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
    Some(Context::new().with_remote_span_context(remote))
}

/// The text, or its longest beginning of whole characters within [`MAX_TEXT`].
fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or(text)
}
