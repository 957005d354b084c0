//! The name of a server, as it stands in paths, tool prefixes and logs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Words that are paths of the gateway itself and so cannot name a server, in any case.
pub const RESERVED_SERVER_IDS: [&str; 8] = [
    "rpc", "mcp", "health", "ready", "servers", "metrics", "ui", "sse",
];

const MAX_LEN: usize = 63;

/// The id of a configured server: `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`, without `__` and without a `_` at
/// its end, and not one of [`RESERVED_SERVER_IDS`].
///
/// Two underscores separate server and tool on the aggregated endpoint. Ids are compared exactly.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(Arc<str>);

/// Why a text cannot be a server id; fits "invalid server id: {error}".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} {reason}{}", suggestion.as_ref().map(|s| format!(", try {s:?}")).unwrap_or_default())]
pub struct InvalidServerId {
    input: String,
    reason: &'static str,
    suggestion: Option<String>,
}

impl InvalidServerId {
    /// A legal id that is near to the input, where there is one.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

impl ServerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text that is kept by whoever has a handle on it.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for ServerId {
    type Err = InvalidServerId;

    fn from_str(text: &str) -> Result<Self, InvalidServerId> {
        match fault_of(text) {
            None => Ok(Self(text.into())),
            Some(reason) => Err(InvalidServerId {
                input: text.chars().take(MAX_LEN).collect(),
                reason,
                suggestion: nearest_valid(text),
            }),
        }
    }
}

fn fault_of(text: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() {
        Some("is empty")
    } else if text.len() > MAX_LEN {
        Some("is longer than 63 characters")
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some("does not begin with an ASCII letter or digit")
    } else if !text.chars().all(legal) {
        Some("has a character other than ASCII letters, digits, '.', '_' and '-'")
    } else if text.contains("__") {
        Some("contains \"__\", which separates server and tool on /mcp")
    } else if text.ends_with('_') {
        Some("ends with '_', which could not be told from the \"__\" that follows it on /mcp")
    } else if RESERVED_SERVER_IDS
        .iter()
        .any(|word| word.eq_ignore_ascii_case(text))
    {
        Some("is a path of the gateway itself")
    } else {
        None
    }
}

/// The input with what is illegal replaced, where that gives a legal id.
fn nearest_valid(text: &str) -> Option<String> {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        };
        if !(c == '-' && (out.is_empty() || out.ends_with('-'))) && out.len() < MAX_LEN {
            out.push(c);
        }
    }
    let mut out = out.trim_matches(['-', '.']).to_owned();
    if RESERVED_SERVER_IDS
        .iter()
        .any(|word| word.eq_ignore_ascii_case(&out))
    {
        out.push_str("-server");
    }
    fault_of(&out).is_none().then_some(out)
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl std::borrow::Borrow<str> for ServerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for ServerId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_ids_are_kept_as_they_are() {
        for id in ["a", "host-service", "A.b_c-9", &"x".repeat(63)] {
            assert_eq!(
                id.parse::<ServerId>().map(|id| id.to_string()),
                Ok(id.to_owned())
            );
        }
    }

    #[test]
    fn an_illegal_id_is_refused_with_a_reason_and_a_legal_suggestion() {
        let cases = [
            ("", "is empty", None),
            ("my server", "has a character", Some("my-server")),
            ("_x", "does not begin", Some("x")),
            ("a__b", "contains", Some("a-b")),
            ("a_", "ends with", Some("a")),
            ("Health", "is a path", Some("Health-server")),
            ("ѕ1", "does not begin", Some("1")),
        ];
        for (input, reason, suggestion) in cases {
            let error = input.parse::<ServerId>().expect_err(input);
            assert!(error.to_string().contains(reason), "{input:?}: {error}");
            assert_eq!(error.suggestion.as_deref(), suggestion, "{input:?}");
        }
        assert!("x".repeat(64).parse::<ServerId>().is_err());
    }
}
