//! No secret of a file is told, whatever else is wrong with the file.

use std::path::Path;

use proptest::prelude::*;

use super::super::from_text;
use super::Env;

/// As much of a secret as nobody may see.
const PIECE: usize = 10;

/// The file with secrets at every place that one can stand in.
fn file(secret: &str) -> String {
    let [token, variable, argument, inherited] = parts(secret);
    format!(
        r#"{{
  "allowed_clients": ["localhost"],
  "auth_token": "{token}",
  "tokens": [ {{ "name": "agents", "env": "A_TOKEN", "servers": ["git"] }} ],
  "servers": [ {{
    "server_id": "git", "command": "/bin/sh", "args": ["--key", "{argument}"],
    "env": {{ "KEY": "{variable}", "URL": "https://u:${{A_SECRET}}@{inherited}/" }}
  }} ],
  "mcpServers": {{ "time": {{ "command": "/bin/sh", "env": {{ "KEY": "{variable}" }} }} }},
  "log": {{ "level": "info" }}
}}"#
    )
}

/// Four secrets out of one, none of them a piece of another.
fn parts(secret: &str) -> [String; 4] {
    ["t", "v", "a", "i"].map(|mark| {
        let marked: String = secret
            .chars()
            .flat_map(|c| [mark.to_owned(), c.to_string()])
            .collect();
        marked
    })
}

/// What a hand slips into a file.
fn slip() -> impl Strategy<Value = (prop::sample::Index, &'static str, usize)> {
    const TEXTS: &[&str] = &[
        "", "\"", "{", "}", "[", "]", ",", ":", "\\", "\n", "1", "${", "$", "//", "null", "x",
    ];
    (
        any::<prop::sample::Index>(),
        prop::sample::select(TEXTS),
        0usize..3,
    )
}

proptest! {
    #[test]
    fn no_secret_is_told_however_the_file_is_broken(
        secret in "[A-Za-z0-9]{16,24}",
        slips in prop::collection::vec(slip(), 0..3),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut text = file(&secret);
        for (at, with, instead) in slips {
            let at = at.index(text.len());
            let end = (at + instead).min(text.len());
            text.replace_range(at..end, with);
        }
        if let Some(end) = end {
            text.truncate(end.index(text.len() + 1));
        }
        let held = ["of-a-token-0123456789abcdef", "of-a-server-9876543210"];
        let variables = [("A_TOKEN", held[0]), ("A_SECRET", held[1])];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let env = Env::new(variables, Some("/home/me".into()), 1000);
        let told = match from_text(&text, Path::new("/etc/gateway.json"), &env) {
            Ok(config) => {
                let parts = format!("{:?}{:?}{:?}{:?}", config.http, config.relay, config.servers, config.log);
                format!("{config:#?}{parts}{:?}", config.warnings)
            }
            Err(faults) => format!("{faults}{faults:?}{faults:#?}"),
        };
        let mine = parts(&secret);
        for secret in mine.iter().map(String::as_str).chain(held) {
            for piece in secret.as_bytes().windows(PIECE) {
                let piece = std::str::from_utf8(piece).unwrap();
                prop_assert!(!told.contains(piece), "{piece} of {secret} is told: {told}");
            }
        }
    }
}
