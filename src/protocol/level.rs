//! The severities of log messages: RFC 5424 §6.2.1, by the names that MCP gives them.

use serde::Deserialize;

use super::message::string;

/// How severe a log message is, or from which severity on somebody wants to hear. Ordered: the least
/// severe, and so the most talkative, first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `critical`
    Critical,
    /// `alert`
    Alert,
    /// `emergency`
    Emergency,
}

impl Level {
    /// All levels, the most talkative first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The name, as it stands in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// The level that a JSON string names (`"info"`, with its quotes).
    pub fn of_json(json: &[u8]) -> Option<Self> {
        let name = string(json)?;
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    /// The `level` in the params of `logging/setLevel` or of `notifications/message`, a JSON object.
    pub fn of_params(params: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            level: &'a serde_json::value::RawValue,
        }
        // An array would be read as the members in their order.
        let params = params.strip_prefix(b"{").map(|_members| params)?;
        let params: Params<'_> = serde_json::from_slice(params).ok()?;
        Self::of_json(params.level.get().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_from_talk_to_catastrophe_and_known_by_their_names() {
        assert!(Level::ALL.is_sorted());
        for level in Level::ALL {
            let params = format!(r#"{{"logger":"x","level" : "{}"}}"#, level.as_str());
            assert_eq!(Level::of_params(params.as_bytes()), Some(level));
        }
    }

    #[test]
    fn other_texts_are_no_level() {
        for json in ["\"Info\"", "\"trace\"", "info", "7", "null", "\"\""] {
            assert_eq!(Level::of_json(json.as_bytes()), None, "{json}");
        }
        for params in ["{}", "[\"info\"]", r#"{"level":3}"#, ""] {
            assert_eq!(Level::of_params(params.as_bytes()), None, "{params}");
        }
    }
}
