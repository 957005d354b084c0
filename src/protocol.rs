//! Bytes and revisions: where things stand in a message, how lines are cut, how ids are replaced.
//!
//! Nothing here does IO, and nothing builds a tree of a message: a scan validates the JSON and notes
//! where the few members stand that a gateway must see; everything else crosses as it was written.

pub mod deviation;
pub mod envelope;
pub mod era;
mod json;
pub mod level;
pub mod line;
pub mod members;
pub mod message;
mod misframed;
pub mod request;
mod salvage;
pub mod spare;
pub mod splice;
pub mod trace_context;

pub use deviation::Deviation;
pub use envelope::{Envelope, Meta, Params, ScanError, Span, scan};
pub use era::Era;
pub use level::Level;
pub use line::{Line, LineBuffer};
pub use message::{ChildMessage, ClientMessage};
pub use misframed::Misframed;
pub use salvage::Salvaged;

#[cfg(test)]
mod tests;
