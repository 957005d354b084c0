//! `log`: what is logged, and how.

use super::file;
use super::reader::{Field, Members, Scope};
use crate::telemetry::{self, Format, LogFilter};

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The log config of the file, or the default; `None` after a fault.
pub(super) fn build(log: &Field<file::Log>, scope: &mut Scope<'_>) -> Option<telemetry::Config> {
    let defaults = file::Log::take(&Members::none(&log.place), scope);
    let log = log.get().unwrap_or(&defaults);
    let level = log.level.get()?;
    let Some(filter) = filter(&level.value) else {
        let text = format!(
            "{} is no level or filter, expected {} or such as \"info,host_mcp_gateway=debug\"",
            level.shown(),
            LEVELS.join(", ")
        );
        return scope.fault(&log.level.place, text);
    };
    let format = match log.format.get()? {
        file::LogFormat::Auto => Format::Auto,
        file::LogFormat::Json => Format::Json,
        file::LogFormat::Text => Format::Text,
    };
    Some(telemetry::Config { filter, format })
}

/// A text as a filter. A bare word must be a level: the parser would take any other for a module and
/// log nothing but that.
fn filter(text: &str) -> Option<LogFilter> {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let each_is_clear = text
        .split(',')
        .all(|part| part.contains('=') || is_level(part.trim()));
    each_is_clear.then(|| text.parse().ok()).flatten()
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
            assert!(filter(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "infoo",
            "verbose",
            "info,debgu",
            "info;debug",
            "hyper=loud",
        ] {
            assert!(filter(bad).is_none(), "{bad}");
        }
    }
}
