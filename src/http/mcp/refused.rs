//! What a client is told when its message failed: a JSON-RPC error, and the status that goes with it.
//!
//! Clients of the legacy era show an error in a response with status 200 to their users and drop the
//! connection on anything else, so there only what the transport names has a status of its own. The
//! modern era gives statuses to more (MCP 2026-07-28, basic/transports/streamable-http).

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, StatusCode};

use super::{form, headers};
use crate::fault::{Fault, FaultKind};
use crate::http::negotiate::Offer;
use crate::http::{error, rpc};
use crate::protocol::Era;
use crate::relay::{ErrorMessage, Failure, Target};
use crate::types::ServerId;

/// A message that failed.
#[derive(Debug)]
pub(in crate::http) struct Refused {
    failure: Failure,
    server: Option<ServerId>,
    requested: Option<String>,
    form: Offer,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            server: None,
            requested: None,
            form: Offer::Json,
        }
    }
}

impl From<Fault> for Refused {
    /// A fault of the transport, in which the eras do not differ.
    fn from(fault: Fault) -> Self {
        unread(fault).into()
    }
}

/// The failure of a message that was not read.
pub(super) fn unread(fault: Fault) -> Failure {
    Failure {
        fault,
        id: None,
        era: Era::Legacy,
    }
}

impl Refused {
    /// The same, naming the server that it is about.
    #[must_use]
    pub(super) fn at(mut self, target: &Target) -> Self {
        self.server = match target {
            Target::Server(server) => Some(server.clone()),
            Target::All => None,
        };
        self
    }

    /// The same, with the id of the message, and with the revision that a refusal of one has to repeat:
    /// the claim of the message, else the header (MCP 2026-07-28, `UnsupportedProtocolVersion`).
    #[must_use]
    pub(super) fn about(mut self, message: &Bytes, header: Option<&[u8]>) -> Self {
        // What fails before the message is read, such as an unknown server, still names the request.
        let id = self.failure.id.take();
        self.failure.id = id.or_else(|| rpc::request_id(message));
        if self.failure.fault.kind == FaultKind::UnsupportedVersion {
            let header = || header.map(String::from_utf8_lossy);
            let requested = headers::claim(message).or_else(header);
            self.requested = requested.map(Into::into);
        }
        self
    }

    /// The same, in the form that the client takes.
    #[must_use]
    pub(super) fn in_form(mut self, form: Offer) -> Self {
        self.form = form;
        self
    }

    /// The JSON-RPC error.
    pub(super) fn message(&self) -> Result<Bytes, serde_json::Error> {
        let Failure { fault, id, era: _ } = &self.failure;
        let message = ErrorMessage {
            id: id.as_deref(),
            fault,
            server: self.server.as_ref(),
            requested: self.requested.as_deref(),
        };
        message.to_json().map(Bytes::from)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Ok(message) = self.message() else {
            let fault = Fault::new(FaultKind::InternalError, "internal error");
            return error::Problem::from(fault).into_response();
        };
        let Failure { fault, id, era } = &self.failure;
        let status = status_of_fault(*era, fault.kind, id.is_some());
        let mut response = form::one(message, status, self.form);
        if status != StatusCode::OK {
            error::add_headers(response.headers_mut(), fault);
        }
        if fault.kind == FaultKind::MethodNotAllowed {
            let allowed = HeaderValue::from_static("POST");
            response.headers_mut().insert(ALLOW, allowed);
        }
        response
    }
}

/// The status of a failure of ours. Without an id there is nothing in-band to answer, so the status
/// has to say it.
fn status_of_fault(era: Era, kind: FaultKind, has_id: bool) -> StatusCode {
    let own = error::status(kind);
    let in_band = match kind {
        // What a server or the gateway could not do.
        FaultKind::RateLimited
        | FaultKind::ServerStarting
        | FaultKind::ServerFailed
        | FaultKind::ServerStopped
        | FaultKind::ServerBusy
        | FaultKind::ServerLost
        | FaultKind::ServerTimeout
        | FaultKind::ReplyTooLarge
        | FaultKind::BadReply
        | FaultKind::ShuttingDown
        | FaultKind::RequestCancelled
        | FaultKind::InternalError => true,
        // What the method could not do: the modern era has statuses for it.
        FaultKind::InvalidParams | FaultKind::MethodNotFound => era == Era::Legacy,
        // What is wrong with the message or with the request around it.
        FaultKind::ParseError
        | FaultKind::InvalidRequest
        | FaultKind::UnsupportedVersion
        | FaultKind::HeaderMismatch
        | FaultKind::MissingCapability
        | FaultKind::NotFound
        | FaultKind::ServerNotFound
        | FaultKind::ServerDisabled
        | FaultKind::SessionNotFound
        | FaultKind::MethodNotAllowed
        | FaultKind::NotAcceptable
        | FaultKind::BodyTimeout
        | FaultKind::PayloadTooLarge
        | FaultKind::UriTooLong
        | FaultKind::UnsupportedMediaType
        | FaultKind::HeadersTooLarge
        | FaultKind::AuthFailed
        | FaultKind::AuthDenied
        | FaultKind::HostDenied
        | FaultKind::OriginDenied => false,
    };
    if in_band && has_id {
        StatusCode::OK
    } else {
        own
    }
}

/// The status of a response whose error, if it is one, has this code; whoever wrote it (MCP 2026-07-28,
/// streamable-http: 404 for -32601, 400 for -32020 to -32022).
pub(super) fn status_of_reply(era: Era, error: Option<i64>) -> StatusCode {
    match (era, error) {
        (Era::Modern, Some(-32601)) => StatusCode::NOT_FOUND,
        (Era::Modern, Some(-32022..=-32020)) => StatusCode::BAD_REQUEST,
        (Era::Modern | Era::Legacy, _) => StatusCode::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Delivered;
    use http_body_util::BodyExt;

    async fn told(refused: Refused) -> (u16, String) {
        let (parts, body) = refused.into_response().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (parts.status.as_u16(), body)
    }

    /// The kinds that have this status, answered in this era.
    fn kinds_with(status: u16, era: Era, has_id: bool) -> Vec<FaultKind> {
        let kinds = FaultKind::ALL.iter().copied();
        kinds
            .filter(|kind| status_of_fault(era, *kind, has_id).as_u16() == status)
            .collect()
    }

    #[test]
    fn each_era_has_its_statuses() {
        let bad = [
            FaultKind::ParseError,
            FaultKind::InvalidRequest,
            FaultKind::UnsupportedVersion,
            FaultKind::HeaderMismatch,
            FaultKind::MissingCapability,
        ];
        let mut modern = bad.to_vec();
        modern.insert(3, FaultKind::InvalidParams);
        assert_eq!(kinds_with(400, Era::Legacy, true), bad);
        assert_eq!(kinds_with(400, Era::Modern, true), modern);
        let unknown = [
            FaultKind::NotFound,
            FaultKind::ServerNotFound,
            FaultKind::SessionNotFound,
        ];
        let mut modern = unknown.to_vec();
        modern.push(FaultKind::MethodNotFound);
        assert_eq!(kinds_with(404, Era::Legacy, true), unknown);
        assert_eq!(kinds_with(404, Era::Modern, true), modern);
        for era in [Era::Legacy, Era::Modern] {
            assert!(kinds_with(200, era, true).contains(&FaultKind::ServerStopped));
            assert_eq!(kinds_with(200, era, false), [], "nothing is in-band");
        }
    }

    #[test]
    fn a_response_of_a_servers_own_has_the_status_of_its_error_in_the_modern_era() {
        for (error, modern) in [
            (None, 200),
            (Some(-32601), 404),
            (Some(-32019), 200),
            (Some(-32020), 400),
            (Some(-32022), 400),
            (Some(-32023), 200),
            (Some(-32602), 200),
        ] {
            assert_eq!(status_of_reply(Era::Modern, error), modern, "{error:?}");
            assert_eq!(status_of_reply(Era::Legacy, error), 200, "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_revision_is_repeated_with_those_that_are_served() {
        let fault = || Fault::new(FaultKind::UnsupportedVersion, "unknown");
        let supported =
            r#""supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"]"#;
        let claim = r#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"v9"}}}"#;
        for (message, id, requested) in [
            (claim, r#""id":"a","#, "v9"),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"m"}"#,
                r#""id":7,"#,
                "v8",
            ),
            ("", "", "v8"),
        ] {
            let refused = Refused::from(fault())
                .about(&message.into(), Some(b"v8"))
                .at(&Target::Server("s1".parse().unwrap()));
            let expected = format!(
                r#"{{"jsonrpc":"2.0",{id}"error":{{"code":-32022,"message":"unknown","data":{{"origin":"gateway","error_code":"unsupported_version","server_id":"s1",{supported},"requested":"{requested}"}}}}}}"#
            );
            assert_eq!(told(refused).await, (400, expected));
        }
    }

    #[tokio::test]
    async fn the_error_is_an_event_for_who_takes_events_only() {
        let fault = Fault::new(FaultKind::ServerStopped, "stopped").delivered(Delivered::No);
        let refused = Refused::from(fault)
            .about(&r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#.into(), None)
            .at(&Target::All)
            .in_form(Offer::EventStream);
        let expected = concat!(
            r#"data: {"jsonrpc":"2.0","id":1,"error":{"code":-31003,"message":"stopped","#,
            r#""data":{"origin":"gateway","error_code":"server_stopped","delivered":"no"}}}"#,
            "\n\n"
        );
        assert_eq!(told(refused).await, (200, expected.to_owned()));
    }

    #[test]
    fn what_has_no_id_brings_the_headers_of_its_status() {
        let stopping = Fault::new(FaultKind::ShuttingDown, "shutting down");
        let response = Refused::from(stopping).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["connection"], "close");
        let modern = Fault::new(FaultKind::MethodNotAllowed, "POST only");
        let response = Refused::from(modern).into_response();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "POST");
    }
}
