//! Which test stands for which row of the fault matrix and the hostile matrix (`tests/matrix`).
//!
//! A test names the rows that it proves in the doc comment above it. Every row needs a test, or a reason why
//! it has none; the table of both is written into the repository, where a reader finds it.

mod tests_of;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::files::{self, File};
use crate::{assert_tidy, files::root};

const ROWS: &str = "tests/matrix/rows.tsv";
const TABLE: &str = "tests/matrix/table.md";

/// A row of a matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    id: String,
    event: String,
    /// Why no test stands for it.
    reason: Option<String>,
}

/// The tests of each row that some test names.
type Proofs = BTreeMap<String, BTreeSet<String>>;

/// Reads the rows; lines that start with `#` are comments.
fn rows(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut cells = line.split('\t').map(str::to_owned);
            match (cells.next(), cells.next(), cells.next(), cells.next()) {
                (Some(id), Some(event), reason, None) if tests_of::is_row(&id) => {
                    Ok(Row { id, event, reason })
                }
                _ => Err(format!(
                    "{line:?}, expected a row, what happens, and at most one reason, split by tabs"
                )),
            }
        })
        .collect()
}

/// The proofs that the files of the repository hold.
fn proofs(files: &[File]) -> Result<Proofs, String> {
    let mut proofs = Proofs::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let found = tests_of::tests_of(&file.text);
        for test in found.map_err(|fault| format!("{}: {fault}", file.name()))? {
            for row in test.rows {
                let name = format!("`{}` {}", file.name(), test.name);
                proofs.entry(row).or_default().insert(name);
            }
        }
    }
    Ok(proofs)
}

/// What is wrong with the rows and their proofs.
fn complaints(rows: &[Row], proofs: &Proofs) -> Vec<String> {
    let mut found = Vec::new();
    for row in rows {
        match (proofs.get(&row.id), &row.reason) {
            (None, None) => found.push(format!(
                "{}: no test and no reason why not ({})",
                row.id, row.event
            )),
            (Some(tests), Some(_)) => found.push(format!(
                "{}: a reason why it has no test, and tests: {tests:?}",
                row.id
            )),
            _ => {}
        }
    }
    for (id, tests) in proofs {
        if !rows.iter().any(|row| row.id == *id) {
            found.push(format!("{id}: no such row, but tests name it: {tests:?}"));
        }
    }
    let mut seen = BTreeSet::new();
    let twice = rows.iter().filter(|row| !seen.insert(&row.id));
    found.extend(twice.map(|row| format!("{}: twice in {ROWS}", row.id)));
    found
}

/// The table, as Markdown.
fn table(rows: &[Row], proofs: &Proofs) -> String {
    let mut text = "# Which test stands for which row\n\n\
        Written by `cargo test --test tidy matrix::write -- --ignored` from `rows.tsv` and the doc comments of\n\
        the tests; the test `matrix` fails when it is out of date.\n\n\
        | row | what happens | tests, or why none |\n| --- | --- | --- |\n"
        .to_owned();
    for row in rows {
        let proven = proofs.get(&row.id).map(|tests| {
            let tests: Vec<&str> = tests.iter().map(String::as_str).collect();
            tests.join("<br>")
        });
        let last = proven.or_else(|| row.reason.as_ref().map(|reason| format!("none: {reason}")));
        let event = row.event.replace('|', "\\|");
        let last = last.unwrap_or_default();
        let _ = writeln!(text, "| {} | {event} | {last} |", row.id);
    }
    text
}

fn read_rows() -> Vec<Row> {
    rows(&std::fs::read_to_string(root().join(ROWS)).unwrap()).unwrap()
}

#[test]
fn every_row_has_a_test_or_a_reason() {
    let proofs = proofs(&files::all()).unwrap();
    assert_tidy(&complaints(&read_rows(), &proofs));
}

#[test]
fn the_table_is_up_to_date() {
    let expected = table(&read_rows(), &proofs(&files::all()).unwrap());
    let found = std::fs::read_to_string(root().join(TABLE)).unwrap_or_default();
    assert!(
        found == expected,
        "{TABLE} is out of date; write it with `cargo test --test tidy matrix::write -- --ignored`"
    );
}

#[test]
#[ignore = "writes the table into the repository"]
fn write_the_table() {
    let table = table(&read_rows(), &proofs(&files::all()).unwrap());
    std::fs::write(root().join(TABLE), table).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven_by(source: &str) -> Proofs {
        proofs(&[File::new("tests/a.rs", source)]).unwrap()
    }

    const ROWS: &str = "# comment\nF01\tan end\nF02\tanother\tnever happens\n";

    #[test]
    fn a_row_with_a_test_and_a_row_with_a_reason_are_fine() {
        let proofs = proven_by("/// F01: it ends.\n#[test]\nfn it_ends() {}");
        let rows = rows(ROWS).unwrap();
        assert_eq!(complaints(&rows, &proofs), Vec::<String>::new());
        let table = table(&rows, &proofs);
        assert!(
            table.contains("| F01 | an end | `tests/a.rs` it_ends |\n"),
            "{table}"
        );
        assert!(
            table.contains("| F02 | another | none: never happens |\n"),
            "{table}"
        );
    }

    #[test]
    fn missing_superfluous_unknown_and_doubled_rows_are_told() {
        let proofs = proven_by("/// F02, F03.\n#[test]\nfn both() {}");
        let rows = rows(&format!("{ROWS}F02\tanother\n")).unwrap();
        let told = complaints(&rows, &proofs).join("\n");
        for expected in [
            "F01: no test and no reason",
            "F02: a reason why it has no test, and tests",
            "F03: no such row",
            "F02: twice",
        ] {
            assert!(told.contains(expected), "{expected} in {told}");
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_refused() {
        for line in ["F1\tshort", "F01", "F01\ta\tb\tc", "X01\tother"] {
            assert!(rows(line).is_err(), "{line}");
        }
    }
}
