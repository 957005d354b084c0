//! The headers of the MCP transport.

use std::borrow::Cow;

use http::HeaderMap;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol;
use crate::protocol::era::{MODERN_REVISION, REVISIONS, known_revision};
use crate::protocol::message::string;
use crate::relay::RoutingHeaders;

/// The revision that a client says it speaks.
pub(super) const VERSION: &str = "mcp-protocol-version";
/// The event after which a client wants its stream resumed (WHATWG HTML, 9.2.4).
const LAST_EVENT: &str = "last-event-id";

/// What a modern request may be routed by, as it came.
pub(super) fn routing(headers: &HeaderMap) -> RoutingHeaders {
    let headers = headers.iter();
    RoutingHeaders::pick(headers.map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// The revision in the header, where there is one; a revision that nobody knows is refused (MCP
/// 2025-11-25, basic/transports, Protocol Version Header). None means 2025-03-26 or a first message.
pub(super) fn version(headers: &HeaderMap) -> Result<Option<&'static str>, Fault> {
    let mut values = headers.get_all(VERSION).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else {
        return Ok(None);
    };
    if second.is_some() {
        let text = format!("more than one {VERSION} header");
        return Err(Fault::new(FaultKind::HeaderMismatch, text).delivered(Delivered::No));
    }
    let known = known_revision(value.as_bytes());
    known.map(Some).ok_or_else(|| {
        let text = format!(
            "unknown {VERSION}, expected one of {}",
            REVISIONS.join(", ")
        );
        Fault::new(FaultKind::UnsupportedVersion, text).delivered(Delivered::No)
    })
}

/// Refuses what the modern era does not have (MCP 2026-07-28, streamable-http: `GET` and `DELETE` are
/// 405), and revisions that nobody knows.
pub(super) fn require_legacy(headers: &HeaderMap) -> Result<(), Fault> {
    if version(headers)? == Some(MODERN_REVISION) {
        let text = format!("{MODERN_REVISION} has no sessions and no method but POST");
        return Err(Fault::new(FaultKind::MethodNotAllowed, text));
    }
    Ok(())
}

/// The revision that a message claims.
pub(super) fn claim(message: &[u8]) -> Option<Cow<'_, str>> {
    let envelope = protocol::scan(message).ok()?;
    let claim = envelope.params?.meta?.protocol_version?;
    string(claim.of(message))
}

/// The last event that a client saw of the stream that it resumes; an empty one is none.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(LAST_EVENT).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        let text = format!("more than one {LAST_EVENT} header");
        return Err(Fault::new(FaultKind::InvalidRequest, text));
    }
    // What is no text is no id of ours either, and that is for the relay to say.
    let id = first.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok(id.filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Sent;
    use http::HeaderValue;

    fn map(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(value).unwrap())
        });
        lines.collect()
    }

    #[test]
    fn routing_headers_are_as_opaque_as_they_came() {
        let headers = map(&[
            ("MCP-Protocol-Version", b"2026-07-28"),
            ("Mcp-Method", b"tools/call"),
            ("Mcp-Method", b"tools/list"),
            ("Mcp-Name", b"caf\xc3\xa9"),
            ("Mcp-Param-Region", b" =?base64?eA==?="),
            ("Mcp-Parameter", b"no"),
            ("Mcp-Session-Id", b"no"),
        ]);
        let expected = RoutingHeaders {
            version: Sent::Once("2026-07-28".into()),
            method: Sent::Repeatedly,
            name: Sent::Once("café".into()),
            params: vec![("region".to_owned(), " =?base64?eA==?=".into())],
        };
        assert_eq!(routing(&headers), expected);
        assert_eq!(routing(&HeaderMap::new()), RoutingHeaders::default());
    }

    #[test]
    fn a_known_revision_once_is_taken() {
        let of = |values: &[&[u8]]| {
            let lines: Vec<_> = values.iter().map(|value| (VERSION, *value)).collect();
            version(&map(&lines)).map_err(|fault| fault.kind)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"2025-06-18"]), Ok(Some("2025-06-18")));
        assert_eq!(of(&[b"2026-07-28"]), Ok(Some("2026-07-28")));
        for unknown in [&b"1999-01-01"[..], b"", b"2025-06-18, 2025-11-25", b"\xff"] {
            assert_eq!(of(&[unknown]), Err(FaultKind::UnsupportedVersion));
        }
        assert_eq!(
            of(&[b"2025-06-18", b"2025-06-18"]),
            Err(FaultKind::HeaderMismatch)
        );
    }

    #[test]
    fn only_the_modern_revision_has_no_sessions() {
        for (value, refused) in [
            ("2025-11-25", None),
            ("2024-11-05", None),
            ("2026-07-28", Some(FaultKind::MethodNotAllowed)),
            ("soon", Some(FaultKind::UnsupportedVersion)),
        ] {
            let outcome = require_legacy(&map(&[(VERSION, value.as_bytes())]));
            assert_eq!(outcome.err().map(|fault| fault.kind), refused, "{value}");
        }
        assert_eq!(require_legacy(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn the_last_event_is_one_and_not_empty() {
        let of = |values: &[&[u8]]| {
            let lines: Vec<_> = values.iter().map(|value| (LAST_EVENT, *value)).collect();
            last_event(&map(&lines)).map_err(|fault| fault.kind)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b""]), Ok(None));
        assert_eq!(of(&[b"s-7"]), Ok(Some("s-7".to_owned())));
        assert_eq!(of(&[b"a\xff"]), Ok(Some("a\u{fffd}".to_owned())));
        assert_eq!(of(&[b"1", b"2"]), Err(FaultKind::InvalidRequest));
    }

    #[test]
    fn a_claim_is_read_where_it_stands() {
        let claimed = br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"v9"}}}"#;
        assert_eq!(claim(claimed).as_deref(), Some("v9"));
        for none in [&b"{}"[..], b"[]", b"", br#"{"params":{"_meta":{}}}"#] {
            assert_eq!(claim(none), None);
        }
    }
}
