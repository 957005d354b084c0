//! Promises that only the whole keeps: real sockets, real processes, the real protocols.

// `cfg(test)` is always on here; the lints that let tests panic look for it.
#[cfg(test)]
mod collector;
#[cfg(test)]
mod telemetry;
