//! The kinds of value in the file: texts, secrets, numbers and words of a fixed choice.

mod numbers;

use std::borrow::Cow;

use jsonc_parser::ast::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::expand::{ExpandError, Expanded, expand};
use super::fault::{Place, quoted};
use super::reader::{Node, Read, Scope};
use crate::types::Secret;
pub(super) use numbers::{Count, Memory, Millis, MillisOrDefault, Port};

/// A string with its variables put in.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) value: String,
    pub(super) place: Place,
    /// Whether a variable had a part in it, so that it may be a secret.
    from_variable: bool,
}

impl Text {
    /// The text for a fault; what came out of a variable is not shown.
    pub(super) fn shown(&self) -> String {
        if self.from_variable {
            "a value that came from a variable".to_owned()
        } else {
            quoted(&self.value)
        }
    }
}

impl From<&str> for Text {
    /// A default.
    fn from(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            place: Place::default(),
            from_variable: false,
        }
    }
}

impl Read for Text {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        let Expanded { text, variables } = string(node, scope)?;
        Some(Self {
            value: text,
            place: node.place.clone(),
            from_variable: !variables.is_empty(),
        })
    }
}

/// A string of a server's launch. A variable in it that is not set is a fault of that server alone.
#[derive(Debug)]
pub(super) struct LaunchText {
    /// As it stands in the file where a variable is not set.
    pub(super) text: Text,
    /// The reason that no server can be started by it.
    pub(super) unset: Option<String>,
}

impl From<Text> for LaunchText {
    fn from(text: Text) -> Self {
        Self { text, unset: None }
    }
}

impl From<&str> for LaunchText {
    /// A default.
    fn from(value: &str) -> Self {
        Text::from(value).into()
    }
}

impl Read for LaunchText {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        if let Value::StringLit(literal) = node.value
            && let Err(ExpandError::Unset(reason)) = expand(&literal.value, scope.env)
        {
            let text = Text {
                value: literal.value.to_string(),
                place: node.place.clone(),
                from_variable: true,
            };
            let unset = Some(reason);
            return Some(Self { text, unset });
        }
        Text::read(node, scope).map(Self::from)
    }
}

/// A string that may be written as a number or a boolean, as people do for arguments and variables.
#[derive(Debug)]
pub(super) struct Scalar<T>(pub(super) T);

impl<T: Read + From<Text>> Read for Scalar<T> {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        let value = match node.value {
            Value::NumberLit(literal) => literal.value.to_owned(),
            Value::BooleanLit(literal) => literal.value.to_string(),
            Value::StringLit(_) => return T::read(node, scope).map(Self),
            Value::Object(_) | Value::Array(_) | Value::NullKeyword(_) => {
                return node.mismatch("a string, a number, or true or false", scope);
            }
        };
        let text = Text {
            value,
            place: node.place.clone(),
            from_variable: false,
        };
        Some(Self(text.into()))
    }
}

impl<T> JsonSchema for Scalar<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A string that is a secret, and the variables it was taken from.
#[derive(Debug)]
pub(super) struct SecretText {
    pub(super) value: Secret,
    /// Empty when the secret stands in the file itself.
    pub(super) variables: Vec<String>,
}

impl Read for SecretText {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        let Expanded { text, variables } = string(node, scope)?;
        let value = Secret::new(text);
        Some(Self { value, variables })
    }
}

fn string(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Expanded> {
    let Value::StringLit(literal) = node.value else {
        return node.mismatch("a string", scope);
    };
    match expand(&literal.value, scope.env) {
        Ok(expanded) if expanded.text.contains('\0') => scope.fault(
            &node.place,
            "has a NUL character, which no program can take",
        ),
        Ok(expanded) => Some(expanded),
        Err(ExpandError::Unset(reason)) => scope.unset_fault(&node.place, reason),
        Err(ExpandError::Malformed(reason)) => scope.fault(&node.place, reason),
    }
}

/// A whole number in a range, or a string that takes it from a variable; a fault names the range and what 0 does not
/// mean.
fn whole(node: &Node<'_>, least: u64, most: u64, scope: &mut Scope<'_>) -> Option<u64> {
    let from_variable;
    let digits = match node.value {
        Value::NumberLit(literal) => literal.value,
        Value::StringLit(literal) if literal.value.contains("${") => {
            from_variable = Text::read(node, scope)?;
            from_variable.value.trim()
        }
        Value::StringLit(_) => {
            let text =
                "expected a number, found a string: write it without quotes, or as \"${NAME}\"";
            return scope.fault(&node.place, text);
        }
        Value::BooleanLit(_) | Value::Object(_) | Value::Array(_) | Value::NullKeyword(_) => {
            return node.mismatch("a number", scope);
        }
    };
    let is_shown = matches!(node.value, Value::NumberLit(_));
    match digits.parse() {
        Ok(number) if (least..=most).contains(&number) => Some(number),
        Ok(0) => {
            let text = format!(
                "expected {least} to {most}, found 0: 0 never means \"unlimited\", leave the key out for the default"
            );
            scope.fault(&node.place, text)
        }
        Ok(_) | Err(_) => {
            let found: String = if is_shown {
                digits.chars().take(24).collect()
            } else {
                "what came from a variable".to_owned()
            };
            let text = format!("expected a whole number from {least} to {most}, found {found}");
            scope.fault(&node.place, text)
        }
    }
}

fn whole_schema(least: u64, most: u64) -> Schema {
    json_schema!({
        "type": ["integer", "string"],
        "minimum": least,
        "maximum": most,
        "pattern": "\\$\\{.+\\}",
    })
}

/// What is read over, whatever it is: a key that only some client understands.
#[derive(Debug)]
pub(super) struct Anything;

impl Read for Anything {
    fn read(_: &Node<'_>, _: &mut Scope<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// An enum whose variants are words in the file.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema)]
        pub(super) enum $name {
            $($(#[$variant_doc])* #[schemars(rename = $word)] $variant,)*
        }

        impl $crate::config::reader::Read for $name {
            fn read(
                node: &$crate::config::reader::Node<'_>,
                scope: &mut $crate::config::reader::Scope<'_>,
            ) -> Option<Self> {
                let text = $crate::config::values::Text::read(node, scope)?;
                match text.value.as_str() {
                    $($word => Some(Self::$variant),)*
                    _ => $crate::config::values::unknown_word(&text, &[$($word),*], scope),
                }
            }
        }

        impl From<&str> for $name {
            /// A default.
            fn from(word: &str) -> Self {
                let words = [$(($word, Self::$variant)),*];
                let [first, ..] = words;
                let named = words.into_iter().find(|(known, _)| *known == word);
                named.unwrap_or(first).1
            }
        }
    };
}
pub(super) use choice;

/// Notes a word that is not one of a choice.
pub(super) fn unknown_word<T>(text: &Text, words: &[&str], scope: &mut Scope<'_>) -> Option<T> {
    let (last, others) = words.split_last()?;
    let expected = match others {
        [] => (*last).to_owned(),
        others => format!("{} or {last}", others.join(", ")),
    };
    let found = text.shown();
    scope.fault(
        &text.place,
        format!("unknown value {found}, expected {expected}"),
    )
}

macro_rules! inline_schema {
    ($($name:ident => $schema:expr;)*) => {
        $(impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })*
    };
}

inline_schema! {
    Text => json_schema!({ "type": "string" });
    SecretText => json_schema!({ "type": "string" });
    LaunchText => json_schema!({ "type": "string" });
    Count => whole_schema(1, Count::MOST);
    Memory => whole_schema(1, Memory::MOST);
    Millis => whole_schema(1, Millis::MOST);
    MillisOrDefault => whole_schema(0, Millis::MOST);
    Port => whole_schema(0, u16::MAX.into());
    Anything => json_schema!({});
}
