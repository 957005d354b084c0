//! Exporters and providers, made from what the environment asks for.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithExportConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, TracerProviderBuilder,
};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::counted::{CountedExporter, CountedProcessor, SpanCounts};
use super::environment::{Endpoint, Otlp, Protocol};

/// The queue of spans, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise. The SDK's 2048 overflow in a burst
/// of a few hundred calls, which make three spans each.
const SPAN_QUEUE: usize = 16_384;

/// The providers that were built; `None` where nothing is exported.
#[derive(Debug)]
pub(super) struct Providers {
    pub(super) traces: Option<SdkTracerProvider>,
    pub(super) logs: Option<SdkLoggerProvider>,
    pub(super) metrics: SdkMeterProvider,
    pub(super) span_counts: Arc<SpanCounts>,
    /// Carries the gRPC connections. Our own, so that a flush never waits for a worker that waits for it
    /// (opentelemetry-rust#2802), and so that it outlives the daemon's.
    runtime: Option<Runtime>,
}

/// A signal that is not exported although the environment asks for it.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) signal: &'static str,
    /// The setting that the exporter refused, never its value.
    pub(super) setting: String,
}

impl Providers {
    /// Builds everything; a signal whose exporter cannot be built is left out and listed.
    pub(super) fn build(
        otlp: &Otlp,
        prometheus: opentelemetry_prometheus::PrometheusExporter,
    ) -> io::Result<(Self, Vec<Refused>)> {
        let endpoints = [&otlp.traces, &otlp.metrics, &otlp.logs];
        let wants_runtime = endpoints
            .into_iter()
            .flatten()
            .any(|endpoint| endpoint.protocol == Protocol::Grpc);
        let runtime = wants_runtime
            .then(|| {
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name("otlp")
                    .enable_all()
                    .build()
            })
            .transpose()?;
        let entered = runtime.as_ref().map(Runtime::enter);
        let resource = resource(otlp);
        let mut refused = Vec::new();
        let span_counts = Arc::<SpanCounts>::default();

        let traces = accept("traces", span_exporter(otlp.traces.as_ref()), &mut refused);
        let traces = traces.map(|exporter| {
            tracer_builder(exporter, otlp, &span_counts)
                .with_resource(resource.clone())
                .build()
        });
        let logs = accept("logs", log_exporter(otlp.logs.as_ref()), &mut refused);
        let logs = logs.map(|exporter| {
            SdkLoggerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource.clone())
                .build()
        });
        let exporter = metric_exporter(otlp.metrics.as_ref());
        let mut metrics = SdkMeterProvider::builder()
            .with_reader(prometheus)
            .with_resource(resource);
        if let Some(exporter) = accept("metrics", exporter, &mut refused) {
            metrics = metrics.with_reader(PeriodicReader::builder(exporter).build());
        }
        drop(entered);
        let providers = Self {
            traces,
            logs,
            metrics: metrics.build(),
            span_counts,
            runtime,
        };
        Ok((providers, refused))
    }

    /// Exports what is left, all signals at once, and gives up at the deadline; blocks.
    ///
    /// Each runs in a thread of its own: not every part of the SDK keeps the deadline that it is given,
    /// and one that hangs on a dead collector ends with the process. Answers the signals that were given
    /// up.
    pub(super) fn shutdown(&mut self, deadline: Instant) -> Vec<&'static str> {
        let left = deadline.saturating_duration_since(Instant::now());
        let metrics = self.metrics.clone();
        let mut waiting = vec![(
            "metrics",
            in_thread(move || metrics.shutdown_with_timeout(left)),
        )];
        if let Some(traces) = self.traces.take() {
            waiting.push((
                "traces",
                in_thread(move || traces.shutdown_with_timeout(left)),
            ));
        }
        if let Some(logs) = self.logs.take() {
            waiting.push(("logs", in_thread(move || logs.shutdown_with_timeout(left))));
        }
        let mut failed = Vec::new();
        for (signal, done) in waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            if !matches!(done.recv_timeout(left), Ok(Ok(()))) {
                failed.push(signal);
            }
        }
        failed
    }
}

impl Drop for Providers {
    fn drop(&mut self) {
        // Dropping a runtime would wait for it, and panic where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn in_thread(
    work: impl FnOnce() -> OTelSdkResult + Send + 'static,
) -> mpsc::Receiver<OTelSdkResult> {
    let (done, answer) = mpsc::sync_channel(1);
    // Without a thread the sender is dropped, and the signal counts as given up.
    let _ = std::thread::Builder::new()
        .name("otlp-shutdown".to_owned())
        .spawn(move || {
            let _ = done.send(work());
        });
    answer
}

fn resource(otlp: &Otlp) -> Resource {
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    if !otlp.names_service {
        resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
    }
    resource.build()
}

fn tracer_builder(
    inner: SpanExporter,
    otlp: &Otlp,
    counts: &Arc<SpanCounts>,
) -> TracerProviderBuilder {
    let mut batches = BatchConfigBuilder::default();
    if !otlp.bounds_span_queue {
        batches = batches.with_max_queue_size(SPAN_QUEUE);
    }
    let exporter = CountedExporter {
        inner,
        counts: Arc::clone(counts),
    };
    let inner = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches.build())
        .build();
    let builder = SdkTracerProvider::builder().with_span_processor(CountedProcessor {
        inner,
        counts: Arc::clone(counts),
    });
    match otlp.root_share {
        // Which traces begin here is decided before a span is made (`spans::set_root_share`); of those that begin
        // everything is recorded.
        Some(_) => builder.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))),
        None => builder,
    }
}

/// The exporter, or an entry in the list; only the name of the setting is kept of an error, for the rest of
/// its text may quote a header or a URL.
fn accept<T>(
    signal: &'static str,
    built: Option<Result<T, ExporterBuildError>>,
    refused: &mut Vec<Refused>,
) -> Option<T> {
    match built? {
        Ok(exporter) => Some(exporter),
        Err(error) => {
            let text = match &error {
                ExporterBuildError::InvalidConfiguration(text) => text.as_str(),
                ExporterBuildError::InternalFailure(_) => "",
            };
            let setting = text.split(':').next().unwrap_or_default();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let setting = if !setting.is_empty() && setting.chars().all(is_name) {
                setting.to_owned()
            } else {
                "OTEL_EXPORTER_OTLP_*".to_owned()
            };
            refused.push(Refused { signal, setting });
            None
        }
    }
}

macro_rules! exporter {
    ($name:ident, $exporter:ident) => {
        fn $name(endpoint: Option<&Endpoint>) -> Option<Result<$exporter, ExporterBuildError>> {
            let Endpoint { url, protocol } = endpoint?;
            Some(match protocol {
                Protocol::Grpc => $exporter::builder().with_tonic().with_endpoint(url).build(),
                Protocol::Http => $exporter::builder()
                    .with_http()
                    .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                    .with_endpoint(url)
                    .build(),
            })
        }
    };
}

exporter!(span_exporter, SpanExporter);
exporter!(metric_exporter, MetricExporter);
exporter!(log_exporter, LogExporter);

/// How long one shutdown may take at most, whatever the caller asks for.
pub(super) const MAX_SHUTDOWN: Duration = Duration::from_secs(30);
