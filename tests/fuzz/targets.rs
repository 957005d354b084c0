//! What is fuzzed, one file a target: a function from bytes to nothing that panics where a promise is broken.

use super::reference;

pub(crate) mod config;
pub(crate) mod envelope;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod rewrite;
pub(crate) mod sse;

/// A name, and what is done with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const ALL: [Target; 6] = [
    ("config", config::run),
    ("envelope", envelope::run),
    ("http", http::run),
    ("lines", lines::run),
    ("rewrite", rewrite::run),
    ("sse", sse::run),
];
