//! The cursor of a list that several servers have more of: what each of them gave, in one text.
//!
//! Opaque to clients (MCP 2026-07-28, server/utilities/pagination) and all that there is: no state is
//! kept for a list that somebody may or may not read on. What it says is believed no more than any other
//! text of a client's: a server that the caller does not reach is passed over.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Kind;
use super::names::{Reach, invalid};
use crate::fault::Fault;
use crate::types::ServerId;

/// Where one server's part of a list goes on. An empty cursor is as good as any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct More<'a> {
    /// Whose list.
    pub(super) server: &'a ServerId,
    /// What the server gave as `nextCursor`.
    pub(super) cursor: String,
}

/// The cursor for what these servers still have; `None` where they have nothing.
pub(super) fn compose(kind: Kind, more: &[More<'_>]) -> Option<String> {
    if more.is_empty() {
        return None;
    }
    let parts: Vec<_> = more
        .iter()
        .map(|more| (more.server.as_str(), more.cursor.as_str()))
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
    let parts: Vec<(String, String)> = parts
        .and_then(|(method, parts): (String, _)| (method == kind.method()).then_some(parts))
        .ok_or_else(|| {
            let method = kind.method();
            invalid(format!(
                "params.cursor is none of this gateway's, expected the nextCursor of an earlier {method}"
            ))
        })?;
    let mut more: Vec<More<'a>> = Vec::with_capacity(parts.len());
    for (server, cursor) in parts {
        let Some(server) = reach.get(&server) else {
            continue;
        };
        if more.iter().all(|known| known.server != server) {
            more.push(More { server, cursor });
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
