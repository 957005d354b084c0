//! Where the spans of calls begin.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::trace::{Link, SpanKind, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use tracing::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::Layer;

/// How many [`CallTracer`]s there are: most often none, and then the subscriber is not asked.
static THERE: AtomicUsize = AtomicUsize::new(0);

/// The tracer of calls, as a layer that takes nothing: what has a subscriber for its logs has the tracer that goes with
/// it. To be filtered like that, for by itself a layer has every span and event made.
#[derive(Debug)]
pub struct CallTracer(SdkTracer);

impl CallTracer {
    /// Has calls traced by this tracer where the layer's subscriber is the current one.
    pub fn new(tracer: SdkTracer) -> Self {
        THERE.fetch_add(1, Ordering::Relaxed);
        Self(tracer)
    }
}

impl Drop for CallTracer {
    fn drop(&mut self) {
        THERE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Subscriber> Layer<S> for CallTracer {}

/// Whether the current subscriber has a tracer.
pub(super) fn is_there() -> bool {
    THERE.load(Ordering::Relaxed) > 0 && dispatcher::get_default(Dispatch::is::<CallTracer>)
}

/// Starts a span at the current subscriber's tracer, if it has one.
pub(super) fn start(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    link: Option<Link>,
    parent: &Context,
) -> Option<Span> {
    let tracer = dispatcher::get_default(|current| {
        let CallTracer(tracer) = current.downcast_ref()?;
        Some(tracer.clone())
    })?;
    let mut span = tracer.span_builder(name).with_kind(kind);
    span.attributes = Some(attributes);
    span.links = link.map(|link| vec![link]);
    Some(tracer.build_with_context(span, parent))
}
