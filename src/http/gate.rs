//! The gate in front of every route, of unknown paths and of every method.
//!
//! It wraps the router as a whole, so no route can be added outside of it (CVE-2026-33032 is one route
//! without its layer). In this order: who may enter ([`admission`]), whether we are shutting down,
//! the size and the form of the head, the token's share. What comes out has the headers that all
//! responses have, and is logged once.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, ORIGIN, PROXY_AUTHORIZATION, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body::Body as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::address_counts::AddressCounts;
use super::admission::{self, Admitted, Check, Refused};
use super::ask;
use super::body::BodyMark;
use super::connection::{Answers, ConnectionContext};
use super::cors;
use super::error::Problem;
use super::held::Held;
use super::refusals::RefusalLog;
use super::routes;
use super::rules::{Rulebook, Rules};
use super::strict;
use super::tls::HandshakeFault;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::{HttpRequest, Instruments};
use crate::spans::{self, HttpCall, HttpSpan};
use crate::types::{Principal, PrincipalId, QuotaPermit, wall};

/// The longest request target, in bytes.
const MAX_TARGET: usize = 8 * 1024;

/// The largest header block, names and values, in bytes.
const MAX_HEADER_BLOCK: usize = 32 * 1024;

/// The longest body, in bytes, that keeps nobody waiting: it is looked through in a tenth of a millisecond.
const LARGE_BODY: u64 = 64 * 1024;

/// How long the token that a request was let in by is good, for streams that would outlive it.
#[derive(Clone, Debug, Default)]
pub(super) struct Validity {
    /// When it expires.
    pub(super) until: Option<Instant>,
    /// It was taken out of the config.
    pub(super) revoked: CancellationToken,
}

/// What the gate tells those behind it of a request that it let in.
#[derive(Clone, Debug)]
pub(super) struct LetIn {
    pub(super) principal: Arc<Principal>,
    /// Where its connection comes from.
    pub(super) peer: SocketAddr,
    /// To be set when the body was read.
    pub(super) mark: BodyMark,
    pub(super) validity: Validity,
    /// What it takes of its token's quota.
    pub(super) quota: Option<QuotaPermit>,
}

/// Everything that the gate decides by.
pub(super) struct Guard {
    pub(super) rulebook: Rulebook,
    pub(super) drain: CancellationToken,
    pub(super) instruments: Instruments,
    /// `https` with TLS of our own, else `http`; for spans.
    scheme: &'static str,
    failed_auth: AddressCounts,
    refusals: RefusalLog,
}

impl Guard {
    /// Decides by these rules; `drain` turns requests away once it is cancelled. `scheme` is `https` with TLS of
    /// our own, else `http`.
    pub(super) fn new(
        rulebook: Rulebook,
        scheme: &'static str,
        drain: CancellationToken,
        instruments: Instruments,
    ) -> Self {
        Self {
            rulebook,
            drain,
            instruments,
            scheme,
            failed_auth: AddressCounts::default(),
            refusals: RefusalLog::default(),
        }
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rulebook.rules()
    }

    /// Notes a peer that is closed before it said anything.
    pub(super) fn turn_away(&self, refused: Refused) {
        let _nobody_to_tell = self.refuse(&self.rules(), refused, None);
    }

    /// Notes a connection whose handshake came to nothing.
    pub(super) fn handshake_failed(&self, peer: IpAddr, fault: &HandshakeFault) {
        self.instruments.handshake_failed(fault.as_str());
        self.refusals.note_handshake(fault, peer, Instant::now());
    }

    /// Logs an order that was refused, unless its peer has had many refused lately.
    pub(super) fn order_refused(&self, peer: IpAddr, log: impl FnOnce()) {
        self.refusals.note_order(peer, Instant::now(), log);
    }

    /// What a request is told that was refused by these rules; `parts` is its head, where there was one.
    ///
    /// Failed authentications are counted by address, and over the limit the answer is 429. A right
    /// token always passes: it is compared before anything is counted, so nobody behind a shared
    /// address can lock another out, and the comparison is too cheap to need protection.
    fn refuse(&self, rules: &Rules, refused: Refused, parts: Option<&Parts>) -> Fault {
        let fault = self.refusal(rules, refused, parts);
        self.instruments.refused(fault.kind);
        fault
    }

    /// The cause is found by the rules that have refused it: by those of a reload since, it might be another.
    fn refusal(&self, rules: &Rules, refused: Refused, parts: Option<&Parts>) -> Fault {
        let Refused { check, client } = refused;
        let now = Instant::now();
        let detail = || parts.and_then(|parts| rules.admission.refusal_detail(check, parts));
        self.refusals.note(check, client, detail, now);
        if check != Check::Token {
            return check.fault();
        }
        let counted = self.failed_auth.count(client, now);
        if counted.count <= rules.failed_auth_per_minute {
            return check.fault();
        }
        Fault::new(FaultKind::RateLimited, "too many failed authentications")
            .retry_after(counted.remaining)
    }
}

/// What lies behind the gate: it answers the requests that were let in.
pub(super) trait Behind: Send + Sync + 'static {
    /// The answer to a request.
    fn serve(&self, let_in: LetIn, request: Request<Body>)
    -> impl Future<Output = Response> + Send;
}

/// The handlers of a router find in the extensions of the request what the gate tells of it.
impl Behind for Router {
    fn serve(
        &self,
        let_in: LetIn,
        mut request: Request<Body>,
    ) -> impl Future<Output = Response> + Send {
        request.extensions_mut().insert(let_in);
        self.clone()
            .oneshot(request)
            .map(|answered| answered.unwrap_or_else(|never| match never {}))
    }
}

/// The gate with what lies behind it.
pub(super) struct Gate<S> {
    guard: Arc<Guard>,
    inner: S,
}

impl<S> Gate<S> {
    /// Puts the gate before a service.
    pub(super) fn new(guard: Arc<Guard>, inner: S) -> Self {
        Self { guard, inner }
    }
}

impl<S: Behind> Answers for Gate<S> {
    async fn answer(&self, connection: &ConnectionContext, request: Request<Body>) -> Response {
        let Self { guard, inner } = self;
        let peer = connection.peer;
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        let rules = guard.rules();
        let mark = BodyMark::default();
        let has_body = !body.is_end_stream();
        // Who was not let in gives the place of the connection back.
        let mut closes = false;

        let admitted = admission::admit(&rules.admission, peer.ip(), &parts, wall::now());
        // Only the origins that are let in get as far as the check of the token.
        let origin = match &admitted {
            Ok(_) => parts.headers.get(ORIGIN).cloned(),
            Err(refused) if refused.check == Check::Token => parts.headers.get(ORIGIN).cloned(),
            Err(_) => None,
        };
        let mut response = match admitted {
            _ if origin.is_some() && cors::is_preflight(&parts) => cors::preflight(&parts.headers),
            Err(refused) => {
                closes = true;
                let fault = guard.refuse(&rules, refused, Some(&parts));
                Problem::from(fault).into_response()
            }
            Ok(Admitted {
                principal,
                client,
                valid_for,
                revoked,
            }) => {
                connection.authenticate();
                if let Some(uri) = routes::without_slash(&parts.uri) {
                    parts.uri = uri;
                }
                let is_heavy = rules.shares.is_divided()
                    && (rules.shares.is_crowd(principal.id) || may_be_large(&body));
                let path = parts.uri.path();
                connection.settle(&principal, path, is_heavy).await;
                let watch = Watch::start(guard, &parts, peer, started);
                tracing::trace!(%client, principal = %principal.name, "request let in");
                let name = Arc::clone(&principal.name);
                // Nothing further in has a use for the token, so nothing further in can leak it.
                parts.headers.remove(AUTHORIZATION);
                parts.headers.remove(PROXY_AUTHORIZATION);
                let id = principal.id;
                // An end beyond what the clock can say is no end.
                let until = valid_for.and_then(|valid| started.checked_add(valid));
                let let_in = LetIn {
                    principal,
                    peer,
                    mark: mark.clone(),
                    validity: Validity { until, revoked },
                    quota: None,
                };
                let request = Request::from_parts(parts, body);
                let behind = |quota, request| inner.serve(LetIn { quota, ..let_in }, request);
                let passed = pin!(pass(guard, &rules, id, behind, request));
                let caught = AssertUnwindSafe(passed).catch_unwind();
                let response = watch
                    .span
                    .around(caught)
                    .await
                    .unwrap_or_else(|panic| internal_error(panic.as_ref()));
                watch.end(&response, &name);
                response
            }
        };

        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(origin) = origin {
            cors::allow(headers, origin);
        }
        if closes || (has_body && !mark.is_read()) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// From admission to the route.
async fn pass(
    guard: &Guard,
    rules: &Rules,
    principal: PrincipalId,
    behind: impl AsyncFnOnce(Option<QuotaPermit>, Request<Body>) -> Response,
    request: Request<Body>,
) -> Response {
    let refuse = |fault: Fault| Problem::from(fault).into_response();
    if guard.drain.is_cancelled() {
        let fault = Fault::new(FaultKind::ShuttingDown, "the gateway is shutting down");
        return refuse(fault.delivered(Delivered::No));
    }
    if target_length(&request) > MAX_TARGET {
        let message = "request target over the cap of 8192 bytes";
        return refuse(Fault::new(FaultKind::UriTooLong, message));
    }
    if header_length(request.headers()) > MAX_HEADER_BLOCK {
        let message = "headers over the cap of 32768 bytes";
        return refuse(Fault::new(FaultKind::HeadersTooLarge, message));
    }
    if let Err(fault) = strict::check(request.method(), request.uri(), request.headers()) {
        return refuse(fault);
    }
    // Only what can wait takes of the share: a token at its limit can still look at `/health`, and
    // event streams have a share of their own.
    let permit = if request.method() == Method::POST {
        match rules.shares.request(principal) {
            Ok(permit) => Some(permit),
            Err(fault) => return refuse(fault),
        }
    } else {
        None
    };
    let response = behind(permit.clone(), request).await;
    match permit {
        // Under way until the last byte was taken: a slow reader holds the memory of its reply.
        Some(permit) => response.map(|body| Body::new(Held::new(body, permit))),
        None => response,
    }
}

fn internal_error(panic: &(dyn Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(message, "a request handler panicked: {message}");
    Problem::from(Fault::new(FaultKind::InternalError, "internal error")).into_response()
}

/// Whether a body takes long to read and to look through, or does not say how long it is.
fn may_be_large(body: &Body) -> bool {
    let length = body.size_hint().upper();
    length.is_none_or(|length| length > LARGE_BODY)
}

fn target_length(request: &Request<Body>) -> usize {
    let uri = request.uri();
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    authority + path
}

fn header_length(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
        .sum()
}

/// One request that was let in, from its start to its response, whichever way it ends.
struct Watch {
    method: Method,
    route: Option<&'static str>,
    started: Instant,
    measured: HttpRequest,
    span: HttpSpan,
}

impl Watch {
    fn start(guard: &Guard, parts: &Parts, peer: SocketAddr, started: Instant) -> Self {
        let route = routes::template(parts.uri.path());
        let span = if spans::enabled() {
            let trace = ask::trace(&parts.headers);
            HttpSpan::start(&HttpCall {
                method: parts.method.as_str(),
                route,
                path: parts.uri.path(),
                scheme: guard.scheme,
                peer,
                parent: trace.as_ref(),
            })
        } else {
            HttpSpan::none()
        };
        Self {
            method: parts.method.clone(),
            route,
            started,
            measured: guard.instruments.http_request(parts.method.as_str()),
            span,
        }
    }

    fn end(self, response: &Response, principal: &str) {
        let status = response.status().as_u16();
        self.span.finish(status);
        self.measured.finish(self.route, status);
        tracing::debug!(
            method = %self.method,
            route = self.route.unwrap_or("unmatched"),
            status,
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            principal,
            "request answered"
        );
    }
}

#[cfg(test)]
mod tests;
