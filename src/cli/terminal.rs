//! Words for a person at a terminal. Colours vanish by themselves where there is no terminal.

use std::io::{self, IsTerminal as _, Write as _};

use clap::builder::styling::{AnsiColor, Style};

/// For what went well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// For what deserves a look.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
/// For what failed.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For headings.
pub(super) const HEAD: Style = Style::new().bold();
/// For what matters less.
pub(super) const FAINT: Style = Style::new().dimmed();

/// Says on stderr that something went wrong.
pub(super) fn complain(text: &str) {
    // What cannot be printed has no other place to be told.
    let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {text}");
}

/// Says on stderr what is going on, for what takes its time.
pub(super) fn remark(text: &str) {
    let _ = writeln!(anstream::stderr(), "{FAINT}{text}{FAINT:#}");
}

/// Asks on stderr and reads the answer from stdin. `None` where no person can be asked.
pub(super) fn confirm(question: &str) -> io::Result<Option<bool>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut stderr = anstream::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")))
}

/// A foreign text on one line, with nothing in it that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        // Overrides of the writing direction can make a command look like another one.
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || hidden {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
        safe
    })
}

/// Rows as aligned columns, two spaces apart; the last column is not padded.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0))
        .map(width)
        .collect();
    rows.iter()
        .map(|row| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("a\u{202e}b ü"), "a\\u{202e}b ü");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "b".to_owned()],
            vec!["ccc".to_owned(), "d".to_owned()],
        ];
        assert_eq!(columns(&rows), ["a    b", "ccc  d"]);
    }
}
