//! The eras of the protocol that a server knows, in words, and the hint that follows for its config.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::report::ServerReport;
use crate::protocol::Era;
use crate::supervisor::EraFacts;
use crate::types::ServerId;

/// The eras that a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum KnownEras {
    /// The config says which one is spoken; nobody has looked for the other.
    Pinned(Era),
    /// As its starts have shown it.
    Found(EraFacts),
}

impl KnownEras {
    /// True for a server that speaks either.
    fn are_both(self) -> bool {
        match self {
            Self::Pinned(_) => false,
            Self::Found(facts) => (facts.legacy, facts.modern) == (Some(true), Some(true)),
        }
    }

    /// Describes how it took `server/discover`, where that was no answer.
    fn trouble(facts: EraFacts) -> Option<&'static str> {
        if facts.dies_of_probe {
            Some("ended at server/discover")
        } else if facts.silent {
            Some("silent on server/discover")
        } else {
            None
        }
    }

    /// The end of its line in the report.
    pub(super) fn words(self) -> String {
        let facts = match self {
            Self::Pinned(era) => return format!("pinned to the {} era", era.as_str()),
            Self::Found(facts) => facts,
        };
        let known = match (facts.legacy, facts.modern) {
            _ if self.are_both() => "both eras",
            (_, Some(true)) => "modern era",
            (Some(true), _) => "legacy era",
            _ => "era unknown",
        };
        match Self::trouble(facts) {
            Some(trouble) => format!("{known} ({trouble})"),
            None => known.to_owned(),
        }
    }

    /// `{"pinned": null|"legacy"|"modern", "legacy": bool|null, "modern": bool|null, "probe": text|null}`: `probe` is
    /// `died` or `silent` where `server/discover` had no answer.
    pub(super) fn json(self) -> Value {
        let (pinned, facts) = match self {
            Self::Pinned(era) => (Some(era.as_str()), EraFacts::default()),
            Self::Found(facts) => (None, facts),
        };
        let probe = match facts {
            facts if facts.dies_of_probe => Some("died"),
            facts if facts.silent => Some("silent"),
            _ => None,
        };
        let modern = facts.modern.or(probe.map(|_| false));
        json!({"pinned": pinned, "legacy": facts.legacy, "modern": modern, "probe": probe})
    }
}

/// One line on the servers that may run twice, where there are some.
pub(super) fn exclusive_hint(
    servers: &[ServerReport],
    shared: &BTreeSet<ServerId>,
) -> Option<String> {
    let both = servers.iter().filter(|server| {
        let is_shared = shared.contains(server.id.as_str());
        is_shared && server.eras.is_some_and(KnownEras::are_both)
    });
    let ids: Vec<&str> = both.map(|server| server.id.as_str()).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "with clients of both eras, a server that knows both runs twice ({}); one that holds something exclusive \
             (a device, a port, a browser profile) wants a pin: \"era\": \"legacy\" or \"modern\"",
            ids.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_knows_is_told_in_words_and_in_json() {
        let nothing = EraFacts::default();
        let legacy = EraFacts {
            legacy: Some(true),
            ..nothing
        };
        let table = [
            (
                EraFacts {
                    modern: Some(true),
                    ..legacy
                },
                "both eras",
                json!([true, true, null]),
            ),
            (
                EraFacts {
                    legacy: Some(false),
                    modern: Some(true),
                    ..nothing
                },
                "modern era",
                json!([false, true, null]),
            ),
            (
                EraFacts {
                    modern: Some(false),
                    ..legacy
                },
                "legacy era",
                json!([true, false, null]),
            ),
            (
                EraFacts {
                    dies_of_probe: true,
                    ..legacy
                },
                "legacy era (ended at server/discover)",
                json!([true, false, "died"]),
            ),
            (
                EraFacts {
                    silent: true,
                    ..legacy
                },
                "legacy era (silent on server/discover)",
                json!([true, false, "silent"]),
            ),
        ];
        for (facts, words, expected) in table {
            let known = KnownEras::Found(facts);
            assert_eq!(known.words(), words);
            let found = known.json();
            let found = json!([found["legacy"], found["modern"], found["probe"]]);
            assert_eq!(found, expected);
        }
        let pinned = KnownEras::Pinned(Era::Legacy);
        assert_eq!(pinned.words(), "pinned to the legacy era");
        assert_eq!(pinned.json()["pinned"], "legacy");
    }
}
