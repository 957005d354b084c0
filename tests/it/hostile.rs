//! The hostile matrix: input that nobody honest sends (rows H001 to H122).
//!
//! Rows that are the subject of another module are tested there; `tests/matrix` says which.

mod callers;
mod children;
mod files;
mod framing;
mod messages;
mod paths;
mod sessions;
