//! `requestState`: what a modern call must remember between its rounds, held by the client under a seal.
//!
//! The state is base64 of the sealed bytes, a dot, and the seal in hex. The key is made at start and
//! never leaves the process, so a state that was changed, or that another process made, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The key of this process.
pub(crate) struct Seal {
    key: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Seal")
    }
}

impl Seal {
    /// A seal with a fresh key.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key })
    }

    /// Seals the answers that a call of this name was given so far.
    pub(crate) fn close(&self, name: &str, answers: &Map<String, Value>) -> String {
        let payload = json!({"name": name, "answers": answers}).to_string();
        let sealed = URL_SAFE_NO_PAD.encode(&payload);
        format!("{sealed}.{}", self.mark(&sealed))
    }

    /// Gives back the answers; `None` for a state that this seal did not close for this name.
    pub(crate) fn open(&self, name: &str, state: &str) -> Option<Map<String, Value>> {
        let (sealed, mark) = state.split_once('.')?;
        if mark != self.mark(sealed) {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        let same = payload.get("name").and_then(Value::as_str) == Some(name);
        let answers = payload.get("answers").and_then(Value::as_object);
        answers.filter(|_| same).cloned()
    }

    /// Hashed twice with the key in front, so that nothing can be appended.
    fn mark(&self, sealed: &str) -> String {
        let inner = Sha256::new().chain_update(self.key).chain_update(sealed);
        let outer = Sha256::new()
            .chain_update(self.key)
            .chain_update(inner.finalize());
        hex::encode(outer.finalize())
    }
}
