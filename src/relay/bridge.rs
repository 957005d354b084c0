//! Between the eras: what a client and a child of different revisions make of each other's messages.
//!
//! Everything here is a pure function of bytes: it reads a message and says what to change in it, or why
//! not. Nothing waits, and nothing knows who is connected.

pub(super) mod errors;
pub(super) mod features;
pub(super) mod headers;
pub(super) mod legacy;
pub(super) mod modern;
pub(super) mod request_state;
pub(super) mod rounds;
pub(super) mod tool_headers;

#[cfg(test)]
mod tests;
