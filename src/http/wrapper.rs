//! The wrapper of `POST /rpc`: `{"server_id": …, "payload": …}` and nothing else.
//!
//! The payload is taken as it stands in the bytes and never parsed here. Any other member is refused,
//! so that no field of a request can ever come to mean something to how servers are started
//! (GHSA-wvr4-3wq4-gpc5).

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pieces;
use crate::fault::{Fault, FaultKind};
use crate::memory_budget::SMALL;
use crate::types::ServerId;

/// What the wrapper held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrapped {
    /// As it was written; not yet known to be an id.
    pub(super) server_id: String,
    /// One JSON value, byte for byte.
    pub(super) payload: Bytes,
}

/// Opens the wrapper; the payload shares the body's memory.
pub(super) fn open(body: &Bytes) -> Result<Wrapped, Fault> {
    // A byte order mark may be ignored (RFC 8259, 8.1); it is never passed on.
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let members: Members<'_> =
        serde_json::from_slice(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => {
                Fault::new(FaultKind::ParseError, "body is not json")
            }
            serde_json::error::Category::Data => Fault::new(
                FaultKind::InvalidRequest,
                "expected an object with exactly the members server_id (a string) and payload",
            ),
        })?;
    Ok(Wrapped {
        server_id: members.server_id.into_owned(),
        payload: body.slice_ref(members.payload.get().as_bytes()),
    })
}

/// Closes the wrapper around a reply, which is not parsed or re-serialised.
pub(super) fn close(server: &ServerId, reply: Bytes) -> Body {
    // A server id has no character that JSON would escape.
    let head = [r#"{"server_id":""#, server.as_str(), r#"","payload":"#];
    if reply.len() >= SMALL {
        return pieces::body([head.concat().into(), reply, "}".into()]);
    }
    let length = head.iter().map(|piece| piece.len()).sum::<usize>() + reply.len() + 1;
    let mut text = BytesMut::with_capacity(length);
    for piece in head {
        text.extend_from_slice(piece.as_bytes());
    }
    text.extend_from_slice(&reply);
    text.extend_from_slice(b"}");
    text.freeze().into()
}

/// A derived `Deserialize` would also take an array of two, so this one is written out.
struct Members<'a> {
    server_id: Cow<'a, str>,
    payload: &'a RawValue,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with server_id and payload")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut server_id: Option<Text<'de>> = None;
        let mut payload: Option<&'de RawValue> = None;
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "server_id" if server_id.is_none() => server_id = Some(map.next_value()?),
                "payload" if payload.is_none() => payload = Some(map.next_value()?),
                _ => return Err(A::Error::custom("unknown or repeated member")),
            }
        }
        let (Some(Text(server_id)), Some(payload)) = (server_id, payload) else {
            return Err(A::Error::custom("missing member"));
        };
        Ok(Members { server_id, payload })
    }
}

/// A string, borrowed where it has no escapes. (`Cow<str>` itself always copies.)
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::*;
    use proptest::prelude::*;

    fn opened(text: &'static str) -> Result<(String, String), FaultKind> {
        open(&Bytes::from_static(text.as_bytes()))
            .map(|wrapped| {
                let payload = String::from_utf8(wrapped.payload.to_vec()).unwrap();
                (wrapped.server_id, payload)
            })
            .map_err(|fault| fault.kind)
    }

    #[test]
    fn the_payload_is_the_bytes_between() {
        for (text, payload) in [
            (
                r#"{"server_id":"s1","payload":{"a" : 1.0e2}}"#,
                r#"{"a" : 1.0e2}"#,
            ),
            (
                "{ \"payload\" :\n[1,\n2] , \"server_id\":\"s1\" }\r\n",
                "[1,\n2]",
            ),
            ("\u{feff}{\"server_id\":\"s1\",\"payload\":null}", "null"),
            (
                r#"{"\u0073erver_id":"\u00731","payload":"\ud800"}"#,
                r#""\ud800""#,
            ),
        ] {
            assert_eq!(
                opened(text),
                Ok(("s1".to_owned(), payload.to_owned())),
                "{text:?}"
            );
        }
    }

    /// H052 and H053, of what the wrapper is.
    #[test]
    fn anything_but_the_two_members_is_refused() {
        for text in [
            r#"{"server_id":"s1","payload":{},"command":"sh"}"#,
            r#"{"server_id":"s1","server_id":"s2","payload":{}}"#,
            r#"{"server_id":"s1","payload":{},"payload":{}}"#,
            r#"{"payload":1,"server_id":"s1","p\u0061yload":2}"#,
            r#"{"Server_Id":"s1","payload":{}}"#,
            r#"{"server_id":1,"payload":{}}"#,
            r#"{"server_id":null,"payload":{}}"#,
            r#"{"server_id":["s1"],"payload":{}}"#,
            r#"{"server_id":"s1"}"#,
            r#"{"payload":{}}"#,
            "{}",
            r#"["s1",{}]"#,
            "null",
            "1",
        ] {
            assert_eq!(opened(text), Err(FaultKind::InvalidRequest), "{text:?}");
        }
        for text in [
            "",
            " ",
            "{",
            "nul",
            r#"{"server_id":"s1","payload":{}}x"#,
            "{'server_id':1}",
        ] {
            assert_eq!(opened(text), Err(FaultKind::ParseError), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_are_refused() {
        let body = Bytes::from_static(b"{\"server_id\":\"s1\",\"payload\":\"\xff\"}");
        assert_eq!(
            open(&body).map_err(|fault| fault.kind),
            Err(FaultKind::ParseError)
        );
    }

    #[test]
    fn a_deeply_nested_payload_does_not_grow_the_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let body = Bytes::from(format!(r#"{{"server_id":"s1","payload":{deep}}}"#));
        assert_eq!(open(&body).unwrap().payload, deep);
    }

    proptest! {
        #[test]
        fn what_is_closed_can_be_opened(id in "[A-Za-z0-9][A-Za-z0-9.-]{0,62}", text in any::<String>()) {
            prop_assume!(id.parse::<ServerId>().is_ok());
            let reply = Bytes::from(serde_json::to_vec(&text).unwrap());
            let closed = close(&id.parse().unwrap(), reply.clone()).collect();
            let closed = closed.now_or_never().unwrap().unwrap().to_bytes();
            let wrapped = Wrapped { server_id: id, payload: reply };
            prop_assert_eq!(open(&closed).map_err(|fault| fault.kind), Ok(wrapped));
        }
    }
}
