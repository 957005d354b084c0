//! `log`: what is logged, and how.

use tracing_subscriber::EnvFilter;

use super::file;
use super::reader::{Field, Members, Scope};

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A filter as [`EnvFilter`] parses it, such as `info`; checked.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The log config of the file, or the default; `None` after a fault.
pub(super) fn build(log: &Field<file::Log>, scope: &mut Scope<'_>) -> Option<LogConfig> {
    let defaults = file::Log::take(&Members::none(&log.place), scope);
    let log = log.get().unwrap_or(&defaults);
    let level = log.level.get()?;
    if !is_filter(&level.value) {
        let text = format!(
            "{} is no level or filter, expected {} or such as \"info,host_mcp_gateway=debug\"",
            level.shown(),
            LEVELS.join(", ")
        );
        return scope.fault(&log.level.place, text);
    }
    let format = match log.format.get()? {
        file::LogFormat::Auto => LogFormat::Auto,
        file::LogFormat::Json => LogFormat::Json,
        file::LogFormat::Text => LogFormat::Text,
    };
    Some(LogConfig {
        level: level.value.clone(),
        format,
    })
}

/// Whether a text is a filter. A bare word must be a level: the parser would take any other for a
/// module and log nothing but that.
fn is_filter(text: &str) -> bool {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let each_is_clear = text
        .split(',')
        .all(|part| part.contains(['=', '[']) || is_level(part.trim()));
    each_is_clear && EnvFilter::builder().parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_word_is_a_level_and_nothing_else() {
        for good in [
            "info",
            "WARN",
            "info,hyper=off",
            "host_mcp_gateway::http=debug",
            "off",
        ] {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            "infoo",
            "verbose",
            "info,debgu",
            "info;debug",
            "hyper=loud",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}
