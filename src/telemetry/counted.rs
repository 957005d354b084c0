//! How many spans ended, and what became of them: the SDK drops in silence what its queue cannot hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::Meter;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

use crate::spans;

/// An export that takes longer than this goes to a collector that hangs; the exporters themselves give
/// up after 10 s (`OTEL_EXPORTER_OTLP_TIMEOUT`).
const HANGS_MS: u64 = 5_000;
/// How long no spans are made after that, at first and at most: each new try costs the calls made
/// meanwhile their time, so tries become rare.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Counts of one run. `ended - exported - failed` are waiting or were dropped for want of room.
#[derive(Debug, Default)]
pub(super) struct SpanCounts {
    ended: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    /// When the export under way began, by [`spans::clock_ms`]; 0 while there is none.
    export_began: AtomicU64,
    /// The last pause, if the collector has taken nothing since.
    last_pause: Mutex<Option<Duration>>,
}

impl SpanCounts {
    /// Looks whether the collector hangs, and has no spans made for a while if it does.
    fn look(&self) {
        let began = self.export_began.load(Ordering::Relaxed);
        if began == 0 || spans::clock_ms() < began.saturating_add(HANGS_MS) {
            return;
        }
        let mut last = self
            .last_pause
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another span that ended at the same moment may have seen it first.
        if !spans::is_paused() {
            let next = last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
            spans::pause_for(*last.insert(next));
        }
    }

    /// Said by the exporter's thread: the end of a span is no place to log from.
    fn tell_of_pause(&self) {
        let last = *self
            .last_pause
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = last {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                pause_ms,
                "the collector takes no spans: none are made for a while"
            );
        }
    }

    /// The collector took something: spans are made again.
    fn taken(&self) {
        let paused = self
            .last_pause
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if paused.is_some() {
            spans::resume();
        }
    }

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
        self.counts.look();
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
        let began = &self.counts.export_began;
        began.store(spans::clock_ms(), Ordering::Relaxed);
        let result = self.inner.export(batch).await;
        began.store(0, Ordering::Relaxed);
        if result.is_ok() {
            self.counts.taken();
        } else {
            self.counts.tell_of_pause();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_spans_are_made_for_a_collector_that_hangs() {
        let counts = SpanCounts::default();
        counts.look();
        assert!(!spans::is_paused(), "no export is under way");
        for expected in [FIRST_PAUSE, FIRST_PAUSE * 2] {
            counts
                .export_began
                .store(spans::clock_ms(), Ordering::Relaxed);
            tokio::time::advance(Duration::from_secs(4)).await;
            counts.look();
            assert!(!spans::is_paused(), "it may only be slow");
            tokio::time::advance(Duration::from_secs(2)).await;
            counts.look();
            counts.look();
            assert!(spans::is_paused());
            tokio::time::advance(expected.saturating_sub(Duration::from_secs(1))).await;
            assert!(spans::is_paused(), "for {expected:?}");
            tokio::time::advance(Duration::from_secs(2)).await;
            assert!(!spans::is_paused(), "it is tried again");
        }
        counts.export_began.store(1, Ordering::Relaxed);
        counts.look();
        assert!(spans::is_paused());
        counts.taken();
        assert!(!spans::is_paused(), "it takes spans again");
        assert_eq!(*counts.last_pause.lock().unwrap(), None);
    }
}
