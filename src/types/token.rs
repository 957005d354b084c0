//! The form of the bearer tokens that this program makes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Secret;

/// What every token of our own begins with, so that a secret scanner knows whose it is.
pub const TOKEN_PREFIX: &str = "hmg_";

/// 4 bytes of checksum: 6 characters.
const CHECKSUM_BYTES: usize = 4;
const CHECKSUM_CHARS: usize = 6;

/// A new token of 256 random bits from the system.
///
/// Fails only where the system has no random source.
pub fn fresh_token() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(token_of(&bytes))
}

/// These random bytes as a token: `hmg_`, the bytes and a checksum, both in base64url.
///
/// The checksum lets a scanner tell a token from a text that looks like one; it protects nothing.
pub fn token_of(random: &[u8; 32]) -> Secret {
    let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(random));
    let checksum = checksum(&body);
    Secret::new([TOKEN_PREFIX, &body, &checksum].concat())
}

/// Whether a text is a token of our own, by prefix, length and checksum.
pub fn is_own_token(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(TOKEN_PREFIX) else {
        return false;
    };
    let Some((body, sum)) = rest
        .len()
        .checked_sub(CHECKSUM_CHARS)
        .and_then(|at| rest.split_at_checked(at))
    else {
        return false;
    };
    let bytes = URL_SAFE_NO_PAD.decode(body).map(Zeroizing::new);
    bytes.is_ok_and(|bytes| bytes.len() == 32) && sum == checksum(body)
}

/// The first bytes of the SHA-256 of the body, in base64url.
fn checksum(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.get(..CHECKSUM_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_documented_form() {
        let token = token_of(&[0; 32]);
        let text = token.expose();
        assert_eq!(text.len(), 4 + 43 + 6);
        assert!(
            text.starts_with(&format!("hmg_{}", "A".repeat(43))),
            "{text}"
        );
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        assert!(text.chars().all(legal), "{text}");
    }

    #[test]
    fn a_token_is_known_and_a_changed_one_is_not() {
        let token = token_of(&std::array::from_fn(|index| {
            u8::try_from(index * 7).unwrap()
        }));
        assert!(is_own_token(token.expose()));
        let changed = token.expose().replacen('A', "B", 1);
        for other in [
            changed.as_str(),
            "",
            "hmg_",
            "hmg_abc",
            "hmg_äöüäöü",
            token.expose().trim_start_matches(TOKEN_PREFIX),
        ] {
            assert!(!is_own_token(other), "{other}");
        }
    }

    #[test]
    fn no_two_fresh_tokens_are_the_same() {
        let (a, b) = (fresh_token().unwrap(), fresh_token().unwrap());
        assert!(is_own_token(a.expose()) && is_own_token(b.expose()));
        assert!(a != b);
    }
}
