//! The span of an HTTP request.

use std::net::SocketAddr;

use futures_util::future::Either;
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use super::{clip, enabled, is_wanted, remote, tracer};
use crate::protocol::trace_context::TraceContext;

/// One HTTP request as its span shows it.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// The method as it came.
    pub method: &'a str,
    /// The route's template, such as `/{server_id}/rpc`, if one matched.
    pub route: Option<&'static str>,
    /// The path without the query.
    pub path: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Who connected.
    pub peer: SocketAddr,
    /// The context in the request's headers, if it was valid.
    pub parent: Option<&'a TraceContext>,
}

/// The span of an HTTP request while it lasts, or nothing. It ends when the last handle on it is dropped.
#[derive(Clone, Debug)]
pub struct HttpSpan(Option<Context>);

impl HttpSpan {
    /// Begins `{method} {route}`; its parent is the context in the headers.
    pub fn start(call: &HttpCall<'_>) -> Self {
        if !enabled() || !is_wanted(call.parent) {
            return Self::none();
        }
        let method = clip(call.method);
        let name = match call.route {
            Some(route) => [method, route].join(" "),
            None => method.to_owned(),
        };
        // With room for what the end adds.
        let mut attributes = Vec::with_capacity(9);
        attributes.extend([
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.path", clip(call.path).to_owned()),
            KeyValue::new("url.scheme", call.scheme),
            KeyValue::new("client.address", call.peer.ip().to_string()),
            KeyValue::new("client.port", i64::from(call.peer.port())),
        ]);
        if let Some(route) = call.route {
            attributes.push(KeyValue::new("http.route", route));
        }
        let parent = remote(call.parent).unwrap_or_default();
        let span = tracer::start(name, SpanKind::Server, attributes, None, &parent);
        Self(span.map(|span| Context::new().with_span(span)))
    }

    /// A span that nobody sees.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The span of the request that is being answered here, inside of [`HttpSpan::around`].
    pub fn current() -> Self {
        let current = Context::map_current(|here| here.has_active_span().then(|| here.clone()));
        Self(current)
    }

    /// Whether nobody sees it.
    pub fn is_disabled(&self) -> bool {
        self.0.is_none()
    }

    /// Has what is logged in a future, and every span that it begins, belong to this one.
    pub fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        match &self.0 {
            Some(context) => Either::Left(future.with_context(context.clone())),
            None => Either::Right(future),
        }
    }

    /// The same for what is done at once.
    pub fn in_scope<T>(&self, body: impl FnOnce() -> T) -> T {
        let _here = self.0.clone().map(Context::attach);
        body()
    }

    /// Records the response's status.
    pub fn finish(&self, status: u16) {
        let Self(Some(context)) = self else { return };
        let span = context.span();
        let code = i64::from(status);
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        if status >= 500 {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
    }

    /// As the parent of another span.
    pub(super) fn context(&self) -> Option<&Context> {
        self.0.as_ref()
    }

    /// As a link of another span.
    pub(super) fn span_context(&self) -> Option<SpanContext> {
        let context = self.0.as_ref()?.span().span_context().clone();
        context.is_valid().then_some(context)
    }
}
