//! The faults of one config file, all of them, each with the place that it is about.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in the file something stands: the path of keys and the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Such as `servers[2].restart_policy`; empty for the file as a whole.
    pub(super) path: String,
    /// Counted from 1; `None` for what the file lacks at its top.
    pub(super) line: Option<usize>,
}

impl Place {
    /// The place of a key of the object that stands here.
    pub(super) fn key(&self, key: &str, line: Option<usize>) -> Self {
        let path = match (self.path.as_str(), is_plain(key)) {
            ("", true) => key.to_owned(),
            (parent, true) => format!("{parent}.{key}"),
            (parent, false) => format!("{parent}[{}]", quoted(key)),
        };
        Self { path, line }
    }

    /// The place of an element of the list that stands here.
    pub(super) fn element(&self, index: usize, line: Option<usize>) -> Self {
        let path = format!("{}[{index}]", self.path);
        Self { path, line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line) {
            (path, None) => f.write_str(path),
            ("", Some(line)) => write!(f, "line {line}"),
            (path, Some(line)) => write!(f, "{path} (line {line})"),
        }
    }
}

/// Whether a key can stand in a path without quotes.
fn is_plain(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    !key.is_empty() && key.len() <= 64 && key.chars().all(plain)
}

/// A text from the file as it may stand in a fault: quoted, escaped, not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 64;
    if text.chars().count() > LONGEST {
        let start: String = text.chars().take(LONGEST).collect();
        format!("{:?}", format!("{start}…"))
    } else {
        format!("{text:?}")
    }
}

/// One thing that is wrong with a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    place: Place,
    text: String,
    /// A variable is not set in the environment of this process; the file itself may be in order.
    unset: bool,
}

impl FileFault {
    pub(super) fn new(place: &Place, text: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            text: text.into(),
            unset: false,
        }
    }

    /// The fault of a text with variables that are not set.
    pub(super) fn unset(place: &Place, text: impl Into<String>) -> Self {
        Self {
            unset: true,
            ..Self::new(place, text)
        }
    }

    /// The path of keys, such as `servers[2].restart_policy`; empty for the file as a whole.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// The line, counted from 1, where there is one.
    pub fn line(&self) -> Option<usize> {
        self.place.line
    }

    /// What is wrong and what was expected; never a secret's value.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place == Place::default() {
            f.write_str(&self.text)
        } else {
            write!(f, "{}: {}", self.place, self.text)
        }
    }
}

/// In the order of the lines; what has none comes last.
pub(super) fn in_order(mut list: Vec<FileFault>) -> Vec<FileFault> {
    list.sort_by_key(|fault| fault.line().unwrap_or(usize::MAX));
    list
}

/// Everything that is wrong with a config file, in the order of its lines.
///
/// Prints one line a fault, each beginning with the file's name; no line holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    path: PathBuf,
    list: Vec<FileFault>,
    warnings: Vec<FileFault>,
    missing: bool,
}

impl Faults {
    /// The faults of a file.
    pub(super) fn new(path: &Path, list: Vec<FileFault>) -> Self {
        Self {
            path: path.to_owned(),
            list: in_order(list),
            warnings: Vec::new(),
            missing: false,
        }
    }

    /// The same with the warnings that the file has beside them.
    pub(super) fn warning(self, warnings: Vec<FileFault>) -> Self {
        Self {
            warnings: in_order(warnings),
            ..self
        }
    }

    /// The one fault of a file that is not there.
    pub(super) fn missing(path: &Path) -> Self {
        let fault = FileFault::new(&Place::default(), "there is no such file");
        Self {
            missing: true,
            ..Self::new(path, vec![fault])
        }
    }

    /// The config file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file does not exist, so that the way out is to write a first one.
    pub fn is_missing(&self) -> bool {
        self.missing
    }

    /// Whether nothing is wrong but that variables are not set in the environment of this process. Another one, such as
    /// that of the daemon, may have them.
    pub fn are_unset_variables(&self) -> bool {
        self.list.iter().all(|fault| fault.unset)
    }

    /// The faults; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &FileFault> {
        self.list.iter()
    }

    /// Warnings that the file has beside its faults.
    pub fn warnings(&self) -> impl Iterator<Item = &FileFault> {
        self.warnings.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {fault}", self.path.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_that_can_be_searched_for() {
        let root = Place::default();
        let entry = root.key("mcpServers", Some(1)).key("my server", Some(2));
        assert_eq!(
            entry.key("args", None).element(0, Some(3)).to_string(),
            "mcpServers[\"my server\"].args[0] (line 3)"
        );
        assert_eq!(root.key("tokens", None).to_string(), "tokens");
    }

    #[test]
    fn a_quoted_text_has_no_control_characters_and_an_end() {
        assert_eq!(quoted("a\n\u{1b}[31m"), r#""a\n\u{1b}[31m""#);
        assert_eq!(quoted(&"x".repeat(100_000)).chars().count(), 64 + 3);
    }
}
