//! One event as one line, in JSON or in text, with every control character escaped.

use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

use super::Format;
use super::redact::without_url_secrets;
use crate::types::wall;

/// The longest text of one field, in bytes; more is cut off, so that one line cannot fill the queue.
const MAX_VALUE: usize = 8 * 1024;

/// Fields of an event or a span, in the order they were recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(&'static str, Value)>);

impl Fields {
    /// Cuts every URL down to what may be shown of it.
    pub(super) fn redact_urls(&mut self) {
        for (_, value) in &mut self.0 {
            if let Value::String(text) = value {
                *text = without_url_secrets(text);
            }
        }
    }

    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    fn set_text(&mut self, field: &Field, text: &str) {
        let kept = text.get(..text.floor_char_boundary(MAX_VALUE));
        let value = match kept {
            Some(kept) if kept.len() < text.len() => format!("{kept}…"),
            _ => text.to_owned(),
        };
        self.set(field, Value::String(value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set_text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set_text(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set_text(field, &format!("{value:?}"));
    }
}

/// What one line is made of.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) metadata: &'static Metadata<'static>,
    pub(super) event: Fields,
    /// The fields of the spans around the event, outermost first.
    pub(super) spans: Vec<Fields>,
    /// Trace id and span id, where the event is in an exported span.
    pub(super) trace: Option<&'a (String, String)>,
}

impl Line<'_> {
    /// The line, with its newline.
    pub(super) fn render(self, format: Format, colour: bool) -> String {
        match format {
            Format::Json => self.json(),
            Format::Text | Format::Auto => self.text(colour),
        }
    }

    fn json(self) -> String {
        let mut object = Map::new();
        object.insert("time".to_owned(), wall::rfc3339(wall::now()).into());
        object.insert(
            "level".to_owned(),
            level_word(*self.metadata.level()).into(),
        );
        object.insert("target".to_owned(), self.metadata.target().into());
        let around = self.spans.into_iter().flat_map(|fields| fields.0);
        // The innermost value of a name wins.
        for (name, value) in around.chain(self.event.0) {
            object.insert(name.to_owned(), value);
        }
        if let Some((trace_id, span_id)) = self.trace {
            object.insert("trace_id".to_owned(), trace_id.as_str().into());
            object.insert("span_id".to_owned(), span_id.as_str().into());
        }
        let json = Value::Object(object).to_string();
        let mut line = String::with_capacity(json.len() + 1);
        // serde_json escapes the controls below 0x20; the rest can stand in strings only.
        for c in json.chars() {
            if is_unsafe(c) {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            } else {
                line.push(c);
            }
        }
        line.push('\n');
        line
    }

    fn text(self, colour: bool) -> String {
        let level = *self.metadata.level();
        let mut line = wall::rfc3339(wall::now());
        let (before, after) = if colour { colour_of(level) } else { ("", "") };
        let word = level.as_str();
        let _ = write!(
            line,
            " {before}{word:>5}{after} {}: ",
            self.metadata.target()
        );
        for (_, value) in self.event.0.iter().filter(|(name, _)| *name == "message") {
            push_bare(&mut line, value);
        }
        let around = self.spans.into_iter().flat_map(|fields| fields.0);
        for (name, value) in self.event.0.into_iter().chain(around) {
            if name != "message" {
                let _ = write!(line, " {name}=");
                push_value(&mut line, &value);
            }
        }
        if let Some((trace_id, _)) = self.trace {
            let _ = write!(line, " trace_id={trace_id}");
        }
        line.push('\n');
        line
    }
}

/// The line that says how many lines are missing.
pub(super) fn lines_dropped(count: u64, format: Format) -> String {
    let time = wall::rfc3339(wall::now());
    let message = "log lines were dropped, stderr did not take them";
    match format {
        Format::Json => format!(
            "{{\"time\":\"{time}\",\"level\":\"warn\",\"message\":\"{message}\",\"count\":{count}}}\n"
        ),
        Format::Text | Format::Auto => format!("{time}  WARN {message} count={count}\n"),
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn colour_of(level: Level) -> (&'static str, &'static str) {
    let before = match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    };
    (before, "\u{1b}[0m")
}

/// A value that stands between blanks: quoted if it could be taken for more than one.
fn push_value(line: &mut String, value: &Value) {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=' | '\\');
    match value {
        Value::String(text) if text.is_empty() || !text.chars().all(plain) => {
            line.push('"');
            for part in text.split_inclusive(['"', '\\']) {
                let (rest, quote) = match part.strip_suffix(['"', '\\']) {
                    Some(rest) => (rest, part.get(rest.len()..)),
                    None => (part, None),
                };
                push_escaped(line, rest);
                if let Some(quote) = quote {
                    line.push('\\');
                    line.push_str(quote);
                }
            }
            line.push('"');
        }
        value => push_bare(line, value),
    }
}

fn push_bare(line: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_escaped(line, text),
        value => line.push_str(&value.to_string()),
    }
}

fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() || is_unsafe(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Whether a terminal or a viewer may act on a character instead of showing it: DEL, the C1 controls,
/// line and paragraph separators, and the marks that reverse the direction of text.
fn is_unsafe(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value_of(text: &str) -> String {
        let mut line = String::new();
        push_value(&mut line, &Value::String(text.to_owned()));
        line
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        assert_eq!(value_of("plain/1"), "plain/1");
        assert_eq!(value_of(""), "\"\"");
        assert_eq!(value_of("two words"), "\"two words\"");
        assert_eq!(value_of("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert_eq!(value_of("a\nb\u{1b}]0;x"), "\"a\\nb\\u{1b}]0;x\"");
        assert_eq!(value_of("a\u{9b}2J"), "a\\u{9b}2J");
    }

    proptest! {
        #[test]
        fn no_text_brings_a_control_character_into_a_line(text in any::<String>()) {
            let mut line = value_of(&text);
            push_bare(&mut line, &Value::String(text));
            prop_assert!(!line.chars().any(|c| c.is_control() || is_unsafe(c)), "{line:?}");
        }
    }
}
