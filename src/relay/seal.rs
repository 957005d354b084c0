//! Sealed texts: what a client keeps for the gateway and can neither read nor change, such as the id of a session and
//! `requestState`.
//!
//! AES-256-GCM with a key of its own for every text: HKDF-SHA256 expands it from the gateway's key, the purpose and
//! random bytes that stand before the text. So there is no bound on how many texts one key may seal, and a text for one
//! purpose never opens for another. A text opens only for the binding (principal, server and so on) that it was sealed
//! for, which is authenticated and not contained.
//!
//! The keys are kept in the state directory: what was sealed before a restart opens after it.

mod keys;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::fault::{Fault, FaultKind};
use crate::state_dir::StateDir;
use keys::Key;

/// Length of the random bytes that a key is derived with.
const SALT: usize = 12;
/// Length of all random bytes: those of the key, and the nonce.
const RANDOM: usize = SALT + NONCE_LEN;

/// The use of a sealed text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The id of a session of the legacy era.
    SessionId,
    /// The state of a round of the modern era.
    RequestState,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::SessionId => b"host-mcp-gateway/1 session id",
            Self::RequestState => b"host-mcp-gateway/1 request state",
        }
    }
}

/// The reason why a text is not opened. It does not say which part of the binding failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// Not a text that a sealer makes.
    Unreadable,
    /// Changed, or sealed for another purpose, another binding or by another key.
    Foreign,
}

/// Seals and opens texts with the gateway's keys.
pub(super) struct Sealer {
    /// Seals, and opens.
    current: Prk,
    /// Opens what was sealed before the keys were rotated.
    previous: Option<Prk>,
}

impl Sealer {
    /// A sealer with the keys of a state directory, which gets a fresh one where it has none.
    pub(super) fn load(state: &StateDir) -> Result<Self, Fault> {
        let (current, previous) = keys::load(state).map_err(|_no_randomness| no_seal())?;
        Ok(Self {
            current: expanding(&current),
            previous: previous.as_ref().map(expanding),
        })
    }

    /// Seals a content, to be opened for the same purpose and binding only. Text in base64url.
    pub(super) fn seal(
        &self,
        purpose: Purpose,
        binding: &[&[u8]],
        content: &[u8],
    ) -> Result<String, Fault> {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).map_err(|_no_randomness| no_seal())?;
        let (key, nonce) = derive(&self.current, purpose, &random).ok_or_else(no_seal)?;
        let mut sealed = content.to_vec();
        let binding = Aad::from(joined(binding));
        key.seal_in_place_append_tag(nonce, binding, &mut sealed)
            .map_err(|_unspecified| no_seal())?;
        Ok(URL_SAFE_NO_PAD.encode([&random[..], &sealed].concat()))
    }

    /// The content that was sealed for this purpose and binding.
    pub(super) fn open(
        &self,
        purpose: Purpose,
        binding: &[&[u8]],
        text: &str,
    ) -> Result<Vec<u8>, OpenError> {
        let bytes = URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_not_base64| OpenError::Unreadable)?;
        let (random, sealed) = bytes
            .split_first_chunk::<RANDOM>()
            .filter(|(_, sealed)| sealed.len() >= AES_256_GCM.tag_len())
            .ok_or(OpenError::Unreadable)?;
        let binding = joined(binding);
        let keys = [Some(&self.current), self.previous.as_ref()];
        keys.into_iter()
            .flatten()
            .find_map(|key| {
                let (key, nonce) = derive(key, purpose, random)?;
                let mut content = sealed.to_vec();
                let opened = key.open_in_place(nonce, Aad::from(&binding), &mut content);
                let length = opened.ok()?.len();
                content.truncate(length);
                Some(content)
            })
            .ok_or(OpenError::Foreign)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

fn expanding(key: &Key) -> Prk {
    // A key of random bytes needs no extraction.
    Prk::new_less_safe(HKDF_SHA256, &**key)
}

/// The key and the nonce of one text.
fn derive(key: &Prk, purpose: Purpose, random: &[u8; RANDOM]) -> Option<(LessSafeKey, Nonce)> {
    let (salt, nonce) = random.split_first_chunk::<SALT>()?;
    let info = [purpose.label(), &salt[..]];
    let expanded = key.expand(&info, &AES_256_GCM).ok()?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    Some((LessSafeKey::new(UnboundKey::from(expanded)), nonce))
}

/// Each part after its length, so that no two bindings are the same bytes.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        joined.extend(length.to_be_bytes());
        joined.extend(*part);
    }
    joined
}

fn no_seal() -> Fault {
    let text = "nothing can be sealed: the system has no source of randomness";
    Fault::new(FaultKind::InternalError, text)
}

#[cfg(test)]
mod tests;
