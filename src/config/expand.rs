//! `${VAR}` in strings: once, from left to right, never in what was put in.

use super::env::Env;
use super::fault::quoted;

/// A string with its variables put in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// The variables that were asked for, set or not.
    pub(super) variables: Vec<String>,
}

/// The reason that a string could not be expanded; shows nothing of the text around the reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// The string is written as it should be, and variables in it, all of which are told, are not set.
    Unset(String),
    /// A reference is not one.
    Malformed(String),
}

/// Puts variables into a string: `${VAR}`, `${VAR:-default}` (the default also stands for an empty
/// value, as in a shell), `${env:VAR}` as some clients write it, and `$$` for a `$`. Any other `$` is
/// kept. A default is literal text and ends at the first `}`.
///
/// A malformed reference is told before an unset variable.
pub(super) fn expand(input: &str, env: &Env) -> Result<Expanded, ExpandError> {
    let mut text = String::with_capacity(input.len());
    let mut variables = Vec::new();
    let mut unset: Vec<String> = Vec::new();
    let mut rest = input;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((reference, after)) = after.split_once('}') else {
                let text = "has a \"${\" without a \"}\", write \"$$\" for a \"$\"";
                return Err(ExpandError::Malformed(text.to_owned()));
            };
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            let name = name_of(name).map_err(ExpandError::Malformed)?;
            if let Some(value) = value_of(name, default, env)? {
                text.push_str(value);
            } else {
                let reason = why_unset(name);
                if !unset.contains(&reason) {
                    unset.push(reason);
                }
            }
            variables.push(name.to_owned());
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    if unset.is_empty() {
        Ok(Expanded { text, variables })
    } else {
        Err(ExpandError::Unset(unset.join("; ")))
    }
}

/// The name in a reference. What is no name is not shown: it may be a piece of a secret.
fn name_of(reference: &str) -> Result<&str, String> {
    let name = reference.strip_prefix("env:").unwrap_or(reference);
    let legal = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if legal && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        Ok(name)
    } else if reference.starts_with("input:") {
        Err("has a \"${input:…}\", which only an editor can ask for, use a variable".to_owned())
    } else {
        Err(
            "has a \"${…}\" that is no variable name, write \"${NAME}\", \"${NAME:-default}\", or \"$$\" for a \"$\""
                .to_owned(),
        )
    }
}

/// The value of a reference; `None` for a variable that is not set.
fn value_of<'v>(
    name: &str,
    default: Option<&'v str>,
    env: &'v Env,
) -> Result<Option<&'v str>, ExpandError> {
    let value = match env.var(name) {
        Some(value) => Some(value.to_str().ok_or_else(|| {
            ExpandError::Malformed(format!("the variable {} is not UTF-8", quoted(name)))
        })?),
        None => None,
    };
    Ok(match (value, default) {
        (None | Some(""), Some(default)) => Some(default),
        (value, _) => value,
    })
}

fn why_unset(name: &str) -> String {
    match likely_name(name) {
        Some(name) => {
            format!("the variable {name} is not set, and \"${{{name}}}\" has no default")
        }
        None => "has a \"${…}\" whose variable is not set, and no default in it, write \"$$\" for a \"$\""
            .to_owned(),
    }
}

/// A name of a variable that may be shown although there is none of that name: anything else may be a secret, or a
/// piece of one, in the wrong place.
pub(super) fn likely_name(text: &str) -> Option<&str> {
    let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (text.len() <= 64 && text.bytes().all(usual)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &str) -> Result<String, ExpandError> {
        let variables = [("A", "1"), ("EMPTY", ""), ("NESTED", "${A}$$")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        expand(input, &Env::new(variables, None, 0)).map(|expanded| expanded.text)
    }

    /// H112: what a variable holds is not expanded again.
    #[test]
    fn variables_are_put_in_once() {
        for (input, output) in [
            ("x${A}y${A}", "x1y1"),
            ("${env:A}", "1"),
            ("${NONE:-d}${A:-d}${EMPTY:-d}", "d1d"),
            ("${NONE:-}${EMPTY}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$$ $${A} $A 100$ $", "$ ${A} $A 100$ $"),
            ("${NESTED}", "${A}$$"),
        ] {
            assert_eq!(expanded(input).as_deref(), Ok(output), "{input}");
        }
    }

    #[test]
    fn every_variable_that_is_not_set_is_told_once() {
        let error = expanded("${NONE}:${A}:${OTHER}:${NONE}").unwrap_err();
        let expected = "the variable NONE is not set, and \"${NONE}\" has no default; the variable OTHER is not set, and \
                        \"${OTHER}\" has no default";
        assert_eq!(error, ExpandError::Unset(expected.to_owned()));
    }

    /// H112
    #[test]
    fn a_bad_reference_is_named_without_the_text_around_it() {
        for (input, reason) in [
            ("canary${NONE}", "the variable NONE is not set"),
            ("x${canary}", "whose variable is not set"),
            ("canary${A", "without a \"}\""),
            ("canary${}", "no variable name"),
            ("canary${p4$$canary}", "no variable name"),
            ("canary${1A}", "no variable name"),
            ("canary${${A}}", "no variable name"),
            ("canary${input:token}", "only an editor"),
        ] {
            let error = expanded(input).expect_err(input);
            let (ExpandError::Unset(text) | ExpandError::Malformed(text)) = &error;
            assert!(text.contains(reason), "{input}: {text}");
            assert!(!text.contains("canary"), "{input}: {text}");
            let is_unset = matches!(error, ExpandError::Unset(_));
            assert_eq!(is_unset, reason.contains("not set"), "{input}");
        }
    }
}
