//! What hyper lets through and we do not: other transfer codings than `chunked`, and targets of an odd form.
//!
//! A request that something between us and its client may cut or read otherwise than we do is how one
//! request is smuggled inside another. hyper refuses most of them itself (see [`super::connection`]); it
//! takes any list of codings that ends with `chunked`, and any form of target with any method.
//!
//! Two things that it takes are harmless and stay: lines that end with a bare line feed (RFC 9112, 2.2),
//! and a fragment at the end of a target, which it drops before anybody looks at the target.

use http::header::TRANSFER_ENCODING;
use http::uri::{Scheme, Uri};
use http::{HeaderMap, Method};

use crate::fault::{Fault, FaultKind};

/// Refuses a request whose body or target could be read in two ways.
pub(super) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let refuse = |message| Err(Fault::new(FaultKind::InvalidRequest, message));
    if !is_plainly_coded(headers) {
        return refuse("unsupported transfer-encoding, expected chunked alone");
    }
    if !is_target(method, uri) {
        return refuse("unsupported request target, expected a path");
    }
    Ok(())
}

/// No `Transfer-Encoding`, or exactly one that is exactly `chunked`: no other coding would be decoded
/// (RFC 9112, 7), so what the body is would be left to whoever reads it.
fn is_plainly_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// The forms of RFC 9112, 3.2: a path, or the whole URI of one; an authority with `CONNECT` and `*` with
/// `OPTIONS` only.
fn is_target(method: &Method, uri: &Uri) -> bool {
    match (uri.scheme(), uri.authority()) {
        (None, Some(_)) => *method == Method::CONNECT,
        (None, None) => {
            uri.path().starts_with('/') || (*method == Method::OPTIONS && uri.path() == "*")
        }
        (Some(scheme), _) => *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// H012, of those that hyper takes.
    #[test]
    fn a_body_is_chunked_once_or_not_at_all() {
        for (codings, taken) in [
            (&[][..], true),
            (&["chunked"], true),
            (&["Chunked"], true),
            (&["chunked", "chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["gzip, chunked"], false),
            (&["identity"], false),
            (&["chunked;q=1"], false),
            (&[""], false),
        ] {
            let headers = codings
                .iter()
                .map(|coding| (TRANSFER_ENCODING, HeaderValue::from_static(coding)))
                .collect();
            let outcome = check(&Method::POST, &Uri::from_static("/rpc"), &headers);
            assert_eq!(outcome.is_ok(), taken, "{codings:?}");
        }
    }

    /// H024, of the forms that name no authority, or one that nobody may name here.
    #[test]
    fn a_target_is_a_path_or_the_uri_of_one() {
        for (method, target, taken) in [
            (Method::GET, "/health", true),
            (Method::GET, "//evil.example/health", true),
            (Method::GET, "http://localhost/health", true),
            (Method::GET, "HTTPS://localhost", true),
            (Method::GET, "ftp://localhost/health", false),
            (Method::GET, "*", false),
            (Method::OPTIONS, "*", true),
            (Method::GET, "localhost:80", false),
            (Method::OPTIONS, "localhost:80", false),
            (Method::CONNECT, "localhost:80", true),
        ] {
            let outcome = check(&method, &Uri::from_static(target), &HeaderMap::new());
            assert_eq!(outcome.is_ok(), taken, "{method} {target}");
        }
    }
}
