//! The keys of the seal, as a file of the state directory: one of 64 hex digits a line, the first one seals and opens, the
//! second one opens.

use zeroize::Zeroizing;

use crate::state_dir::StateDir;

/// The file of the keys.
pub(super) const FILE: &str = "seal-keys";

/// 256 random bits.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// The current key, and the one before it. Fails only where a key is needed and the system has no randomness.
pub(super) fn load(state: &StateDir) -> Result<(Key, Option<Key>), getrandom::Error> {
    let mut fresh = Key::default();
    getrandom::fill(&mut *fresh)?;
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(*fresh))));
    // Of several gateways that start with an empty directory, one makes the key.
    let existing = match state.create(FILE, text.as_bytes()) {
        Ok(None) => return Ok((fresh, None)),
        Ok(Some(existing)) => Zeroizing::new(existing),
        Err(error) => {
            tracing::warn!(
                %error,
                "session ids end with this process, because their key cannot be kept: {error}"
            );
            return Ok((fresh, None));
        }
    };
    Ok(parse(&existing).unwrap_or_else(|| {
        tracing::error!(
            file = FILE,
            "session ids end with this process: {FILE} in the state directory is not one or two lines of 64 hex digits; delete it for a new key"
        );
        (fresh, None)
    }))
}

/// Reads the file; `None` where a line is not a key.
fn parse(text: &[u8]) -> Option<(Key, Option<Key>)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut keys = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut next = || -> Option<Option<Key>> {
        let Some(line) = keys.next() else {
            return Some(None);
        };
        let mut key = Key::default();
        hex::decode_to_slice(line, &mut *key).ok()?;
        Some(Some(key))
    };
    let (current, previous) = (next()??, next()?);
    Some((current, previous))
}
