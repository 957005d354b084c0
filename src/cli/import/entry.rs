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

/// The form in which a client writes references to variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `${VAR}`, `${VAR:-default}` and `${env:VAR}`.
    #[default]
    Braces,
    /// `$VAR` too.
    Dollar,
}

/// An entry that can be taken over.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) launch: Launch,
    /// Settings of the client that the gateway does not take over, one sentence each.
    pub(super) losses: Vec<String>,
}

/// Keys of clients whose meaning is not taken over, and what follows from that.
const LOSSES: [(&str, &str); 5] = [
    (
        "envFile",
        "its envFile is not read: put the variables in it into \"env\"",
    ),
    (
        "disabledTools",
        "its disabledTools is not taken over: every tool is served",
    ),
    (
        "includeTools",
        "its includeTools is not taken over: every tool is served",
    ),
    (
        "excludeTools",
        "its excludeTools is not taken over: every tool is served",
    ),
    (
        "enabledTools",
        "its enabledTools is not taken over: every tool is served",
    ),
];

/// Reads an entry of a client; `project` is the folder that the client starts it in. The error says why it cannot be
/// taken over, without any value of it.
pub(super) fn parse(
    entry: &Value,
    dialect: Dialect,
    project: Option<&str>,
) -> Result<Parsed, String> {
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
    let lost = LOSSES.iter().filter(|(key, _)| entry.contains_key(*key));
    let losses = lost.map(|(_, text)| (*text).to_owned()).collect();
    // Zed has written {"command": {"path", "args", "env"}}.
    let entry = match entry.get("command") {
        Some(Value::Object(inner)) => inner,
        _ => entry,
    };
    let command = entry.get("command").or_else(|| entry.get("path"));
    let command = command
        .and_then(Value::as_str)
        .filter(|command| !command.trim().is_empty());
    let substitute = |text: &str| substitute(text, dialect);
    let launch = Launch {
        command: substitute(command.ok_or("it has no command")?)?,
        args: args(entry, substitute)?,
        env: env(entry, substitute)?,
        working_dir: match entry.get("cwd") {
            None | Some(Value::Null) => None,
            Some(Value::String(folder)) => Some(substitute(folder)?),
            Some(_) => return Err("\"cwd\" is not a text".to_owned()),
        },
    };
    let launch = in_project(launch, project)?;
    Ok(Parsed { launch, losses })
}

/// Resolves relative paths as the client does: the config that they go into lies in another folder.
fn in_project(launch: Launch, project: Option<&str>) -> Result<Launch, String> {
    let is_relative = |path: &str| !path.starts_with(['/', '~', '$']);
    let working_dir = match (launch.working_dir, project) {
        (Some(folder), Some(project)) if is_relative(&folder) => {
            let folder = folder.trim_start_matches("./");
            Some(format!("{project}/{folder}"))
        }
        (Some(folder), None) if is_relative(&folder) => {
            return Err(format!(
                "its cwd {folder:?} is relative to a folder that only that client knows"
            ));
        }
        (None, Some(project)) => Some(project.to_owned()),
        (folder, _) => folder,
    };
    let is_path = launch.command.contains('/') && is_relative(&launch.command);
    if is_path && working_dir.is_none() {
        return Err("its command is relative to a folder that only that client knows".to_owned());
    }
    Ok(Launch {
        working_dir,
        ..launch
    })
}

type Substituted = Result<String, String>;

fn args(
    entry: &Map<String, Value>,
    substitute: impl Fn(&str) -> Substituted,
) -> Result<Vec<String>, String> {
    match entry.get("args") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(args)) => args
            .iter()
            .map(|arg| substitute(&scalar(arg).ok_or("an argument is not a text")?))
            .collect(),
        Some(_) => Err("\"args\" is not a list".to_owned()),
    }
}

fn env(
    entry: &Map<String, Value>,
    substitute: impl Fn(&str) -> Substituted,
) -> Result<Env, String> {
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
/// is spelled without `env:`, and `$$` is written so that it stays two of them. Others (`${input:token}`,
/// `${workspaceFolder}`) have no meaning here.
fn substitute(text: &str, dialect: Dialect) -> Substituted {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or("a \"${\" is not closed")?;
            out.extend(["${", variable(inside)?, "}"]);
            rest = after;
        } else if let Some(after) = after.strip_prefix('$') {
            out.push_str("$$$$");
            rest = after;
        } else {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !legal(c)).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let is_variable = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
            if dialect == Dialect::Dollar && is_variable {
                out.extend(["${", name, "}"]);
            } else {
                out.extend(["$", name]);
            }
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The text between the braces of a reference, in our form.
fn variable(inside: &str) -> Result<&str, String> {
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
    Ok(variable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_clients_write_is_understood() {
        let entry = json!({"type": "stdio", "command": "npx", "args": ["-y", 3, true],
            "env": {"A": "${env:HOME}/x", "B": 1, "C": "${D:-e}"}, "cwd": "/w"});
        let launch = parse(&entry, Dialect::Braces, None).unwrap().launch;
        assert_eq!(launch.command, "npx");
        assert_eq!(launch.args, ["-y", "3", "true"]);
        assert_eq!(launch.env["A"], "${HOME}/x");
        assert_eq!(
            (launch.env["B"].as_str(), launch.env["C"].as_str()),
            ("1", "${D:-e}")
        );
        assert_eq!(launch.working_dir.as_deref(), Some("/w"));
        let zed = json!({"command": {"path": "srv", "args": ["a"]}});
        let zed = parse(&zed, Dialect::Braces, None).unwrap();
        assert_eq!(zed.launch.command, "srv");
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
            let why = parse(&entry, Dialect::Braces, None).expect_err(expected);
            assert!(why.contains(expected) && !why.contains("canary"), "{why}");
        }
    }

    /// RG02
    #[test]
    fn what_a_client_means_is_written_as_it_is_meant_here_or_said() {
        let entry = json!({"command": "./run", "cwd": "./sub", "envFile": ".env", "includeTools": ["a"],
            "args": ["$TOKEN/x", "a$$b", "$1", "100$"]});
        let parsed = parse(&entry, Dialect::Dollar, Some("/p")).unwrap();
        assert_eq!(parsed.launch.args, ["${TOKEN}/x", "a$$$$b", "$1", "100$"]);
        assert_eq!(parsed.launch.working_dir.as_deref(), Some("/p/sub"));
        assert_eq!(parsed.losses.len(), 2, "{parsed:?}");
        let parsed = parse(
            &json!({"command": "x", "args": ["$TOKEN"]}),
            Dialect::Braces,
            None,
        );
        assert_eq!(parsed.unwrap().launch.args, ["$TOKEN"]);
        for entry in [
            json!({"command": "x", "cwd": "sub"}),
            json!({"command": "./run"}),
        ] {
            let why = parse(&entry, Dialect::Braces, None).expect_err("relative");
            assert!(why.contains("relative to a folder"), "{why}");
        }
    }
}
