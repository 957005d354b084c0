//! How logs are written, and which of them.

use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Crates that an export passes through. Their events must not be exported, for each export would make
/// more of them (opentelemetry-rust#2877), and below `warn` they are of use to few.
const EXPORT_PATH: [&str; 8] = [
    "h2",
    "hyper",
    "tonic",
    "tower",
    "reqwest",
    "rustls",
    "opentelemetry",
    "tracing_opentelemetry",
];

/// How logs are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// What is logged.
    pub filter: LogFilter,
    /// In which form.
    pub format: Format,
}

/// What is logged: a level (`info`), or levels by target (`info,host_mcp_gateway::http=debug`).
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter(pub(super) Targets);

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, InvalidLogFilter> {
        let text = text.trim();
        let mut targets: Targets = match text.parse() {
            Ok(targets) if !text.is_empty() => targets,
            Ok(_) | Err(_) => return Err(InvalidLogFilter),
        };
        for noisy in EXPORT_PATH {
            if !text.contains(noisy) && targets.would_enable(noisy, &tracing::Level::INFO) {
                targets = targets.with_target(noisy, LevelFilter::WARN);
            }
        }
        Ok(Self(targets))
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

/// A text that is no log filter; fits "invalid level: {error}".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "expected off, error, warn, info, debug or trace, or levels by target such as info,host_mcp_gateway::http=debug"
)]
pub struct InvalidLogFilter;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
}

impl FromStr for Format {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            "auto" => Ok(Self::Auto),
            _ => Err(InvalidFormat),
        }
    }
}

/// A text that is no log format; fits "invalid format: {error}".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected json, text or auto")]
pub struct InvalidFormat;

/// The same filter with the export path off, also where a directive names a part of it.
pub(super) fn without_export_path(filter: &Targets) -> Targets {
    let is_elsewhere = |target: &str| !EXPORT_PATH.iter().any(|path| target.starts_with(path));
    Targets::new()
        .with_default(filter.default_level().unwrap_or(LevelFilter::OFF))
        .with_targets(filter.iter().filter(|(target, _)| is_elsewhere(target)))
        .with_targets(EXPORT_PATH.map(|path| (path, LevelFilter::OFF)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_levels_by_target_are_a_filter_and_nothing_else() {
        for legal in ["info", "OFF", "warn,host_mcp_gateway::http=debug"] {
            assert!(legal.parse::<LogFilter>().is_ok(), "{legal:?}");
        }
        for illegal in ["", " ", "info,x=loud", "a=b=c"] {
            assert!(illegal.parse::<LogFilter>().is_err(), "{illegal:?}");
        }
    }

    #[test]
    fn nothing_on_the_export_path_is_exported_whatever_is_named() {
        let filter = "debug,h2::codec=trace,a=trace".parse::<LogFilter>();
        let exported = without_export_path(&filter.expect("legal").0);
        assert!(exported.would_enable("a", &tracing::Level::TRACE));
        assert!(exported.would_enable("host_mcp_gateway", &tracing::Level::DEBUG));
        for path in [
            "h2::codec",
            "hyper_util::client",
            "opentelemetry_sdk",
            "tonic",
        ] {
            assert!(
                !exported.would_enable(path, &tracing::Level::ERROR),
                "{path}"
            );
        }
    }

    #[test]
    fn the_export_path_is_quiet_unless_it_is_named() {
        let filter = "debug".parse::<LogFilter>().expect("legal").0;
        assert!(filter.would_enable("host_mcp_gateway", &tracing::Level::DEBUG));
        assert!(!filter.would_enable("h2::codec", &tracing::Level::DEBUG));
        let named = "debug,h2=trace".parse::<LogFilter>().expect("legal").0;
        assert!(named.would_enable("h2::codec", &tracing::Level::TRACE));
    }
}
