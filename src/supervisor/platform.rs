//! The choice of the process code: that of Linux, or the portable code that macOS runs.
//!
//! Linux has both. A debug build takes the portable code where [`PLAIN_UNIX`] is set, so that one build runs the
//! process tests against either. A release build ignores the variable: nobody loses the better code by it.

/// Selects the portable code in a debug build on Linux, whatever its value.
pub(super) const PLAIN_UNIX: &str = "HMG_PLAIN_UNIX";

/// Whether every descendant of a server can be found, also one that left its process group
/// (`PR_SET_CHILD_SUBREAPER`(2const), `/proc`).
pub(super) fn finds_descendants() -> bool {
    cfg!(target_os = "linux") && !prefers_plain_unix()
}

#[cfg(debug_assertions)]
fn prefers_plain_unix() -> bool {
    use std::sync::OnceLock;

    static PREFERRED: OnceLock<bool> = OnceLock::new();
    *PREFERRED.get_or_init(|| std::env::var_os(PLAIN_UNIX).is_some())
}

#[cfg(not(debug_assertions))]
const fn prefers_plain_unix() -> bool {
    false
}

/// The variable for a guard that is to take the code that this process takes.
pub(super) fn selection() -> Option<(&'static str, &'static str)> {
    prefers_plain_unix().then_some((PLAIN_UNIX, "1"))
}
