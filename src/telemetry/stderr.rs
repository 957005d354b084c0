//! The layer that turns events into lines on stderr.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::TraceContextExt;
use tokio::time::Instant;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use super::line::{Fields, Line};
use super::queue::Queue;

/// How often the exporters may repeat one complaint; a collector that is down for a day says so every
/// few seconds.
const REPEAT: Duration = Duration::from_mins(1);

/// Writes each event as one line into the queue.
#[derive(Debug)]
pub(super) struct StderrLayer {
    queue: Queue,
    format: Format,
    colour: bool,
    complaints: Mutex<HashMap<&'static str, Instant>>,
}

impl StderrLayer {
    pub(super) fn new(queue: Queue, format: Format, colour: bool) -> Self {
        Self {
            queue,
            format,
            colour,
            complaints: Mutex::default(),
        }
    }

    /// Whether the exporters made this complaint a short time ago.
    fn is_repeated(&self, metadata: &Metadata<'_>) -> bool {
        let now = Instant::now();
        let mut complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = complaints.get(metadata.name()).copied();
        let repeated = known.is_some_and(|last| now.duration_since(last) < REPEAT);
        if !repeated {
            complaints.insert(metadata.name(), now);
        }
        repeated
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StderrLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let is_complaint = metadata.target().starts_with("opentelemetry");
        if is_complaint && self.is_repeated(metadata) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        if is_complaint {
            fields.redact_urls();
        }
        let spans = context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
            .filter_map(|span| span.extensions().get::<Fields>().cloned())
            .collect();
        let trace = opentelemetry::Context::map_current(|context| {
            let span = context.span().span_context().clone();
            span.is_valid()
                .then(|| (span.trace_id().to_string(), span.span_id().to_string()))
        });
        let line = Line {
            metadata,
            event: fields,
            spans,
            trace: trace.as_ref(),
        };
        self.queue.push(line.render(self.format, self.colour));
    }
}
