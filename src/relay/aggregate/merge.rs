//! The lists of several servers as one.

use super::Kind;
use super::cursor::{EndlessList, More, PageTrail, compose};
use super::identity;
use super::names::slot;
use crate::protocol::era::meta_key;
use crate::protocol::members::{Object, elements};
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, splice};
use crate::protocol::{Era, Span};
use crate::types::ServerId;

/// One server's part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    server: &'a ServerId,
    /// The items with a comma between them, each with the server in its name and otherwise as it came.
    items: String,
    /// Where the server's list goes on.
    next: Option<String>,
    /// The pages that were read of it, with this one.
    trail: PageTrail,
    /// For how long it may be kept, in milliseconds; 0 where the server does not say.
    ttl_ms: u64,
}

/// Why a result is no list; fits "left out: {error}".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answer to {method} has no {member} that can be read")]
pub(super) struct NoList {
    method: &'static str,
    member: &'static str,
}

impl<'a> Part<'a> {
    /// Reads the result with which a server has answered: the one that stands at this span of its line.
    ///
    /// One item without a name spoils it all: a client that reads it strictly would lose the lists of all
    /// servers by it.
    pub(super) fn read(
        kind: Kind,
        server: &'a ServerId,
        line: &[u8],
        result: Span,
    ) -> Result<Self, NoList> {
        let wrong = |member| NoList {
            method: kind.method(),
            member,
        };
        let names = [kind.member(), "nextCursor", "ttlMs"];
        let result = Object::read(line, result, names).filter(|result| !result.ambiguous);
        let [list, next, ttl_ms] = result.ok_or(wrong(kind.member()))?.values;
        let items = list.and_then(|list| prefixed(kind, server, line, list));
        let next = match next.map(|cursor| cursor.of(line)) {
            None | Some(b"null") => None,
            Some(cursor) => Some(string(cursor).ok_or(wrong("nextCursor"))?.into_owned()),
        };
        let ttl_ms = ttl_ms.and_then(|ttl| serde_json::from_slice(ttl.of(line)).ok());
        Ok(Self {
            server,
            items: items.ok_or(wrong(kind.member()))?,
            next,
            trail: PageTrail::default(),
            ttl_ms: ttl_ms.unwrap_or(0),
        })
    }

    /// Where the server's list goes on.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The same part for a reader who has read these pages before. It is the last one where the list would not end.
    pub(super) fn after(mut self, trail: &PageTrail) -> (Self, Option<EndlessList>) {
        let trail = self.next.as_ref().map(|next| trail.followed_by(next));
        match trail {
            None => (self, None),
            Some(Ok(trail)) => (Self { trail, ..self }, None),
            Some(Err(endless)) => {
                self.next = None;
                (self, Some(endless))
            }
        }
    }

    /// The same part as it may be shown when it is not of now: it may be kept for no time.
    #[must_use]
    pub(super) fn out_of_date(self) -> Self {
        Self { ttl_ms: 0, ..self }
    }
}

/// The items of a list under their names at the endpoint of all servers.
fn prefixed(kind: Kind, server: &ServerId, line: &[u8], list: Span) -> Option<String> {
    let (key, form) = kind.called_by();
    let prefix = form.prefix(server);
    let mut edits = Vec::new();
    for item in elements(line, list)? {
        let item = Object::read(line, item, [key])?;
        let [name] = item.values;
        let name = name.filter(|name| !item.ambiguous && string(name.of(line)).is_some())?;
        edits.push(Edit {
            // The spliced text begins with the list.
            span: slot(Span {
                start: name.start - list.start,
                end: name.end - list.start,
            }),
            with: prefix.as_bytes(),
        });
    }
    let list = String::from_utf8(splice(list.of(line), &mut edits)).ok()?;
    let items = list.strip_prefix('[')?.strip_suffix(']')?;
    Some(items.trim().to_owned())
}

/// The result of a list, from the parts in the order in which they are given. `whole` says that no server
/// is missing from it.
pub(super) fn merge(kind: Kind, parts: &[Part<'_>], era: Era, whole: bool) -> String {
    let items: Vec<_> = parts
        .iter()
        .map(|part| part.items.as_str())
        .filter(|items| !items.is_empty())
        .collect();
    let more: Vec<_> = parts.iter().filter_map(Part::more).collect();
    let mut result = String::from("{");
    if era == Era::Modern {
        let ttl_ms = parts.iter().map(|part| part.ttl_ms).min();
        let ttl_ms = ttl_ms.filter(|_| whole).unwrap_or(0);
        // What one token reaches is nobody else's (MCP 2026-07-28, server/utilities/caching).
        let members = [
            r#""resultType":"complete","ttlMs":"#,
            &ttl_ms.to_string(),
            r#","cacheScope":"private","_meta":{""#,
            meta_key::SERVER_INFO,
            r#"":"#,
            identity(),
            "},",
        ];
        result.extend(members);
    }
    result.extend(["\"", kind.member(), "\":[", &items.join(","), "]"]);
    if let Some(cursor) = compose(kind, &more) {
        // A cursor is base64url and needs no escape.
        result.extend([r#","nextCursor":""#, &cursor, "\""]);
    }
    result.push('}');
    result
}

impl<'a> Part<'a> {
    fn more(&self) -> Option<More<'a>> {
        let cursor = self.next.clone()?;
        Some(More {
            server: self.server,
            cursor,
            trail: self.trail.clone(),
        })
    }
}
