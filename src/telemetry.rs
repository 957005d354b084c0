//! Logs on stderr, and traces, metrics and logs over OTLP by the standard `OTEL_*` variables.
//!
//! Floor 5. Nothing here may hold up or fail a request: every queue is bounded, a sink that does not keep
//! up costs lines or spans, and what is lost is counted. Metrics are always on for `/metrics`; without an
//! endpoint in the environment there is no exporter and no thread for one.

mod config;
mod counted;
mod environment;
mod filter;
mod line;
mod otlp;
mod queue;
mod redact;
mod stderr;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use thiserror::Error;
use tokio::time::Instant;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

pub use config::{Config, Format, InvalidFormat, InvalidLogFilter, LogFilter};
pub use environment::Warning;
pub use queue::Sink;

use crate::instruments::Instruments;
use crate::spans::{self, CallTracer};
use environment::Otlp;
use filter::Filters;
use otlp::{Providers, Refused};
use queue::Queue;
use stderr::StderrLayer;

/// How long the exit waits for a stderr that nobody reads.
const MAX_LOG_FLUSH: Duration = Duration::from_millis(500);

/// Why telemetry could not be set up at all; a wrong variable is a warning instead.
#[derive(Debug, Error)]
pub enum Error {
    /// No duplicate of stderr, no thread, or no runtime.
    #[error("telemetry could not be started: {0}")]
    Io(#[from] io::Error),
    /// The Prometheus reader was refused.
    #[error("metrics could not be set up: {0}")]
    Metrics(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The process has a subscriber already.
    #[error("logging was set up twice")]
    Installed(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// What keeps telemetry running; [`Telemetry::shutdown`] exports the rest.
#[derive(Debug)]
pub struct Telemetry {
    instruments: Instruments,
    registry: prometheus::Registry,
    providers: Providers,
    queue: Queue,
    filters: Filters,
    otlp: Otlp,
    refused: Vec<Refused>,
}

/// Sets up telemetry for the process: subscriber, panic hook, and one line about what goes where.
pub fn init(config: &Config, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Telemetry, Error> {
    // A duplicate of the descriptor: the lock of std's stderr would be held while a write blocks.
    let stderr = std::fs::File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let colour = io::stderr().is_terminal() && lookup("NO_COLOR").is_none_or(|v| v.is_empty());
    let format = match config.format {
        Format::Auto if io::stderr().is_terminal() => Format::Text,
        Format::Auto => Format::Json,
        given => given,
    };
    let config = Config {
        filter: config.filter.clone(),
        format,
    };
    let (telemetry, subscriber) = build(&config, lookup, stderr, colour)?;
    tracing::subscriber::set_global_default(subscriber)?;
    spans::set_propagation(telemetry.otlp.propagation);
    spans::set_root_share(telemetry.otlp.root_share);
    log_panics();
    telemetry.announce();
    Ok(telemetry)
}

/// Builds telemetry without touching anything of the process's: the subscriber is the caller's to install.
///
/// `sink` takes the log lines (`auto` is JSON here), in colour if `colour` and the format is text.
pub fn build(
    config: &Config,
    lookup: &dyn Fn(&str) -> Option<String>,
    sink: impl Sink,
    colour: bool,
) -> Result<(Telemetry, impl Subscriber + Send + Sync + 'static), Error> {
    let Config { filter, format } = config;
    let otlp = environment::read(lookup);
    let registry = prometheus::Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()?;
    let (providers, refused) = Providers::build(&otlp, reader)?;
    let format = stderr_format(*format);
    let queue = Queue::start(sink, move |count| line::lines_dropped(count, format))?;
    let meter = providers.metrics.meter(env!("CARGO_PKG_NAME"));
    observe_dropped_lines(&meter, queue.clone());
    if providers.traces.is_some() {
        Arc::clone(&providers.span_counts).observe(&meter);
    }

    let spans_only = Targets::new().with_target(spans::TARGET, LevelFilter::INFO);
    // The filters go around the options: a layer that is absent and has no filter counts as one that
    // wants everything, and would keep the spans enabled.
    let tracer = (providers.traces.as_ref()).map(|traces| traces.tracer(env!("CARGO_PKG_NAME")));
    let to_calls = tracer.clone().map(CallTracer::new);
    let to_traces = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_threads(false)
            .with_location(false)
            .with_tracked_inactivity(false)
            .with_target(false)
    });
    let spans_only = to_traces.as_ref().map(|_| spans_only).unwrap_or_default();
    let to_logs = providers.logs.as_ref().map(OpenTelemetryTracingBridge::new);
    let exports = to_logs.is_some();
    let to_stderr = StderrLayer::new(queue.clone(), format, colour);
    let (own, set_own) = reload::Layer::new(filter::own(filter));
    let (exported, set_exported) = reload::Layer::new(filter::exported(filter, exports));
    let filters = Filters::new(
        move |filter| set_own.reload(filter::own(filter)),
        move |filter| set_exported.reload(filter::exported(filter, exports)),
    );
    let subscriber = Registry::default()
        .with(to_traces.with_filter(spans_only))
        .with(to_calls.with_filter(LevelFilter::OFF))
        .with(to_logs.with_filter(exported))
        .with(to_stderr.with_filter(own));
    let telemetry = Telemetry {
        instruments: Instruments::new(&meter),
        registry,
        providers,
        queue,
        filters,
        otlp,
        refused,
    };
    Ok((telemetry, subscriber))
}

fn observe_dropped_lines(meter: &Meter, queue: Queue) {
    // The meter keeps the callback; the handle has no use of its own.
    let _ = meter
        .u64_observable_counter("host_mcp_gateway.log.dropped")
        .with_unit("{line}")
        .with_description("log lines that stderr did not take")
        .with_callback(move |observer| observer.observe(queue.dropped(), &[]))
        .build();
}

fn stderr_format(format: Format) -> Format {
    match format {
        Format::Auto => Format::Json,
        given => given,
    }
}

impl Telemetry {
    /// The instruments that feed `/metrics` and OTLP.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Logs by another filter from now on, on stderr and over OTLP.
    pub fn set_filter(&self, filter: &LogFilter) {
        self.filters.set(filter);
    }

    /// All metrics in the Prometheus text format.
    pub fn prometheus_text(&self) -> String {
        text_of(&self.registry)
    }

    /// The same, as a function that `/metrics` can keep.
    pub fn prometheus(&self) -> impl Fn() -> String + Clone + Send + Sync + 'static {
        let registry = self.registry.clone();
        move || text_of(&registry)
    }

    /// Variables that were ignored.
    pub fn warnings(&self) -> &[Warning] {
        &self.otlp.warnings
    }

    /// Log lines that were dropped so far.
    pub fn dropped_log_lines(&self) -> u64 {
        self.queue.dropped()
    }

    /// Logs what is exported where, and what of the environment is ignored; never a header or password.
    pub fn announce(&self) {
        let shown = |on: bool, endpoint: &Option<environment::Endpoint>| match endpoint {
            Some(endpoint) if on => endpoint.to_string(),
            _ => "off".to_owned(),
        };
        let is_refused = |signal| self.refused.iter().any(|refused| refused.signal == signal);
        tracing::info!(
            traces = shown(!is_refused("traces"), &self.otlp.traces),
            metrics = shown(!is_refused("metrics"), &self.otlp.metrics),
            logs = shown(!is_refused("logs"), &self.otlp.logs),
            trace_context = self.otlp.propagation,
            "telemetry export"
        );
        for warning in &self.otlp.warnings {
            tracing::warn!(variable = warning.variable, "{warning}");
        }
        for Refused { signal, setting } in &self.refused {
            tracing::warn!(
                setting,
                "{signal} are not exported: the exporter refuses {setting}"
            );
        }
    }

    /// Exports what is left and writes the last log lines, within `limit` whatever the collector does.
    ///
    /// Blocks: call it outside the runtime's workers. Dropping the value without it may block for longer, on
    /// the SDK's own terms. Afterwards metrics read as nothing, spans and log
    /// records go nowhere, and log lines are dropped.
    pub fn shutdown(mut self, limit: Duration) {
        let deadline = Instant::now() + limit.min(otlp::MAX_SHUTDOWN);
        // A fifth is kept for stderr, where it is said what was given up.
        let given_up = self
            .providers
            .shutdown(deadline - limit.min(otlp::MAX_SHUTDOWN) / 5);
        if !given_up.is_empty() {
            tracing::warn!(
                signals = given_up.join(","),
                "the last telemetry was not exported, the collector did not take it in time"
            );
        }
        let left = deadline.saturating_duration_since(Instant::now());
        self.queue.close(left.min(MAX_LOG_FLUSH));
    }
}

fn text_of(registry: &prometheus::Registry) -> String {
    let families = registry.gather();
    match prometheus::TextEncoder::new().encode_to_string(&families) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, "metrics could not be written as text");
            String::new()
        }
    }
}

/// Sends panics through the log: the default hook writes to stderr itself, and would block a worker there.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no text");
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: {message}");
    }));
}
