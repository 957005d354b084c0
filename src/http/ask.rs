//! What handlers want to know of a request: who asks, about which server, with which switches.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawPathParams};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::body::BodyMark;
use super::gate::LetIn;
use crate::fault::{Fault, FaultKind};
use crate::protocol::trace_context::TraceContext;
use crate::relay::{Caller, Door, RoutingHeaders, Target};
use crate::types::{Principal, ServerId};

/// The session of a client, as the MCP transport names it.
pub(super) static SESSION_HEADER: HeaderName = HeaderName::from_static("mcp-session-id");

// By name and not by text, which would be read anew for every request.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The one who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Principal, session and peer, as the relay takes them.
    pub(super) caller: Caller,
    /// To be set when the body was read.
    pub(super) mark: BodyMark,
}

impl Asker {
    /// Whom the gate let in, and what the headers say besides.
    pub(super) fn of(let_in: LetIn, headers: &HeaderMap) -> Result<Self, Fault> {
        Ok(Self {
            caller: Caller {
                principal: let_in.principal,
                door: Door::Raw,
                session: session(headers)?,
                headers: RoutingHeaders::default(),
                streams: false,
                prefers_stream: false,
                peer: let_in.peer,
                trace: trace(headers),
                quota: let_in.quota,
            },
            mark: let_in.mark,
        })
    }
}

/// Who was let in.
pub(super) fn principal(extensions: &http::Extensions) -> Result<Arc<Principal>, Fault> {
    Ok(Arc::clone(&let_in(extensions)?.principal))
}

/// What the gate told the router of a request.
pub(super) fn let_in(extensions: &http::Extensions) -> Result<&LetIn, Fault> {
    extensions.get().ok_or_else(unguarded)
}

/// Cannot happen while the gate is the outermost service; refused rather than served if it ever does.
fn unguarded() -> Fault {
    tracing::error!("a request came past the gate");
    Fault::new(FaultKind::InternalError, "internal error")
}

/// Fails for a principal without the right to start and stop servers.
pub(super) fn require_admin(principal: &Principal) -> Result<(), Fault> {
    if principal.admin {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::AuthDenied,
        "the token lacks the right to do this",
    ))
}

/// The caller's span, where the headers name a valid one (W3C Trace Context).
pub(super) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    TraceContext::parse(text(&TRACEPARENT)?, text(&TRACESTATE))
}

/// The session header, where there is one; what can be no session id is an unknown session.
fn session(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(&SESSION_HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(|text| Some(text.to_owned()))
            .map_err(|_opaque| Fault::new(FaultKind::SessionNotFound, "unknown session")),
        (Some(_), Some(_)) => Err(Fault::new(
            FaultKind::InvalidRequest,
            "more than one mcp-session-id header",
        )),
    }
}

/// The server in the path, percent-decoded once and not yet checked.
///
/// `/s%31/rpc` is `/s1/rpc`: an escape of a character that needs none is that character (RFC 3986, 6.2.2.2),
/// and what comes of it is parsed as an id and compared exactly. The words of a route are not decoded.
#[derive(Clone, Debug)]
pub(super) struct PathServer(Option<String>);

impl PathServer {
    /// The id; what cannot be one is an unknown server, and its text goes nowhere.
    pub(super) fn server(&self) -> Result<ServerId, Fault> {
        self.0
            .as_deref()
            .map_or_else(|| Err(unknown_server()), server_id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathServer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(path.ok().map(|Path(text)| text)))
    }
}

/// Whom a path is about: the server in it, or all servers where it has no place for one.
#[derive(Clone, Debug)]
pub(super) struct PathTarget(Result<Target, Fault>);

impl PathTarget {
    /// The target; what cannot be an id is an unknown server, and its text goes nowhere.
    pub(super) fn target(self) -> Result<Target, Fault> {
        self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathTarget {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // What cannot be decoded is an error here, so it cannot pass for a path without parameters.
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Ok(Self(Err(unknown_server())));
        };
        Ok(Self(match params.iter().next() {
            Some((_name, text)) => server_id(text).map(Target::Server),
            None => Ok(Target::All),
        }))
    }
}

/// A text as the id of a server.
pub(super) fn server_id(text: &str) -> Result<ServerId, Fault> {
    text.parse().map_err(|_invalid| unknown_server())
}

fn unknown_server() -> Fault {
    Fault::new(FaultKind::ServerNotFound, "unknown server_id")
}

/// Whether a switch stands in the query: `?wait`, `?wait=1` or `?wait=true`.
pub(super) fn switch(query: Option<&str>, name: &str) -> bool {
    query.is_some_and(|query| {
        query.split('&').any(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            key == name && matches!(value, "" | "1" | "true")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_switch_is_on_when_it_is_named() {
        for (query, on) in [
            ("wait", true),
            ("wait=", true),
            ("wait=1", true),
            ("a=b&wait=true", true),
            ("wait=0", false),
            ("wait=false", false),
            ("waiting", false),
            ("", false),
        ] {
            assert_eq!(switch(Some(query), "wait"), on, "{query:?}");
        }
        assert!(!switch(None, "wait"));
    }

    #[test]
    fn there_is_at_most_one_session() {
        let of = |values: &[&[u8]]| {
            let headers = values
                .iter()
                .map(|value| {
                    let name = SESSION_HEADER.clone();
                    (name, HeaderValue::from_bytes(value).unwrap())
                })
                .collect();
            session(&headers).map_err(|fault| fault.kind)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(of(&[b"a\xff"]), Err(FaultKind::SessionNotFound));
        assert_eq!(of(&[b"a", b"a"]), Err(FaultKind::InvalidRequest));
    }

    #[test]
    fn what_is_no_server_id_is_an_unknown_server() {
        assert_eq!(server_id("s1").unwrap().as_str(), "s1");
        for text in ["", "..", "s1\0", "s1\r\nX: 1", "health", "ѕ1", "a/b", "%zz"] {
            let fault = PathServer(Some(text.to_owned())).server().unwrap_err();
            assert_eq!(fault, unknown_server(), "{text:?}");
        }
        assert_eq!(PathServer(None).server().unwrap_err(), unknown_server());
    }
}
