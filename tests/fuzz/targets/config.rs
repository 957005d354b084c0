//! The config file: any text gives a config or a list of faults, and neither tells a secret that stands in it.
//!
//! Input: the file.

use std::path::Path;

use host_mcp_gateway::config::{Env, from_text};
use jsonc_parser::ast::Value;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

/// A shorter text may stand in a message by chance.
const SHORTEST: usize = 8;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let variables = [
        ("HOME", "/home/me"),
        ("PATH", "/usr/bin:/bin"),
        ("A_TOKEN", "from-a-variable-0123456789abcdef"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let env = Env::new(variables, Some("/home/me".into()), 1000);
    let (told, said) = match from_text(text, Path::new("/fuzz/config.json"), &env) {
        Ok(config) => {
            assert!(
                !config.http.admission.tokens.is_empty(),
                "nobody could enter"
            );
            assert!(
                !config.http.admission.allowed_clients.is_empty(),
                "nobody could enter"
            );
            (format!("{config:?}"), config.warnings.join("\n"))
        }
        Err(faults) => {
            assert!(!faults.to_string().trim().is_empty());
            (format!("{faults:?}"), faults.to_string())
        }
    };
    let told = [told, said].join("\n");
    let secrets = secrets(text);
    for secret in &secrets {
        // What stands in the file twice is not known as a secret by its second place, and what it takes from
        // a variable is not in the file.
        let is_whole = secret.len() >= SHORTEST && !secret.contains(['$', '\\']);
        if is_whole && text.matches(secret.as_str()).count() == 1 {
            assert!(!told.contains(secret.as_str()), "told: {secret}");
        }
    }
    // A variable may also be put where everybody sees it, such as into a server's id.
    let uses = |text: &str| text.matches("A_TOKEN").count();
    let within: usize = secrets.iter().map(|secret| uses(secret)).sum();
    if uses(text) == within {
        assert!(
            !told.contains("from-a-variable"),
            "the value of a variable is told"
        );
    }
}

/// Values of keys that hold secrets, wherever the keys stand: as the parser sees them, and by their look in a
/// file that does not parse.
fn secrets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let parsed = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default());
    if let Ok(Some(value)) = parsed.map(|parsed| parsed.value) {
        collect(&value, &mut found);
    }
    for (at, key) in text.match_indices("\"auth_token\"") {
        let after = text[at + key.len()..].trim_start();
        let value = after.strip_prefix(':').map(str::trim_start);
        let value = value.and_then(|value| value.strip_prefix('"')?.split('"').next());
        found.extend(value.map(str::to_owned));
    }
    found.sort();
    found.dedup();
    found
}

fn collect(value: &Value<'_>, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for member in &object.properties {
                match (member.name.as_str(), &member.value) {
                    ("auth_token", Value::StringLit(text)) => found.push(text.value.to_string()),
                    // In `tokens` it is the name of a variable, which may be told.
                    ("env", Value::StringLit(text)) if text.value == "A_TOKEN" => {
                        found.push(text.value.to_string());
                    }
                    ("env", Value::Object(variables)) => {
                        for variable in &variables.properties {
                            if let Value::StringLit(text) = &variable.value {
                                found.push(text.value.to_string());
                            }
                        }
                    }
                    (_, value) => collect(value, found),
                }
            }
        }
        Value::Array(array) => array
            .elements
            .iter()
            .for_each(|element| collect(element, found)),
        Value::StringLit(_)
        | Value::NumberLit(_)
        | Value::BooleanLit(_)
        | Value::NullKeyword(_) => {}
    }
}
