//! The list of routes as data, and the router that is built from it.
//!
//! The router has no route but these, so whoever enumerates the list has seen every way in.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::error::Problem;
use super::{Edge, events, health, logs, operate, rpc, servers};
use crate::fault::{Fault, FaultKind};

/// One route: what is asked for and how. A `GET` route answers `HEAD` too, without the body.
#[derive(Clone, Debug)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path, parameters in braces.
    pub path: &'static str,
    endpoint: Endpoint,
}

/// The template of the route that answered, in the extensions of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route(pub(super) &'static str);

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Health,
    Ready,
    Metrics,
    Servers,
    Start,
    Stop,
    Restart,
    Logs,
    WrappedRpc,
    Rpc,
    Events,
}

const fn route(method: Method, path: &'static str, endpoint: Endpoint) -> RouteInfo {
    RouteInfo {
        method,
        path,
        endpoint,
    }
}

static ROUTES: [RouteInfo; 11] = [
    route(Method::GET, "/health", Endpoint::Health),
    route(Method::GET, "/ready", Endpoint::Ready),
    route(Method::GET, "/metrics", Endpoint::Metrics),
    route(Method::GET, "/servers", Endpoint::Servers),
    route(Method::POST, "/servers/{id}/start", Endpoint::Start),
    route(Method::POST, "/servers/{id}/stop", Endpoint::Stop),
    route(Method::POST, "/servers/{id}/restart", Endpoint::Restart),
    route(Method::GET, "/servers/{id}/logs", Endpoint::Logs),
    route(Method::POST, "/rpc", Endpoint::WrappedRpc),
    route(Method::POST, "/{server_id}/rpc", Endpoint::Rpc),
    route(Method::GET, "/{server_id}/rpc", Endpoint::Events),
];

/// Every route that exists.
pub fn routes() -> &'static [RouteInfo] {
    &ROUTES
}

/// The router with every route and nothing else.
pub(super) fn build() -> Router<Arc<Edge>> {
    routes()
        .iter()
        .fold(Router::new(), |router, info| {
            let template = Route(info.path);
            let tagged = handler(info).layer(axum::middleware::map_response(
                move |mut response: Response| async move {
                    response.extensions_mut().insert(template);
                    response
                },
            ));
            router.route(info.path, tagged)
        })
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

fn handler(info: &RouteInfo) -> MethodRouter<Arc<Edge>> {
    let filter = MethodFilter::try_from(info.method.clone()).unwrap_or(MethodFilter::GET);
    match info.endpoint {
        Endpoint::Health => on(filter, health::health),
        Endpoint::Ready => on(filter, health::ready),
        Endpoint::Metrics => on(filter, health::metrics),
        Endpoint::Servers => on(filter, servers::list),
        Endpoint::Start => on(filter, operate::start),
        Endpoint::Stop => on(filter, operate::stop),
        Endpoint::Restart => on(filter, operate::restart),
        Endpoint::Logs => on(filter, logs::logs),
        Endpoint::WrappedRpc => on(filter, rpc::wrapped),
        Endpoint::Rpc => on(filter, rpc::plain),
        Endpoint::Events => on(filter, events::events),
    }
}

async fn not_found() -> Response {
    Problem::from(Fault::new(FaultKind::NotFound, "unknown path")).into_response()
}

/// The router adds `Allow`.
async fn method_not_allowed() -> Response {
    let message = "method not allowed on this path";
    Problem::from(Fault::new(FaultKind::MethodNotAllowed, message)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_fits_into_one_router_and_every_method_has_a_filter() {
        // A conflict between two templates panics here.
        let _router = build();
        for info in routes() {
            assert!(
                MethodFilter::try_from(info.method.clone()).is_ok(),
                "{info:?}"
            );
        }
    }
}
