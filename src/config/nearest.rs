//! "Did you mean": the name that a mistyped one most likely stands for.

/// Words for a key that people bring along from elsewhere, and what it is called here.
const SYNONYMS: [(&str, &str); 14] = [
    ("cwd", "working_dir"),
    ("workdir", "working_dir"),
    ("id", "server_id"),
    ("name", "server_id"),
    ("host", "bind_host"),
    ("port", "bind_port"),
    ("token", "auth_token"),
    ("environment", "env"),
    ("arguments", "args"),
    ("cmd", "command"),
    ("allowlist", "allowed_clients"),
    ("backoff_ms", "restart_backoff_ms"),
    ("timeout", "request_timeout_ms"),
    ("timeout_ms", "request_timeout_ms"),
];

/// The known name that an unknown one most likely stands for.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    /// Beyond this a name is no slip, and comparing costs more than it tells.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_ascii_lowercase().replace(['-', ' '], "_");
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == lower);
    let scored = known.map(|key| {
        let key_lower = key.to_ascii_lowercase();
        let without_unit = key_lower.strip_suffix("_ms").unwrap_or(&key_lower);
        let distance = strsim::damerau_levenshtein(&lower, &key_lower)
            .min(strsim::damerau_levenshtein(&lower, without_unit));
        match synonym {
            Some((_, meant)) if *meant == key => (0, key),
            Some(_) | None => (distance, key),
        }
    });
    let (distance, key) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + key.len() / 5).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_key_that_was_meant() {
        let known = [
            "server_id",
            "command",
            "working_dir",
            "env",
            "args",
            "window_ms",
        ];
        for (typed, meant) in [
            ("comand", Some("command")),
            ("working-dir", Some("working_dir")),
            ("workingDir", Some("working_dir")),
            ("cwd", Some("working_dir")),
            ("Env", Some("env")),
            ("arg", Some("args")),
            ("window", Some("window_ms")),
            ("host", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }
}
