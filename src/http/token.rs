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
use crate::types::{Principal, PrincipalId};

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
        Self {
            sha256: entry.sha256.into(),
            expires_at: entry.expires_at,
            principal: Arc::new(entry.principal),
            revoked: CancellationToken::new(),
        }
    }

    /// Whether the entry says the same, whatever the number of its principal.
    fn is_of(&self, entry: &TokenEntry) -> bool {
        let TokenEntry {
            sha256,
            expires_at,
            principal:
                Principal {
                    id: _,
                    name,
                    admin,
                    servers,
                },
        } = entry;
        let own = &self.principal;
        self.sha256 == Words::from(*sha256)
            && self.expires_at == *expires_at
            && (&own.name, own.admin, &own.servers) == (name, *admin, servers)
    }
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
            let same = self.known.iter().find(|known| known.is_of(&entry));
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

    /// Who holds this token and until when, where it is known and has not expired.
    ///
    /// Digests are compared, so what is equal in them says nothing of what is equal in the tokens. A
    /// slow hash would add nothing (tokens are random) and would be a lever for overload.
    pub fn holder(&self, presented: &[u8], now: SystemTime) -> Option<Holder<'_>> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let digest = Words::from(digest);
        let place = place_of(&digest, self.known.iter().map(|known| &known.sha256))?;
        let known = self.known.get(place)?;
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
    let legal = |c: &u8| c.is_ascii_alphanumeric() || b"-._~+/".contains(c);
    let body = token.iter().take_while(|c| legal(c)).count();
    body > 0 && token.iter().skip(body).all(|c| *c == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PrincipalId;
    use http::HeaderValue;
    use std::time::{Duration, UNIX_EPOCH};

    fn entry(id: u32, token: &str, expires_at: Option<SystemTime>) -> TokenEntry {
        TokenEntry {
            sha256: Sha256::digest(token.as_bytes()).into(),
            expires_at,
            principal: Principal {
                id: PrincipalId(id),
                name: format!("holder {id}").into(),
                admin: false,
                servers: None,
            },
        }
    }

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let header = |value: &&[u8]| (AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        values.iter().map(header).collect()
    }

    /// H033, H034, H035 and H036, of what stands in the header.
    #[test]
    fn a_token_is_read_from_exactly_one_bearer_header() {
        let one = |value: &'static [u8]| presented(&headers(&[value])).map(<[u8]>::to_vec);
        for value in [
            &b"Bearer T1"[..],
            b"bearer T1",
            b"BEARER T1",
            b"Bearer   T1",
        ] {
            assert_eq!(one(value).as_deref(), Some(&b"T1"[..]), "{value:?}");
        }
        assert_eq!(
            one(b"Bearer a-._~+/9==").as_deref(),
            Some(&b"a-._~+/9=="[..])
        );
        for value in [
            &b""[..],
            b"T1",
            b"BearerT1",
            b"Bearer",
            b"Bearer ",
            b"Basic T1",
            b"Token T1",
            b"Bearer\tT1",
            b"Bearer \tT1",
            b"Bearer T1,T1",
            b"Bearer T1 T1",
            b"Bearer T=1",
            b"Bearer =",
            b"Bearer T%31",
            b"Bearer T\xff",
            b"Bearer \"T1\"",
            b"\xffBearer T1",
        ] {
            assert_eq!(one(value), None, "{value:?}");
        }
        assert_eq!(presented(&headers(&[])), None);
        let (good, bad) = (&b"Bearer T1"[..], &b"Bearer no"[..]);
        for pair in [[good, bad], [bad, good], [good, good]] {
            assert_eq!(presented(&headers(&pair)), None, "{pair:?}");
        }
    }

    #[test]
    fn a_text_that_no_header_can_say_is_no_token() {
        assert!(["T1", "a-._~+/9=="].into_iter().all(is_bearer_token));
        let others = ["", "=", "T=1", "T 1", "T1 ", "T,1", "T\u{e4}", "T\n"];
        assert!(!others.into_iter().any(is_bearer_token));
    }

    #[test]
    fn every_place_in_the_list_is_found_and_nothing_near_it() {
        let entries = (0..100).map(|i| entry(i, &format!("T{i}"), None)).collect();
        let tokens = Tokens::new(entries);
        for i in [0, 1, 50, 99] {
            let holder = tokens.holder(format!("T{i}").as_bytes(), UNIX_EPOCH);
            assert_eq!(
                holder.map(|holder| holder.principal.id),
                Some(PrincipalId(i))
            );
        }
        for wrong in ["", "T", "T100", "t1", "T1 ", "T1\0", "T1="] {
            assert_eq!(
                tokens.holder(wrong.as_bytes(), UNIX_EPOCH),
                None,
                "{wrong:?}"
            );
        }
        assert_eq!(Tokens::new(vec![]).holder(b"", UNIX_EPOCH), None);
    }

    /// H038 and H039: wherever a digest stands, and whether it does, each is compared, and none twice.
    #[test]
    fn every_digest_is_compared_whatever_came_before() {
        let mut known: Vec<[u8; 32]> = (0..100).map(|byte| [byte; 32]).collect();
        known[60] = known[40];
        let near_miss = {
            let mut digest = known[50];
            digest[31] ^= 1;
            digest
        };
        for (digest, place) in [
            (known[0], Some(0)),
            (known[50], Some(50)),
            (known[99], Some(99)),
            (known[40], Some(60)),
            (near_miss, None),
            ([255; 32], None),
        ] {
            let mut compared = Vec::new();
            let words: Vec<_> = known.iter().copied().map(Words::from).collect();
            let entries = words.iter().enumerate().map(|(index, entry)| {
                compared.push(index);
                entry
            });
            assert_eq!(place_of(&digest.into(), entries), place);
            assert!(compared.iter().copied().eq(0..100), "{compared:?}");
        }
    }

    #[test]
    fn a_token_ends_at_its_expiry() {
        let end = UNIX_EPOCH + Duration::from_secs(100);
        let tokens = Tokens::new(vec![entry(0, "T1", Some(end))]);
        let at = |now| tokens.holder(b"T1", now).is_some();
        assert!(at(end - Duration::from_nanos(1)));
        assert!(!at(end));
    }

    #[test]
    fn debug_shows_no_digest() {
        let tokens = Tokens::new(vec![entry(7, "T1", None)]);
        let shown = "Tokens { known: [\"holder 7\"], next: 8 }";
        assert_eq!(format!("{tokens:?}"), shown);
    }

    mod alone {
        use tokio::time::Instant;

        use super::*;

        /// The median time of so many lookups of each of these tokens.
        ///
        /// They take turns, each turn in another order, so that what else the machine does falls on all
        /// of them alike.
        fn medians(tokens: &Tokens, lookups: usize, presented: [&str; 4]) -> [Duration; 4] {
            const TURNS: usize = 250;
            let mut times = [const { Vec::new() }; 4];
            // One place for all of them: where a token lies must not be what is measured.
            let mut place = Vec::with_capacity(64);
            for turn in 0..TURNS {
                for step in 0..presented.len() {
                    let which = (turn + step) % presented.len();
                    place.clear();
                    place.extend_from_slice(presented[which].as_bytes());
                    let start = Instant::now();
                    for _ in 0..lookups {
                        let found = tokens.holder(std::hint::black_box(&place), UNIX_EPOCH);
                        std::hint::black_box(found);
                    }
                    times[which].push(start.elapsed());
                }
            }
            times.map(|mut times| {
                times.sort_unstable();
                times[times.len() / 2]
            })
        }

        /// Nothing finer can be told on a machine that does other things too; what leaks is the work,
        /// and that is counted above.
        fn are_alike(medians: &[Duration]) {
            let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
            assert!(*most <= *least * 5 / 4, "{medians:?}");
        }

        /// H038: 100,000 lookups, of the right token and of some that go wrong at different bytes.
        #[test]
        fn where_a_token_goes_wrong_does_not_show_in_the_time() {
            const RIGHT: &str = "0123456789abcdef0123456789abcdef";
            let tokens = Tokens::new(vec![entry(0, RIGHT, None)]);
            are_alike(&medians(
                &tokens,
                100,
                [
                    RIGHT,
                    "x123456789abcdef0123456789abcdef",
                    "0123456789abcdef0123456789abcdex",
                    "0123456789abcdef0123456789abcde",
                ],
            ));
        }

        /// H039: the first of a hundred tokens takes as long to find as the last, and as none.
        #[test]
        fn the_place_of_a_token_does_not_show_in_the_time() {
            let entries = (0..100)
                .map(|i| entry(i, &format!("T{i:02}"), None))
                .collect();
            let tokens = Tokens::new(entries);
            are_alike(&medians(&tokens, 5, ["T00", "T99", "T50", "Txx"]));
        }
    }
}
