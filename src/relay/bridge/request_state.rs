//! `requestState` of our own: what a client gives back on its retry, and can neither read nor change.
//!
//! MCP 2026-07-28, basic/patterns/mrtr, server requirements: a state is input of an attacker, is to be
//! bound to the principal, to the request and to a short time, and is to be refused where it does not
//! verify. That it is used only once is for the caller to see to.

use std::time::{Duration, SystemTime};

use crate::fault::Fault;
use crate::relay::seal::{OpenError, Purpose, Sealer};
use crate::types::{TokenFingerprint, wall};

/// Length of the expiry, in bytes: milliseconds of Unix time, big-endian.
const EXPIRY: usize = 8;

/// The request that a state belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Bound<'a> {
    /// Whose request it was.
    pub(in crate::relay) token: &'a TokenFingerprint,
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
    /// The seal does not fit: changed, another principal's or request's, or of another gateway.
    #[error(
        "params.requestState does not belong to this request, expected to be asked from the start"
    )]
    Foreign,
    /// It was good once.
    #[error("params.requestState has expired, expected to be asked from the start")]
    Expired,
}

impl<'a> Bound<'a> {
    fn parts(&self) -> [&'a [u8]; 4] {
        let Self {
            token,
            server,
            method,
            target,
        } = *self;
        [
            token.bytes(),
            server.as_bytes(),
            method.as_bytes(),
            target.as_bytes(),
        ]
    }

    /// Seals the state of a server for a time.
    pub(in crate::relay) fn seal(
        &self,
        sealer: &Sealer,
        inner: &str,
        life: Duration,
    ) -> Result<String, Fault> {
        let expiry = millis(wall::now()).saturating_add(life.as_millis());
        let expiry = u64::try_from(expiry).unwrap_or(u64::MAX).to_be_bytes();
        let content = [&expiry[..], inner.as_bytes()].concat();
        sealer.seal(Purpose::RequestState, &self.parts(), &content)
    }

    /// The state that was sealed for this request.
    pub(in crate::relay) fn open(
        &self,
        sealer: &Sealer,
        sealed: &str,
        now: SystemTime,
    ) -> Result<String, StateError> {
        let opened = sealer.open(Purpose::RequestState, &self.parts(), sealed);
        let opened = opened.map_err(|error| match error {
            OpenError::Unreadable => StateError::Unreadable,
            OpenError::Foreign => StateError::Foreign,
        })?;
        let (expiry, inner) = opened
            .split_first_chunk::<EXPIRY>()
            .ok_or(StateError::Unreadable)?;
        if millis(now) >= u128::from(u64::from_be_bytes(*expiry)) {
            return Err(StateError::Expired);
        }
        String::from_utf8(inner.to_vec()).map_err(|_not_utf8| StateError::Unreadable)
    }
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_dir::StateDir;

    const LIFE: Duration = Duration::from_mins(1);
    const ALICE: TokenFingerprint = TokenFingerprint::new([7; 32]);
    const BOB: TokenFingerprint = TokenFingerprint::new([8; 32]);
    const BOUND: Bound<'_> = Bound {
        token: &ALICE,
        server: "files",
        method: "tools/call",
        target: "read",
    };

    fn sealer() -> Sealer {
        Sealer::load(&StateDir::in_memory()).expect("a key")
    }

    fn open(bound: &Bound<'_>, sealer: &Sealer, sealed: &str) -> Result<String, StateError> {
        bound.open(sealer, sealed, wall::now())
    }

    #[test]
    fn what_was_sealed_is_opened_for_the_same_request() {
        let sealer = sealer();
        for inner in ["", "call 4", "{\"a\":\"\u{e9}\"}"] {
            let sealed = BOUND.seal(&sealer, inner, LIFE).unwrap();
            assert_eq!(open(&BOUND, &sealer, &sealed), Ok(inner.to_owned()));
        }
    }

    #[test]
    fn what_was_sealed_for_another_request_or_key_is_foreign() {
        let ours = sealer();
        let sealed = BOUND.seal(&ours, "inner", LIFE).unwrap();
        for other in [
            Bound {
                token: &BOB,
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
            let opened = open(&other, &ours, &sealed);
            assert_eq!(opened, Err(StateError::Foreign), "{other:?}");
        }
        assert_eq!(open(&BOUND, &sealer(), &sealed), Err(StateError::Foreign));
        assert_eq!(open(&BOUND, &ours, "abc!"), Err(StateError::Unreadable));
    }

    #[test]
    fn a_state_lives_for_its_time_and_no_longer() {
        let sealer = sealer();
        let before = wall::now();
        let sealed = BOUND.seal(&sealer, "inner", LIFE).unwrap();
        let at = |after| BOUND.open(&sealer, &sealed, before + after);
        assert_eq!(
            at(LIFE.saturating_sub(Duration::from_millis(1))),
            Ok("inner".to_owned())
        );
        assert_eq!(at(LIFE + Duration::from_mins(1)), Err(StateError::Expired));
        let ever = BOUND.seal(&sealer, "inner", Duration::MAX).unwrap();
        assert_eq!(open(&BOUND, &sealer, &ever), Ok("inner".to_owned()));
    }
}
