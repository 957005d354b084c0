//! The cursor of a list that several servers have more of: what each of them gave, in one text.
//!
//! Opaque to clients (MCP 2026-07-28, server/utilities/pagination) and all that there is: no state is
//! kept for a list that somebody may or may not read on. What it says is believed no more than any other
//! text of a client's: a server that the caller does not reach is passed over.

use std::borrow::Cow;
use std::hash::Hasher as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustc_hash::FxHasher;

use super::Kind;
use super::names::{Reach, invalid};
use crate::fault::Fault;
use crate::types::ServerId;

/// The most pages of one server's part of a list.
const MAX_PAGES: u32 = 1000;
/// So many of the latest cursors of a server are known again.
const MAX_MARKS: usize = 32;
/// The most servers that a cursor may name.
const MAX_SERVERS: usize = 1024;

/// The pages of a server's part of a list that its reader has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PageTrail {
    pages: u32,
    /// The cursors of the latest ones, shortened.
    marks: Vec<u32>,
}

/// Why a list is ended though its server says that it goes on; a sentence that goes on after "it".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndlessList {
    /// The cursor was there before.
    #[error("gives a nextCursor that leads back to a page that was read already")]
    Circle,
    /// Cursors go on and on.
    #[error("has a list of more than {MAX_PAGES} pages")]
    TooLong,
}

impl PageTrail {
    /// The trail with one more page, which is followed by that of the cursor.
    pub(super) fn followed_by(&self, next: &str) -> Result<Self, EndlessList> {
        let mark = mark(next);
        if self.marks.contains(&mark) {
            return Err(EndlessList::Circle);
        }
        if self.pages >= MAX_PAGES {
            return Err(EndlessList::TooLong);
        }
        let kept = self.marks.len().saturating_sub(MAX_MARKS - 1);
        let latest = self.marks.iter().skip(kept).copied();
        Ok(Self {
            pages: self.pages + 1,
            marks: latest.chain([mark]).collect(),
        })
    }
}

/// A cursor in four bytes. That two of a few are the same by chance ends one list too early in a hundred million.
fn mark(cursor: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(cursor.as_bytes());
    // The upper half is mixed best.
    let [.., a, b, c, d] = (hasher.finish() >> 32).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Where one server's part of a list goes on. An empty cursor is as good as any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct More<'a> {
    /// Whose list.
    pub(super) server: &'a ServerId,
    /// What the server gave as `nextCursor`.
    pub(super) cursor: String,
    /// The pages before it.
    pub(super) trail: PageTrail,
}

/// The same as it stands in a cursor: server, cursor, number of pages and their marks.
type WrittenPart<'t> = (Cow<'t, str>, Cow<'t, str>, u32, Cow<'t, [u32]>);

/// The cursor for what these servers still have; `None` where they have nothing.
pub(super) fn compose(kind: Kind, more: &[More<'_>]) -> Option<String> {
    if more.is_empty() {
        return None;
    }
    let parts: Vec<_> = more
        .iter()
        .map(|more| -> WrittenPart<'_> {
            let PageTrail { pages, marks } = &more.trail;
            let (server, cursor) = (more.server.as_str(), more.cursor.as_str());
            (server.into(), cursor.into(), *pages, marks.into())
        })
        .collect();
    let text = serde_json::json!([kind.method(), parts]).to_string();
    Some(URL_SAFE_NO_PAD.encode(text))
}

/// What a cursor stands for, without the servers that are gone or out of reach.
pub(super) fn parse<'a>(
    kind: Kind,
    cursor: &str,
    reach: Reach<'a>,
) -> Result<Vec<More<'a>>, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let parts = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let parts = parts.and_then(|(method, parts): (String, Vec<WrittenPart<'_>>)| {
        (method == kind.method() && parts.len() <= MAX_SERVERS).then_some(parts)
    });
    let parts = parts
        .ok_or_else(|| {
            let method = kind.method();
            invalid(format!(
                "params.cursor is none of this gateway's, expected the nextCursor of an earlier {method}"
            ))
        })?;
    let mut more: Vec<More<'a>> = Vec::with_capacity(parts.len());
    for (server, cursor, pages, marks) in parts {
        let Some(server) = reach.get(&server) else {
            continue;
        };
        if more.iter().all(|known| known.server != server) {
            let marks = marks.iter().take(MAX_MARKS).copied().collect();
            more.push(More {
                server,
                cursor: cursor.into_owned(),
                trail: PageTrail { pages, marks },
            });
        }
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fault::FaultKind;

    fn ids(texts: &[&str]) -> Vec<ServerId> {
        texts.iter().map(|id| id.parse().unwrap()).collect()
    }

    fn more<'a>(server: &'a ServerId, cursor: &str) -> More<'a> {
        More {
            server,
            cursor: cursor.to_owned(),
            trail: PageTrail::default().followed_by(cursor).unwrap(),
        }
    }

    #[test]
    fn servers_that_are_out_of_reach_are_passed_over() {
        let servers = ids(&["a", "b", "c"]);
        let all = [
            more(&servers[0], ""),
            more(&servers[1], "two"),
            more(&servers[2], "three"),
        ];
        let cursor = compose(Kind::Tools, &all).unwrap();
        let reach = [&servers[2], &servers[0]];
        let parsed = parse(Kind::Tools, &cursor, Reach(&reach)).unwrap();
        assert_eq!(parsed, [all[0].clone(), all[2].clone()]);
        assert_eq!(parse(Kind::Tools, &cursor, Reach(&[])), Ok(Vec::new()));
    }

    #[test]
    fn a_server_is_asked_once_however_often_a_cursor_names_it() {
        let servers = ids(&["a"]);
        let twice = [more(&servers[0], "1"), more(&servers[0], "2")];
        let cursor = compose(Kind::Tools, &twice).unwrap();
        let reach = [&servers[0]];
        let parsed = parse(Kind::Tools, &cursor, Reach(&reach));
        assert_eq!(parsed, Ok(twice[..1].to_vec()));
    }

    /// RD09: circles are found at their first cursor, up to a length, and beyond that there is a last page.
    #[test]
    fn a_trail_ends_where_a_list_does_not() {
        let walk = |length: usize| {
            let mut trail = PageTrail::default();
            for page in 0_u32.. {
                let next = format!("cursor-{}", page as usize % length);
                match trail.followed_by(&next) {
                    Ok(next) => trail = next,
                    Err(endless) => return (page, endless),
                }
            }
            panic!("no list is that long")
        };
        assert_eq!(walk(1), (1, EndlessList::Circle));
        assert_eq!(walk(2), (2, EndlessList::Circle));
        assert_eq!(walk(MAX_MARKS), (32, EndlessList::Circle));
        assert_eq!(walk(MAX_MARKS + 1), (MAX_PAGES, EndlessList::TooLong));
        assert_eq!(walk(usize::MAX), (MAX_PAGES, EndlessList::TooLong));
    }

    #[test]
    fn a_cursor_that_names_too_many_servers_is_refused() {
        let servers = ids(&["a"]);
        let reach = [&servers[0]];
        let parts = vec![("a", "", 1, [0_u32; 0]); MAX_SERVERS + 1];
        let text = serde_json::json!(["tools/list", parts]).to_string();
        let refused = parse(Kind::Tools, &URL_SAFE_NO_PAD.encode(text), Reach(&reach));
        assert_eq!(refused.unwrap_err().kind, FaultKind::InvalidParams);
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        let servers = ids(&["a"]);
        let reach = [&servers[0]];
        let cursor = compose(Kind::Tools, &[more(&servers[0], "1")]).unwrap();
        let other_list = parse(Kind::Prompts, &cursor, Reach(&reach));
        for refused in [
            "",
            "x",
            "!",
            "bnVsbA",
            &cursor.replacen('W', "", 1),
            &format!("{cursor}="),
        ]
        .map(|text| parse(Kind::Tools, text, Reach(&reach)))
        .into_iter()
        .chain([other_list])
        {
            let fault = refused.unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidParams, "{fault}");
        }
    }

    proptest! {
        #[test]
        fn every_cursor_of_every_server_comes_back(
            cursors in prop::collection::vec(any::<String>(), 0..5),
        ) {
            let servers: Vec<ServerId> =
                (0..cursors.len()).map(|at| format!("s{at}").parse().unwrap()).collect();
            let all: Vec<_> =
                servers.iter().zip(&cursors).map(|(server, cursor)| more(server, cursor)).collect();
            let reach: Vec<_> = servers.iter().collect();
            match compose(Kind::Templates, &all) {
                None => prop_assert!(all.is_empty()),
                Some(cursor) => {
                    prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_graphic()));
                    prop_assert_eq!(parse(Kind::Templates, &cursor, Reach(&reach)), Ok(all));
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(Kind::Tools, &text, Reach(&[]));
        }
    }
}
