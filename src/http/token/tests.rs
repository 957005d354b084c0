//! Which tokens are found, which are not, and that neither shows in the time.

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
            fingerprint: TokenFingerprint::default(),
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

#[test]
fn the_log_tells_missing_malformed_unknown_and_expired_tokens_apart() {
    let tokens = Tokens::new(vec![entry(1, "known", Some(UNIX_EPOCH))]);
    for (values, cause) in [
        (&[][..], "no Authorization header"),
        (&[&b"Basic c2VjcmV0"[..]], "is not \"Bearer TOKEN\""),
        (&[b"Bearer s e"], "is not \"Bearer TOKEN\""),
        (
            &[b"Bearer known", b"Bearer known"],
            "2 Authorization headers",
        ),
        (&[b"Bearer s3cret"], "is not one of the config"),
        (&[b"Bearer known"], "the token of holder 1 has expired"),
    ] {
        let told = refusal_cause(&headers(values), &tokens);
        assert!(told.contains(cause), "{values:?}: {told}");
        assert!(!told.contains("cret") && !told.contains("known"), "{told}");
    }
}
