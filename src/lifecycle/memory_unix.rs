//! Who may look into the memory of this process: on macOS the hardened runtime of a signed program decides.

/// Nothing that a program can do for itself.
pub(super) fn close() {}
