//! Every target of the fuzzer with the inputs that are kept for it: those that once broke a promise, and one of
//! each kind that matters. `tests/fuzz/run` looks for more.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "in a test a panic is the report"
)]

mod reference;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// The corpus is for people too: as much as one reads.
const MOST_FILES: usize = 60;
const LONGEST: usize = 4 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz")
        .join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let (_, run) = targets::ALL.iter().find(|target| target.0 == name).unwrap();
    let inputs = files(&folder("corpus").join(name));
    assert!(
        (1..=MOST_FILES).contains(&inputs.len()),
        "{} inputs",
        inputs.len()
    );
    for input in inputs {
        let data = fs::read(&input).unwrap();
        assert!(data.len() <= LONGEST, "{}: too long", input.display());
        // Shown where the target panics.
        println!("{}", input.display());
        run(&data);
    }
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn envelope() {
    replay("envelope");
}

#[test]
fn http() {
    replay("http");
}

#[test]
fn lines() {
    replay("lines");
}

#[test]
fn rewrite() {
    replay("rewrite");
}

#[test]
fn sse() {
    replay("sse");
}

#[test]
fn every_target_has_a_file_a_corpus_and_a_test() {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let here = fs::read_to_string(folder("replay.rs")).unwrap();
    let names: Vec<_> = targets::ALL
        .iter()
        .map(|target| target.0.to_owned())
        .collect();
    for place in ["targets", "corpus", "dictionaries"] {
        let found: Vec<_> = files(&folder(place)).iter().map(stem).collect();
        assert_eq!(found, names, "{place}");
    }
    for name in names {
        assert!(here.contains(&format!("replay(\"{name}\")")), "{name}");
    }
}
