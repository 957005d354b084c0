//! The house rules that no lint knows: which floor may use which, how long a file may be, what may lie where.
//!
//! Each rule is a function from text to complaints, proven on small bad inputs; one test of each rule then
//! holds it against the repository.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod files;
mod floors;
mod matrix;
mod paths;
mod repository;
mod rust_files;

/// Fails with every complaint at once.
fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
