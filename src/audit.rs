//! One log line for each message that crossed: who, what, how it ended. Floor 1.
//!
//! The MCP security guidance asks proxies to log all use of stdio servers. A line holds names and sizes,
//! never a payload, a token or a resource's URI; the id is hashed, since clients may put anything in it.
//! The lines have the target [`TARGET`], so that `info,audit=debug` turns them on: a line for each call costs more than the call.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::Level;

use crate::instruments::Outcome;
use crate::spans::{Call, Target};
use crate::types::Principal;

/// The `tracing` target of audit lines.
pub const TARGET: &str = "audit";

/// What a line says besides the message itself.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who sent it; only the token's name is logged.
    pub principal: &'a Principal,
    /// The message.
    pub call: Call<'a>,
    /// How it ended.
    pub outcome: Outcome,
    /// From its arrival to its end.
    pub duration: Duration,
    /// Bytes of the message.
    pub bytes_in: usize,
    /// Bytes of the answer; 0 if there was none.
    pub bytes_out: usize,
}

/// Writes the line, for which nothing is gathered where the lines are off.
pub fn log<'a>(entry: impl FnOnce() -> Entry<'a>) {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let Entry {
        principal,
        call,
        outcome,
        duration,
        bytes_in,
        bytes_out,
    } = entry();
    let name = match call.target {
        Some(Target::Tool(name) | Target::Prompt(name)) => Some(name),
        Some(Target::Resource(_)) | None => None,
    };
    tracing::debug!(
        target: TARGET,
        token = &*principal.name,
        server_id = call.server.as_str(),
        method = call.method,
        name,
        id_hash = call.id.map(hash),
        outcome = outcome.error_label().unwrap_or("ok"),
        // To the microsecond: what is behind it is the noise of a binary fraction.
        duration_ms = (duration.as_secs_f64() * 1e6).round() / 1e3,
        bytes_in,
        bytes_out,
        "call"
    );
}

/// The first 8 bytes of the SHA-256 in hex: enough to find one line again.
fn hash(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    hex::encode(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_as_a_prefix_of_its_hash() {
        // SHA-256 of "abc", FIPS 180-2, appendix B.1.
        assert_eq!(hash("abc"), "ba7816bf8f01cfea");
    }
}
