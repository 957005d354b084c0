//! The standard `OTEL_*` variables, read as one pure function.
//!
//! Read here are those that the SDK does not read or reads in a way of its own: what is exported, where
//! to, and by which protocol. Headers, timeouts, compression, sampler, batch sizes and resource
//! attributes are left to the SDK; of these, texts that it would ignore in silence are warned of.
//! Source: OpenTelemetry specification, "Environment variable specification" and "OTLP exporter".

use std::fmt;

use thiserror::Error;

use super::redact::host_and_port;

/// What is exported over OTLP, and what of the environment could not be used.
#[derive(Debug, Default)]
pub(super) struct Otlp {
    /// Where spans go, if anywhere.
    pub(super) traces: Option<Endpoint>,
    /// Where metrics go besides `/metrics`.
    pub(super) metrics: Option<Endpoint>,
    /// Where log records go besides stderr.
    pub(super) logs: Option<Endpoint>,
    /// Whether callers' trace contexts are used and passed on.
    pub(super) propagation: bool,
    /// Whether the environment names the service.
    pub(super) names_service: bool,
    /// The share of traces that begin here and are recorded (0 to 1), where callers decide about theirs; `None` for
    /// samplers that do not ask the caller.
    pub(super) root_share: Option<f64>,
    /// Whether the environment bounds the queue of spans.
    pub(super) bounds_span_queue: bool,
    /// One for each variable that is ignored.
    pub(super) warnings: Vec<Warning>,
}

/// A variable that is ignored; its value is not shown, since it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{variable} is ignored: expected {expected}")]
pub struct Warning {
    /// The variable's name.
    pub variable: String,
    /// What it should hold.
    pub expected: &'static str,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, as protobuf.
    Http,
}

/// Where one signal goes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The whole URL, with a scheme and, for HTTP, the signal's path; may hold a password.
    pub(super) url: String,
    /// How to speak there.
    pub(super) protocol: Protocol,
}

impl fmt::Display for Endpoint {
    /// Protocol, scheme, host and port: nothing that can be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http/protobuf",
        };
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let host = host_and_port(rest);
        write!(f, "{scheme}://{host} ({protocol})")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the variables through a lookup; an empty value is as good as none.
pub(super) fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Otlp {
    let mut reader = Reader {
        lookup,
        warnings: Vec::new(),
    };
    let enabled = !reader.flag("OTEL_SDK_DISABLED").unwrap_or(false);
    let mut signal =
        |name: &str, path: &str| enabled.then(|| reader.endpoint(name, path)).flatten();
    let traces = signal("TRACES", "/v1/traces");
    let metrics = signal("METRICS", "/v1/metrics");
    let logs = signal("LOGS", "/v1/logs");
    let propagation = reader.propagation();
    if traces.is_some() || metrics.is_some() || logs.is_some() {
        reader.check_what_the_sdk_reads();
    }
    let attributes = reader.text("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    Otlp {
        traces,
        metrics,
        logs,
        propagation,
        names_service: reader.text("OTEL_SERVICE_NAME").is_some()
            || attributes
                .split(',')
                .any(|pair| pair.trim_start().starts_with("service.name=")),
        root_share: reader.root_share(),
        bounds_span_queue: reader.text("OTEL_BSP_MAX_QUEUE_SIZE").is_some(),
        warnings: reader.warnings,
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn text(&self, variable: &str) -> Option<String> {
        let value = (self.lookup)(variable)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    /// As the specification has it: `parentbased_always_on` by default, and a ratio of 1 where none can be read.
    fn root_share(&self) -> Option<f64> {
        let sampler = self.text("OTEL_TRACES_SAMPLER");
        match sampler.as_deref() {
            Some("parentbased_traceidratio") => {
                let ratio = self.text("OTEL_TRACES_SAMPLER_ARG");
                let ratio = ratio.and_then(|text| text.parse().ok());
                Some(
                    ratio
                        .filter(|ratio| (0.0..=1.0).contains(ratio))
                        .unwrap_or(1.0),
                )
            }
            Some("parentbased_always_off") => Some(0.0),
            Some("always_on" | "always_off" | "traceidratio") => None,
            _ => Some(1.0),
        }
    }

    fn warn(&mut self, variable: &str, expected: &'static str) {
        let warning = Warning {
            variable: variable.to_owned(),
            expected,
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn flag(&mut self, variable: &str) -> Option<bool> {
        match self.text(variable)?.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.warn(variable, "true or false");
                None
            }
        }
    }

    /// The value of a signal's own variable, else of the general one, with the variable's name.
    fn of_signal(&self, signal: &str, what: &str) -> Option<(String, String)> {
        [
            format!("OTEL_EXPORTER_OTLP_{signal}_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ]
        .into_iter()
        .find_map(|variable| Some((self.text(&variable)?, variable)))
    }

    fn endpoint(&mut self, signal: &str, path: &str) -> Option<Endpoint> {
        let asked_for = self.exporter(signal)?;
        let (text, variable) = match self.of_signal(signal, "ENDPOINT") {
            Some(given) => given,
            // The specification's default, for those who name the exporter and nothing else.
            None if asked_for => (String::new(), String::new()),
            None => return None,
        };
        let protocol = self.protocol(signal, &text);
        let (text, general) = match (text.as_str(), protocol) {
            ("", Protocol::Grpc) => ("http://localhost:4317".to_owned(), true),
            ("", Protocol::Http) => ("http://localhost:4318".to_owned(), true),
            _ => (text, !variable.contains(signal)),
        };
        let mut url = if text.contains("://") {
            text
        } else {
            let scheme = if self.is_secure(signal) {
                "https"
            } else {
                "http"
            };
            format!("{scheme}://{text}")
        };
        if !is_http_url(&url) {
            self.warn(
                &variable,
                "a URL such as http://localhost:4317, or host:port",
            );
            return None;
        }
        if general && protocol == Protocol::Http {
            url.truncate(url.trim_end_matches('/').len());
            url.push_str(path);
        }
        Some(Endpoint { url, protocol })
    }

    /// Whether a signal may go over OTLP: `None` if it is turned off, `Some(true)` if it is asked for by
    /// name.
    fn exporter(&mut self, signal: &str) -> Option<bool> {
        let variable = format!("OTEL_{signal}_EXPORTER");
        let Some(names) = self.text(&variable) else {
            return Some(false);
        };
        let mut otlp = None;
        let mut known = false;
        for name in names.split(',').map(str::trim) {
            match name {
                "otlp" => (otlp, known) = (Some(true), true),
                "none" => known = true,
                "prometheus" if signal == "METRICS" => known = true,
                _ => self.warn(&variable, "otlp or none (metrics are always on /metrics)"),
            }
        }
        // A list with nothing in it that we know is ignored as a whole.
        if known { otlp } else { Some(false) }
    }

    fn protocol(&mut self, signal: &str, endpoint: &str) -> Protocol {
        let expected = "grpc or http/protobuf";
        if let Some((name, variable)) = self.of_signal(signal, "PROTOCOL") {
            match name.as_str() {
                "grpc" => return Protocol::Grpc,
                "http/protobuf" => return Protocol::Http,
                "http/json" => {
                    self.warn(&variable, expected);
                    return Protocol::Http;
                }
                _ => self.warn(&variable, expected),
            }
        }
        let rest = endpoint
            .split_once("://")
            .map_or(endpoint, |(_, rest)| rest);
        if host_and_port(rest).ends_with(":4318") {
            Protocol::Http
        } else {
            Protocol::Grpc
        }
    }

    /// Whether an endpoint without a scheme wants TLS: only if `INSECURE` says `false`.
    ///
    /// The specification's default is TLS; collectors that are written without a scheme, such as
    /// `localhost:4317`, practically never speak it.
    fn is_secure(&mut self, signal: &str) -> bool {
        let Some((_, variable)) = self.of_signal(signal, "INSECURE") else {
            return false;
        };
        self.flag(&variable) == Some(false)
    }

    fn propagation(&mut self) -> bool {
        let variable = "OTEL_PROPAGATORS";
        let Some(names) = self.text(variable) else {
            return true;
        };
        let mut on = false;
        let mut known = false;
        for name in names.split(',').map(str::trim) {
            match name {
                "tracecontext" => (on, known) = (true, true),
                // Baggage is legal in the list, but never read: it is text of a stranger.
                "none" | "baggage" => known = true,
                _ => self.warn(variable, "tracecontext or none"),
            }
        }
        on || !known
    }

    fn check_what_the_sdk_reads(&mut self) {
        const NUMBERS: [&str; 13] = [
            "OTEL_BSP_SCHEDULE_DELAY",
            "OTEL_BSP_EXPORT_TIMEOUT",
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "OTEL_BLRP_SCHEDULE_DELAY",
            "OTEL_BLRP_EXPORT_TIMEOUT",
            "OTEL_BLRP_MAX_QUEUE_SIZE",
            "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
            "OTEL_METRIC_EXPORT_INTERVAL",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
        ];
        const SAMPLERS: [&str; 6] = [
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ];
        for variable in NUMBERS {
            let value = self.text(variable);
            if value.is_some_and(|value| value.parse::<u64>().is_err()) {
                self.warn(variable, "a whole number");
            }
        }
        let sampler = self.text("OTEL_TRACES_SAMPLER");
        if sampler.is_some_and(|name| !SAMPLERS.contains(&name.as_str())) {
            self.warn(
                "OTEL_TRACES_SAMPLER",
                "a sampler of the specification, such as parentbased_traceidratio",
            );
        }
        let ratio = self
            .text("OTEL_TRACES_SAMPLER_ARG")
            .map(|text| text.parse::<f64>());
        if ratio.is_some_and(|ratio| !ratio.is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))) {
            self.warn("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1");
        }
    }
}

fn is_http_url(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

#[cfg(test)]
mod tests;
