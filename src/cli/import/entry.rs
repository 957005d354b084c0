//! One entry of a client's list of servers.

use serde_json::{Map, Value};

use super::Env;

/// What a client would start.
#[derive(Debug, PartialEq)]
pub(super) struct Launch {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Env,
    pub(super) working_dir: Option<String>,
}

/// Reads an entry; the error says why it cannot be taken over, without any value of it.
pub(super) fn parse(entry: &Value) -> Result<Launch, String> {
    let entry = entry.as_object().ok_or("not an object")?;
    if ["url", "serverUrl", "httpUrl"]
        .iter()
        .any(|key| entry.contains_key(*key))
    {
        return Err("it is reached by URL; this gateway runs stdio servers only".to_owned());
    }
    if entry.get("disabled") == Some(&Value::Bool(true))
        || entry.get("enabled") == Some(&Value::Bool(false))
    {
        return Err("it is switched off there".to_owned());
    }
    // Zed has written {"command": {"path", "args", "env"}}.
    let entry = match entry.get("command") {
        Some(Value::Object(inner)) => inner,
        _ => entry,
    };
    let command = entry.get("command").or_else(|| entry.get("path"));
    let command = command
        .and_then(Value::as_str)
        .filter(|command| !command.trim().is_empty());
    let launch = Launch {
        command: substitute(command.ok_or("it has no command")?)?,
        args: args(entry)?,
        env: env(entry)?,
        working_dir: match entry.get("cwd") {
            None | Some(Value::Null) => None,
            Some(Value::String(folder)) => Some(substitute(folder)?),
            Some(_) => return Err("\"cwd\" is not a text".to_owned()),
        },
    };
    Ok(launch)
}

fn args(entry: &Map<String, Value>) -> Result<Vec<String>, String> {
    match entry.get("args") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(args)) => args
            .iter()
            .map(|arg| substitute(&scalar(arg).ok_or("an argument is not a text")?))
            .collect(),
        Some(_) => Err("\"args\" is not a list".to_owned()),
    }
}

fn env(entry: &Map<String, Value>) -> Result<Env, String> {
    match entry.get("env") {
        None | Some(Value::Null) => Ok(Env::new()),
        Some(Value::Object(env)) => env
            .iter()
            .map(|(name, value)| {
                let value = scalar(value).ok_or_else(|| format!("env {name} is not a text"))?;
                Ok((name.clone(), substitute(&value)?))
            })
            .collect(),
        Some(_) => Err("\"env\" is not an object".to_owned()),
    }
}

/// Texts as they are; numbers and booleans as people mean them.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The clients' placeholders as ours: `${VAR}` and `${VAR:-default}` mean the same here, `${env:VAR}`
/// is spelled without `env:`. Others (`${input:token}`, `${workspaceFolder}`) have no meaning here.
fn substitute(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after.split_once('}').ok_or("a \"${\" is not closed")?;
        let variable = inside.strip_prefix("env:").unwrap_or(inside);
        let name = variable
            .split_once(":-")
            .map_or(variable, |(name, _default)| name);
        let known_elsewhere = matches!(name, "workspaceFolder" | "userHome" | "pathSeparator");
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if known_elsewhere || name.is_empty() || !name.chars().all(legal) {
            return Err(format!(
                "it needs ${{{name}}}, which only that client knows"
            ));
        }
        out.extend([before, "${", variable, "}"]);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_clients_write_is_understood() {
        let entry = json!({"type": "stdio", "command": "npx", "args": ["-y", 3, true],
            "env": {"A": "${env:HOME}/x", "B": 1, "C": "${D:-e}"}, "cwd": "/w"});
        let launch = parse(&entry).unwrap();
        assert_eq!(launch.command, "npx");
        assert_eq!(launch.args, ["-y", "3", "true"]);
        assert_eq!(launch.env["A"], "${HOME}/x");
        assert_eq!(
            (launch.env["B"].as_str(), launch.env["C"].as_str()),
            ("1", "${D:-e}")
        );
        assert_eq!(launch.working_dir.as_deref(), Some("/w"));
        let zed = json!({"command": {"path": "srv", "args": ["a"]}});
        assert_eq!(parse(&zed).unwrap().command, "srv");
    }

    #[test]
    fn what_cannot_be_taken_over_says_why_and_shows_no_value() {
        let cases = [
            (json!({"url": "https://canary"}), "by URL"),
            (
                json!({"type": "http", "serverUrl": "https://canary"}),
                "by URL",
            ),
            (json!({"command": "x", "disabled": true}), "switched off"),
            (json!({"args": ["canary"]}), "no command"),
            (json!({"command": "x", "args": "canary"}), "not a list"),
            (json!({"command": "x", "env": {"K": ["canary"]}}), "env K"),
            (
                json!({"command": "x", "env": {"K": "${input:key}"}}),
                "${input:key}",
            ),
            (
                json!({"command": "x", "args": ["${workspaceFolder}"]}),
                "workspaceFolder",
            ),
            (json!({"command": "x", "args": ["canary${A"]}), "not closed"),
            (json!("canary"), "not an object"),
        ];
        for (entry, expected) in cases {
            let why = parse(&entry).expect_err(expected);
            assert!(why.contains(expected) && !why.contains("canary"), "{why}");
        }
    }
}
