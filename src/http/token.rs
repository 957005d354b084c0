//! Bearer tokens: which one was presented, and whose it is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio_util::sync::CancellationToken;

use super::config::TokenEntry;
use crate::types::{Principal, PrincipalId, TokenFingerprint};

/// Every token that is known, by its SHA-256.
#[derive(Debug)]
pub struct Tokens {
    known: Vec<Known>,
    /// The number of the next principal; no number is given to two.
    next: u32,
}

/// A SHA-256 in words. Compared byte by byte, a hundred digests take ten times as long as making one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Words([u64; 4]);

impl From<[u8; 32]> for Words {
    fn from(digest: [u8; 32]) -> Self {
        let (words, _none) = digest.as_chunks();
        Self(std::array::from_fn(|at| {
            words.get(at).copied().map_or(0, u64::from_ne_bytes)
        }))
    }
}

impl ConstantTimeEq for Words {
    fn ct_eq(&self, other: &Self) -> Choice {
        let pairs = self.0.iter().zip(&other.0);
        let differing = pairs.fold(0, |bits, (one, other)| bits | (one ^ other));
        differing.ct_eq(&0)
    }
}

#[derive(Clone)]
struct Known {
    sha256: Words,
    expires_at: Option<SystemTime>,
    principal: Arc<Principal>,
    /// Ends what would outlive the token.
    revoked: CancellationToken,
}

impl Known {
    fn new(entry: TokenEntry) -> Self {
        let fingerprint = fingerprint(&entry);
        Self {
            sha256: entry.sha256.into(),
            expires_at: entry.expires_at,
            principal: Arc::new(Principal {
                fingerprint,
                ..entry.principal
            }),
            revoked: CancellationToken::new(),
        }
    }
}

/// A digest of all that an entry says, whatever the number of its principal.
fn fingerprint(entry: &TokenEntry) -> TokenFingerprint {
    let TokenEntry {
        sha256,
        expires_at,
        principal:
            Principal {
                id: _,
                fingerprint: _,
                name,
                admin,
                servers,
            },
    } = entry;
    let mut digest = Sha256::new();
    // Each part after its length, so that no two entries are the same bytes.
    let mut part = |bytes: &[u8]| {
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    part(b"host-mcp-gateway/1 token");
    part(sha256);
    // Whatever ended before 1970 has ended, and is not the same as what never ends.
    let expiry = expires_at.map(|end| {
        end.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    });
    part(&expiry.map_or(u128::MAX, |end| end.as_nanos()).to_be_bytes());
    part(name.as_bytes());
    part(&[u8::from(*admin), u8::from(servers.is_some())]);
    for server in servers.iter().flat_map(|servers| servers.iter()) {
        part(server.as_str().as_bytes());
    }
    TokenFingerprint::new(digest.finalize().into())
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.principal.name.fmt(f)
    }
}

/// The holder of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Who it is.
    pub principal: &'a Arc<Principal>,
    /// From this wall time on the token is refused.
    pub expires_at: Option<SystemTime>,
    /// Cancelled when the token is taken out of the config.
    pub revoked: &'a CancellationToken,
}

impl Tokens {
    /// An empty list lets nobody in.
    pub fn new(entries: Vec<TokenEntry>) -> Self {
        let numbers = entries.iter().map(|entry| entry.principal.id.0);
        let next = numbers.max().map_or(0, |last| last.saturating_add(1));
        let known = entries.into_iter().map(Known::new).collect();
        Self { known, next }
    }

    /// The tokens of another config: one whose entry has not changed stays what it is, every other one is a
    /// token that nobody had before.
    pub(super) fn succeeded_by(&self, entries: Vec<TokenEntry>) -> Self {
        let mut next = self.next;
        let known = entries.into_iter().map(|mut entry| {
            let fingerprint = fingerprint(&entry);
            let mut known = self.known.iter();
            let same = known.find(|known| known.principal.fingerprint == fingerprint);
            same.cloned().unwrap_or_else(|| {
                entry.principal.id = PrincipalId(next);
                next = next.saturating_add(1);
                Known::new(entry)
            })
        });
        let known = known.collect();
        Self { known, next }
    }

    /// Ends what would outlive the tokens that are not among these any more; gives whose they were.
    pub(super) fn revoke_what_is_not_in(&self, successor: &Self) -> Vec<PrincipalId> {
        let kept: HashSet<_> = successor.principals().map(|one| one.id).collect();
        let revoked = self
            .known
            .iter()
            .filter(|known| !kept.contains(&known.principal.id));
        revoked
            .map(|known| {
                known.revoked.cancel();
                known.principal.id
            })
            .collect()
    }

    /// Everybody who has a token.
    pub(super) fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.known.iter().map(|known| &*known.principal)
    }

    /// The entry of a token, whether or not it has expired.
    fn known(&self, presented: &[u8]) -> Option<&Known> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let digest = Words::from(digest);
        let place = place_of(&digest, self.known.iter().map(|known| &known.sha256))?;
        self.known.get(place)
    }

    /// Who holds this token and until when, where it is known and has not expired.
    ///
    /// Digests are compared, so what is equal in them says nothing of what is equal in the tokens. A
    /// slow hash would add nothing (tokens are random) and would be a lever for overload.
    pub fn holder(&self, presented: &[u8], now: SystemTime) -> Option<Holder<'_>> {
        let known = self.known(presented)?;
        let valid = known.expires_at.is_none_or(|end| now < end);
        valid.then_some(Holder {
            principal: &known.principal,
            expires_at: known.expires_at,
            revoked: &known.revoked,
        })
    }
}

/// Where a digest stands in a list; the last place where it stands twice.
///
/// It is compared with every entry, each in constant time, and only then is anything branched on, so
/// that neither a shared prefix nor the place in the list shows in the time.
fn place_of<'a>(digest: &Words, known: impl Iterator<Item = &'a Words>) -> Option<usize> {
    let mut found = Choice::from(0);
    let mut place = 0_u64;
    for (index, entry) in (0_u64..).zip(known) {
        let same = digest.ct_eq(entry);
        place.conditional_assign(&index, same);
        found |= same;
    }
    if bool::from(found) {
        usize::try_from(place).ok()
    } else {
        None
    }
}

/// Why a request that was refused for its token has no valid one, for the log; never a part of what it has sent.
pub(super) fn refusal_cause(headers: &HeaderMap, tokens: &Tokens) -> String {
    match (
        presented(headers),
        headers.get_all(AUTHORIZATION).iter().count(),
    ) {
        (None, 0) => "no Authorization header".to_owned(),
        (None, 1) => "the Authorization header is not \"Bearer TOKEN\"".to_owned(),
        (None, count) => format!("{count} Authorization headers"),
        (Some(token), _) => match tokens.known(token) {
            None => "the token is not one of the config".to_owned(),
            // That it is no more valid is all that it can lack.
            Some(known) => format!("the token of {} has expired", known.principal.name),
        },
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750, 2.1); `None` where there is none,
/// more than one, another scheme, or a value that is no `token68`.
///
/// It is hashed where it lies in the header map and never copied.
pub(super) fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, rest) = value.as_bytes().split_at_checked(b"bearer".len())?;
    let token = rest.trim_ascii_start();
    let spaces = rest.len() - token.len();
    let separated = spaces > 0 && rest.iter().take(spaces).all(|byte| *byte == b' ');
    (scheme.eq_ignore_ascii_case(b"bearer") && separated && is_token68(token)).then_some(token)
}

/// Whether a text can be presented as a bearer token at all; one that cannot would never match.
pub fn is_bearer_token(text: &str) -> bool {
    is_token68(text.as_bytes())
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 9110, 11.2).
fn is_token68(token: &[u8]) -> bool {
    let legal = |c: &u8| TOKEN68.get(usize::from(*c)).is_some_and(|legal| *legal);
    let body = token.iter().take_while(|c| legal(c)).count();
    body > 0 && token.iter().skip(body).all(|c| *c == b'=')
}

/// The bytes of a `token68` before its padding, in a table: every request has some forty of them.
static TOKEN68: [bool; 256] = token68();

const fn token68() -> [bool; 256] {
    let mut legal = [false; 256];
    let mut byte = 0_u8;
    loop {
        let is_legal =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        // `get_mut` is not for constants; a byte is an index of this array.
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated when compiling, where it cannot fail at run time"
        )]
        {
            legal[byte as usize] = is_legal;
        }
        if byte == u8::MAX {
            return legal;
        }
        byte += 1;
    }
}

#[cfg(test)]
mod tests;
