//! What is to be done about lines that servers are known to write to stdout.

/// The remedies, each with words of which one must stand in a line, in lower case. The first that fits counts.
const REMEDIES: [(&str, &[&str]); 6] = [
    (
        "it waits for an answer at a terminal: have it ask nothing, for npx by \"-y\" as its first argument",
        &[
            "ok to proceed?",
            "need to install the following packages",
            "(y/n)",
            "[y/n]",
            "(yes/no)",
            "password:",
            "passphrase",
            "press any key",
            "press enter",
        ],
    ),
    (
        "it serves HTTP: start it in its stdio mode, often \"args\": [\"--transport\", \"stdio\"] or [\"stdio\"]",
        &[
            "listening on",
            "listening at",
            "running on http",
            "running at http",
            "started on port",
            "running on port",
            "uvicorn",
            "http://localhost",
            "http://127.0.0.1",
            "http://0.0.0.0",
        ],
    ),
    (
        "it misses a variable: set it in \"env\" of the server",
        &[
            "is not set",
            "not set in",
            "environment variable",
            "env var",
            "missing api key",
            "missing token",
            "api key is required",
            "token is required",
        ],
    ),
    (
        "it prints how it is used: look at \"args\"",
        &[
            "usage:",
            "unknown option",
            "unrecognized argument",
            "--help",
        ],
    ),
    (
        "a logger writes to stdout, where only messages may be: have it write to stderr",
        &[
            "[info]", "[debug]", "[warn", "[error]", "info:", "debug:", "warn:", "warning:",
            "error:", " info ", " debug ", " warn ", " error ", "info  ",
        ],
    ),
    (
        "it writes several messages on one line, expected a line end after each",
        &["}{\"", "} {\""],
    ),
];

/// What is to be done, and how much that tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remedy {
    /// Its place in the list: that a logger writes to stdout tells less than what it logs.
    rank: usize,
    pub(super) text: &'static str,
}

/// The remedy for a line, if it is a known one.
pub(super) fn of(line: &str) -> Option<Remedy> {
    let line = line.to_lowercase();
    // JSON may hold any of these words; only how it is put on the line can be known.
    let skipped = if line.starts_with('{') {
        REMEDIES.len() - 1
    } else {
        0
    };
    let mut remedies = REMEDIES.iter().enumerate().skip(skipped);
    let (rank, (text, _)) =
        remedies.find(|(_, (_, words))| words.iter().any(|word| line.contains(word)))?;
    Some(Remedy { rank, text })
}

/// The remedy of two that tells more; the first where they are the same.
pub(super) fn more_telling(one: Option<Remedy>, other: Option<Remedy>) -> Option<Remedy> {
    one.into_iter()
        .chain(other)
        .min_by_key(|remedy| remedy.rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RB03.
    #[test]
    fn known_lines_have_a_remedy_and_others_have_none() {
        for (line, remedy) in [
            (
                "Server listening on http://localhost:3000/mcp",
                Some("HTTP"),
            ),
            (
                "INFO:     Uvicorn running on http://0.0.0.0:8000",
                Some("HTTP"),
            ),
            ("Ok to proceed? (y)", Some("-y")),
            ("Overwrite? [Y/n]", Some("terminal")),
            ("ACME_TOKEN is not set", Some("\"env\"")),
            ("Usage: server [options]", Some("args")),
            ("2026-01-01 10:00:00 INFO starting up", Some("logger")),
            ("[INFO] starting up", Some("logger")),
            (
                r#"{"id":1,"result":{}}{"id":2,"result":{}}"#,
                Some("line end"),
            ),
            (r#"{"text": "listening on"#, None),
            ("hello", None),
            ("", None),
        ] {
            let found = of(line);
            assert_eq!(found.is_some(), remedy.is_some(), "{line}: {found:?}");
            let found = found.map_or("", |found| found.text);
            let remedy = remedy.unwrap_or_default();
            assert!(found.contains(remedy), "{line}: {found}");
        }
    }
}
