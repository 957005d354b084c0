//! How many spans ended, and what became of them: the SDK drops in silence what its queue cannot hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::metrics::Meter;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

/// Counts of one run. `ended - exported - failed` are waiting or were dropped for want of room.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    ended: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
}

impl SpanCounts {
    /// Makes the counts a metric: `host_mcp_gateway.otlp.spans` by `outcome`.
    pub(super) fn observe(self: Arc<Self>, meter: &Meter) {
        let labels = ["ended", "exported", "failed"].map(|word| [KeyValue::new("outcome", word)]);
        // The meter keeps the callback; the handle has no use of its own.
        let _ = meter
            .u64_observable_counter("host_mcp_gateway.otlp.spans")
            .with_unit("{span}")
            .with_description(
                "spans that ended, that a collector took, and whose export failed; the rest of the ended ones waits or was dropped",
            )
            .with_callback(move |observer| {
                let counts = [&self.ended, &self.exported, &self.failed];
                for (count, labels) in counts.into_iter().zip(&labels) {
                    observer.observe(count.load(Ordering::Relaxed), labels);
                }
            })
            .build();
    }
}

/// The batch processor, with a count of what is handed to it.
#[derive(Debug)]
pub(super) struct CountedProcessor {
    pub(super) inner: BatchSpanProcessor,
    pub(super) counts: Arc<SpanCounts>,
}

impl SpanProcessor for CountedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// An exporter, with a count of what it got rid of.
#[derive(Debug)]
pub(super) struct CountedExporter<E> {
    pub(super) inner: E,
    pub(super) counts: Arc<SpanCounts>,
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.inner.export(batch).await;
        let count = if result.is_ok() {
            &self.counts.exported
        } else {
            &self.counts.failed
        };
        count.fetch_add(spans, Ordering::Relaxed);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
