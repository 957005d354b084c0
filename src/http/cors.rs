//! CORS (WHATWG Fetch, 3.2): pages of the origins in `allowed_origins` may call the gateway and read its answers.
//!
//! The origin was checked before any of this, so other origins hear nothing but a refusal. There are no cookies and
//! no other credentials that a browser adds by itself, so `Access-Control-Allow-Credentials` is never sent, and neither
//! is `*`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// The headers of a response that a page may read, beside those that every page may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate, Retry-After");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
/// The headers of a request that a page may send.
const REQUEST_HEADERS: [&str; 10] = [
    "accept",
    "authorization",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "traceparent",
    "tracestate",
];
/// Further ones, named by the tools of servers (MCP 2026-07-28, streamable-http).
const PARAM_PREFIX: &str = "mcp-param-";
/// For how many seconds a browser may remember the answer; Chromium takes no more.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
static ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Whether a browser asks if it may send a request. It asks without a token.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight from an origin that is let in. It is the same for every path.
pub(super) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = (StatusCode::NO_CONTENT, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(allowed) = allowed_headers(asked) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if asked.contains_key(&REQUEST_PRIVATE_NETWORK) {
        let allowed = HeaderValue::from_static("true");
        headers.insert(ALLOW_PRIVATE_NETWORK.clone(), allowed);
    }
    response
}

/// Those of the headers asked for that a page may send.
fn allowed_headers(asked: &HeaderMap) -> Option<HeaderValue> {
    let lines = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|name| name.trim_matches([' ', '\t']).to_ascii_lowercase());
    let allowed: Vec<_> = names
        .filter(|name| REQUEST_HEADERS.contains(&&**name) || is_param(name))
        .collect();
    (!allowed.is_empty())
        .then(|| HeaderValue::from_str(&allowed.join(", ")).ok())
        .flatten()
}

fn is_param(name: &str) -> bool {
    name.starts_with(PARAM_PREFIX) && HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Lets the pages of an origin read a response.
pub(super) fn allow(response: &mut HeaderMap, origin: HeaderValue) {
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RF03: what MCP clients send is allowed as it was asked for, and nothing else is.
    #[test]
    fn the_headers_of_mcp_are_allowed_and_no_others() {
        let allowed = |lines: &[&'static str]| {
            let asked = lines
                .iter()
                .map(|line| {
                    let line = HeaderValue::from_static(line);
                    (ACCESS_CONTROL_REQUEST_HEADERS, line)
                })
                .collect();
            allowed_headers(&asked).map(|value| value.to_str().unwrap().to_owned())
        };
        for (asked, expected) in [
            (
                &["authorization,content-type"][..],
                Some("authorization, content-type"),
            ),
            (
                &["Mcp-Session-Id , x-forwarded-for", "mcp-param-region"],
                Some("mcp-session-id, mcp-param-region"),
            ),
            (&["x-other", ""], None),
            (&["mcp-param-a b"], None),
            (&[], None),
        ] {
            assert_eq!(allowed(asked).as_deref(), expected, "{asked:?}");
        }
    }
}
