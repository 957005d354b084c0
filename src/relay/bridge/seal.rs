//! `requestState` of our own: what a client gives back on its retry, and cannot have changed.
//!
//! MCP 2026-07-28, basic/patterns/mrtr, server requirements: a state is input of an attacker, is to be
//! bound to the principal, to the request and to a short time, and is to be refused where it does not
//! verify. A sealed state can be read by who holds it, but not made; that it is used only once is for
//! the caller to see to.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::fault::{Fault, FaultKind};
use crate::types::PrincipalId;

/// Length of a tag of HMAC-SHA-256, in bytes.
const TAG: usize = 32;
/// Length of the expiry, in bytes: milliseconds since the sealer was made, big-endian.
const EXPIRY: usize = 8;

/// Seals states with a key that lives as long as the process.
pub(in crate::relay) struct Sealer {
    /// Keyed, and otherwise fresh: each seal begins with a copy.
    mac: Hmac<Sha256>,
    made: Instant,
}

/// What a sealed state belongs to; all of it is under the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Bound<'a> {
    /// Whose request it was.
    pub(in crate::relay) principal: PrincipalId,
    /// The id of the server that was asked.
    pub(in crate::relay) server: &'a str,
    /// The method of the request.
    pub(in crate::relay) method: &'a str,
    /// Its `name` or `uri`.
    pub(in crate::relay) target: &'a str,
}

/// Why a state is refused. No text says which binding failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::relay) enum StateError {
    /// Not something that a sealer made.
    #[error("params.requestState is not readable, expected it as the server gave it")]
    Unreadable,
    /// The seal does not fit: changed, another principal's or request's, or from before a restart.
    #[error(
        "params.requestState does not belong to this request, expected to be asked from the start"
    )]
    Foreign,
    /// It was good once.
    #[error("params.requestState has expired, expected to be asked from the start")]
    Expired,
}

impl Sealer {
    /// A sealer with a fresh random key of 256 bits.
    pub(in crate::relay) fn new() -> Result<Self, Fault> {
        let no_key = || Fault::new(FaultKind::InternalError, "no key could be made");
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|_no_randomness| no_key())?;
        let mac = Hmac::new_from_slice(&*key).map_err(|_bad_length| no_key())?;
        Ok(Self {
            mac,
            made: Instant::now(),
        })
    }

    /// Seals `inner` for a time, to be opened for the same binding only. Text in base64url.
    pub(in crate::relay) fn seal(&self, bound: &Bound<'_>, inner: &str, life: Duration) -> String {
        let expiry = self.made.elapsed().saturating_add(life).as_millis();
        let expiry = u64::try_from(expiry).unwrap_or(u64::MAX).to_be_bytes();
        let tag = self.mac(bound, expiry, inner.as_bytes()).finalize();
        let sealed = [&expiry[..], &tag.into_bytes(), inner.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// What was sealed for this binding.
    pub(in crate::relay) fn open(
        &self,
        bound: &Bound<'_>,
        sealed: &str,
    ) -> Result<String, StateError> {
        let sealed = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_not_base64| StateError::Unreadable)?;
        let parts = sealed.split_first_chunk::<EXPIRY>();
        let parts = parts.and_then(|(expiry, rest)| {
            let (tag, inner) = rest.split_first_chunk::<TAG>()?;
            Some((*expiry, tag, inner))
        });
        let (expiry, tag, inner) = parts.ok_or(StateError::Unreadable)?;
        // In constant time.
        self.mac(bound, expiry, inner)
            .verify_slice(tag)
            .map_err(|_other_tag| StateError::Foreign)?;
        let now = self.made.elapsed().as_millis();
        if now >= u128::from(u64::from_be_bytes(expiry)) {
            return Err(StateError::Expired);
        }
        String::from_utf8(inner.to_vec()).map_err(|_not_utf8| StateError::Unreadable)
    }

    fn mac(&self, bound: &Bound<'_>, expiry: [u8; EXPIRY], inner: &[u8]) -> Hmac<Sha256> {
        let Bound {
            principal: PrincipalId(principal),
            server,
            method,
            target,
        } = *bound;
        let mut mac = self.mac.clone();
        // Each part after its length, so that no two bindings are the same bytes.
        for part in [
            &principal.to_be_bytes()[..],
            server.as_bytes(),
            method.as_bytes(),
            target.as_bytes(),
            &expiry,
            inner,
        ] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE: Duration = Duration::from_mins(1);
    const BOUND: Bound<'_> = Bound {
        principal: PrincipalId(7),
        server: "files",
        method: "tools/call",
        target: "read",
    };

    #[tokio::test]
    async fn what_was_sealed_is_opened_for_the_same_request() {
        let sealer = Sealer::new().expect("a key");
        for inner in ["", "call 4", "{\"a\":\"\u{e9}\"}"] {
            let sealed = sealer.seal(&BOUND, inner, LIFE);
            assert!(
                sealed
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
                "{sealed}"
            );
            assert_eq!(sealer.open(&BOUND, &sealed), Ok(inner.to_owned()));
        }
    }

    #[tokio::test]
    async fn what_was_sealed_for_another_request_or_key_is_foreign() {
        let sealer = Sealer::new().expect("a key");
        let sealed = sealer.seal(&BOUND, "inner", LIFE);
        for other in [
            Bound {
                principal: PrincipalId(8),
                ..BOUND
            },
            Bound {
                server: "file",
                ..BOUND
            },
            Bound {
                method: "prompts/get",
                ..BOUND
            },
            Bound {
                target: "write",
                ..BOUND
            },
            // The same bytes, cut elsewhere.
            Bound {
                method: "tools/callr",
                target: "ead",
                ..BOUND
            },
        ] {
            assert_eq!(
                sealer.open(&other, &sealed),
                Err(StateError::Foreign),
                "{other:?}"
            );
        }
        let restarted = Sealer::new().expect("a key");
        assert_eq!(restarted.open(&BOUND, &sealed), Err(StateError::Foreign));
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_lives_as_long_as_it_was_told_and_no_longer() {
        let sealer = Sealer::new().expect("a key");
        tokio::time::advance(Duration::from_secs(5)).await;
        let sealed = sealer.seal(&BOUND, "inner", LIFE);
        tokio::time::advance(LIFE.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(sealer.open(&BOUND, &sealed), Ok("inner".to_owned()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(sealer.open(&BOUND, &sealed), Err(StateError::Expired));
        let ever = sealer.seal(&BOUND, "inner", Duration::MAX);
        assert_eq!(sealer.open(&BOUND, &ever), Ok("inner".to_owned()));
    }

    #[tokio::test]
    async fn what_no_sealer_made_is_unreadable() {
        let sealer = Sealer::new().expect("a key");
        let short = URL_SAFE_NO_PAD.encode([0; EXPIRY + TAG - 1]);
        for sealed in ["", "abc!", "=?base64?eA==?=", "\u{e9}", &short] {
            assert_eq!(
                sealer.open(&BOUND, sealed),
                Err(StateError::Unreadable),
                "{sealed}"
            );
        }
        let made_up = URL_SAFE_NO_PAD.encode([0; EXPIRY + TAG]);
        assert_eq!(sealer.open(&BOUND, &made_up), Err(StateError::Foreign));
    }

    #[tokio::test]
    async fn the_key_is_in_no_debug_text() {
        assert_eq!(
            format!("{:?}", Sealer::new().expect("a key")),
            "Sealer { .. }"
        );
    }

    proptest! {
        #[test]
        fn no_changed_state_is_opened(
            inner in any::<String>(),
            at in any::<prop::sample::Index>(),
            to in prop::sample::select(&b"ABCDEFabcdef0123-_"[..]),
        ) {
            let sealer = Sealer::new().expect("a key");
            let sealed = sealer.seal(&BOUND, &inner, LIFE);
            prop_assert_eq!(sealer.open(&BOUND, &sealed), Ok(inner));
            let mut changed = sealed.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = to;
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assert!(changed == sealed || sealer.open(&BOUND, &changed).is_err());
        }
    }
}
