//! From a fault to a response: the status, the body, and the headers that go with it.
//!
//! The body is `{"error":{"error_code","message","server_id","request_id","delivered","retry_after_ms"}}`;
//! members that do not apply are left out. Nothing of the request is in it but a server id that has
//! been parsed and the request's own JSON-RPC id.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::message::string;
use crate::relay::Failure;
use crate::types::ServerId;

/// How long a client is told to wait where the fault itself does not say.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

/// A fault on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    fault: Fault,
    server: Option<ServerId>,
    request_id: Option<String>,
}

impl Problem {
    /// The fault that it tells of.
    pub(super) fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The same problem, naming the server that it is about.
    #[must_use]
    pub(super) fn of(mut self, server: &ServerId) -> Self {
        self.server = Some(server.clone());
        self
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            server: None,
            request_id: None,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let Failure { fault, id, era: _ } = failure;
        Self {
            fault,
            server: None,
            request_id: id.as_ref().and_then(id_text),
        }
    }
}

/// A JSON-RPC id as text: a string without its quotes and escapes, a number digit for digit.
fn id_text(raw: &Bytes) -> Option<String> {
    if raw.starts_with(b"\"") {
        string(raw).map(Cow::into_owned)
    } else {
        std::str::from_utf8(raw).ok().map(str::to_owned)
    }
}

/// The status of each kind of fault.
pub fn status(kind: FaultKind) -> StatusCode {
    match kind {
        FaultKind::ParseError
        | FaultKind::InvalidRequest
        | FaultKind::InvalidParams
        | FaultKind::HeaderMismatch
        | FaultKind::MissingCapability
        | FaultKind::UnsupportedVersion => StatusCode::BAD_REQUEST,
        FaultKind::AuthFailed => StatusCode::UNAUTHORIZED,
        FaultKind::AuthDenied | FaultKind::HostDenied | FaultKind::OriginDenied => {
            StatusCode::FORBIDDEN
        }
        FaultKind::NotFound
        | FaultKind::ServerNotFound
        | FaultKind::SessionNotFound
        | FaultKind::MethodNotFound => StatusCode::NOT_FOUND,
        FaultKind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        FaultKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        FaultKind::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        // Standard codes have none for "the caller took it back"; the request met a state of its own.
        FaultKind::RequestCancelled | FaultKind::ServerDisabled => StatusCode::CONFLICT,
        FaultKind::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FaultKind::UriTooLong => StatusCode::URI_TOO_LONG,
        FaultKind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        FaultKind::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        FaultKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        FaultKind::ServerStarting
        | FaultKind::ServerFailed
        | FaultKind::ServerStopped
        | FaultKind::ServerBusy
        | FaultKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        FaultKind::ServerLost | FaultKind::ReplyTooLarge | FaultKind::BadReply => {
            StatusCode::BAD_GATEWAY
        }
        FaultKind::ServerTimeout => StatusCode::GATEWAY_TIMEOUT,
        FaultKind::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The kinds that always say when to come back, even where the fault does not.
fn wants_retry_after(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::RateLimited | FaultKind::ServerStarting | FaultKind::ServerBusy
    )
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Members<'a>,
}

#[derive(Serialize)]
struct Members<'a> {
    error_code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_id: Option<&'a ServerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self {
            fault,
            server,
            request_id,
        } = self;
        let retry_after = retry_after(&fault);
        let envelope = Envelope {
            error: Members {
                error_code: fault.kind.code(),
                message: &fault.message,
                server_id: server.as_ref(),
                request_id: request_id.as_deref(),
                delivered: fault.delivered.map(Delivered::as_str),
                retry_after_ms: retry_after
                    .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            },
        };
        let mut response = json(&envelope);
        *response.status_mut() = status(fault.kind);
        add_headers(response.headers_mut(), &fault);
        response
    }
}

/// When to come back, where the fault or its kind says so.
fn retry_after(fault: &Fault) -> Option<Duration> {
    fault
        .retry_after
        .or_else(|| wants_retry_after(fault.kind).then_some(DEFAULT_RETRY))
}

/// The headers that go with the status of a fault.
pub(super) fn add_headers(headers: &mut HeaderMap, fault: &Fault) {
    if let Some(after) = retry_after(fault) {
        // Whole seconds (RFC 9110, 10.2.3), rounded up: coming back too early helps nobody.
        let seconds = after.as_millis().div_ceil(1000).max(1);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if fault.kind == FaultKind::AuthFailed {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if fault.kind == FaultKind::ShuttingDown {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// A value as a JSON response with status 200.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => json_bytes(text.into()),
        Err(error) => {
            tracing::error!(%error, "cannot write a response as json: {error}");
            let mut response = json_bytes(Bytes::from_static(
                br#"{"error":{"error_code":"internal_error","message":"internal error"}}"#,
            ));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Text that is JSON already, as a response with status 200.
pub(super) fn json_bytes(text: Bytes) -> Response {
    json_body(Body::from(text))
}

/// The same, of a text that may come in pieces.
pub(super) fn json_body(text: Body) -> Response {
    let mut response = Response::new(text);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// Status, body, and the headers that depend on the fault.
    async fn told(problem: impl Into<Problem>) -> (u16, String, Vec<String>) {
        let response = problem.into().into_response();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let headers = [CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE]
            .into_iter()
            .filter_map(|name| {
                let value = parts.headers.get(&name)?.to_str().ok()?;
                Some(format!("{name}: {value}"))
            })
            .collect();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        (parts.status.as_u16(), text, headers)
    }

    #[test]
    fn every_kind_has_the_status_of_the_catalogue() {
        let table: Vec<_> = FaultKind::ALL
            .iter()
            .map(|kind| format!("{} {}", status(*kind).as_u16(), kind.code()))
            .collect();
        let expected = "400 invalid_request|400 invalid_request|401 auth_failed|403 auth_denied|\
            403 host_denied|403 origin_denied|404 not_found|404 server_not_found|\
            404 session_not_found|405 method_not_allowed|406 not_acceptable|408 body_timeout|\
            413 payload_too_large|414 uri_too_long|415 unsupported_media_type|\
            431 headers_too_large|429 rate_limited|503 server_starting|503 server_failed|\
            503 server_stopped|409 server_disabled|503 server_busy|502 server_lost|504 server_timeout|\
            400 unsupported_version|400 invalid_params|404 method_not_found|\
            400 header_mismatch|400 missing_capability|\
            502 reply_too_large|502 bad_reply|503 shutting_down|409 request_cancelled|\
            500 internal_error";
        assert_eq!(table.join("|"), expected);
    }

    #[tokio::test]
    async fn the_published_shape_is_kept() {
        let problem = Problem::from(Failure {
            fault: Fault::new(FaultKind::ServerNotFound, "unknown server_id"),
            id: Some(Bytes::from_static(b"1")),
            era: crate::protocol::Era::Legacy,
        });
        let expected = r#"{"error":{"error_code":"server_not_found","message":"unknown server_id","server_id":"host-service","request_id":"1"}}"#;
        let told = told(problem.of(&"host-service".parse().unwrap())).await;
        assert_eq!(told, (404, expected.to_owned(), vec![]));
    }

    #[tokio::test]
    async fn delivery_and_retry_are_told_where_they_are_known() {
        let fault = Fault::new(FaultKind::ServerBusy, "too many requests")
            .delivered(Delivered::No)
            .retry_after(Duration::from_millis(1001));
        let body = r#"{"error":{"error_code":"server_busy","message":"too many requests","delivered":"no","retry_after_ms":1001}}"#;
        let headers = vec!["retry-after: 2".to_owned()];
        assert_eq!(told(fault).await, (503, body.to_owned(), headers));
    }

    #[tokio::test]
    async fn some_kinds_bring_headers_of_their_own() {
        for (kind, expected) in [
            (FaultKind::AuthFailed, vec!["www-authenticate: Bearer"]),
            (FaultKind::ShuttingDown, vec!["connection: close"]),
            (FaultKind::RateLimited, vec!["retry-after: 1"]),
            (FaultKind::ServerStarting, vec!["retry-after: 1"]),
            (FaultKind::ServerFailed, vec![]),
        ] {
            assert_eq!(told(Fault::new(kind, "x")).await.2, expected, "{kind:?}");
        }
    }

    #[test]
    fn an_id_keeps_its_digits_and_loses_its_quotes() {
        for (raw, text) in [
            ("7", Some("7")),
            ("-12345678901234567890123", Some("-12345678901234567890123")),
            (r#""a\"b\u00e9""#, Some("a\"b\u{e9}")),
            (r#""\ud800""#, None),
        ] {
            let raw = Bytes::from_static(raw.as_bytes());
            assert_eq!(id_text(&raw).as_deref(), text, "{raw:?}");
        }
    }
}
