//! Promises of the bridge: what it changes is what it says, and the rest crosses byte for byte.

mod eras;
mod headers;
mod rounds;

use crate::protocol::splice::{self, Patch};

/// The text with the patches made; valid JSON, or the test fails.
fn patched(text: &str, patches: &[Patch]) -> String {
    let out = splice::patched(text.as_bytes(), patches);
    let out = String::from_utf8(out).expect("UTF-8");
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&out) {
        panic!("{error}: {out}");
    }
    out
}
