//! The edge: sockets, who may enter, and which endpoint a request is for.

mod config;

pub use config::{AdmissionConfig, Config, LimitsConfig, TokenEntry, canonical};
