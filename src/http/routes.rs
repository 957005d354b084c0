//! The list of routes as data, and the router that is built from it.
//!
//! The router has no route but these, so whoever enumerates the list has seen every way in.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, Uri};

use super::error::Problem;
use super::{Edge, events, health, logs, mcp, operate, rpc, servers};
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
    McpMessage,
    McpStream,
    McpEnd,
}

const fn route(method: Method, path: &'static str, endpoint: Endpoint) -> RouteInfo {
    RouteInfo {
        method,
        path,
        endpoint,
    }
}

/// Those of messages first: every request is held against the paths one after the other for its name in the metrics.
static ROUTES: [RouteInfo; 17] = [
    route(Method::POST, "/{server_id}/rpc", Endpoint::Rpc),
    route(Method::GET, "/{server_id}/rpc", Endpoint::Events),
    route(Method::POST, "/{server_id}/mcp", Endpoint::McpMessage),
    route(Method::GET, "/{server_id}/mcp", Endpoint::McpStream),
    route(Method::DELETE, "/{server_id}/mcp", Endpoint::McpEnd),
    route(Method::GET, "/health", Endpoint::Health),
    route(Method::GET, "/ready", Endpoint::Ready),
    route(Method::GET, "/metrics", Endpoint::Metrics),
    route(Method::GET, "/servers", Endpoint::Servers),
    route(Method::POST, "/servers/{id}/start", Endpoint::Start),
    route(Method::POST, "/servers/{id}/stop", Endpoint::Stop),
    route(Method::POST, "/servers/{id}/restart", Endpoint::Restart),
    route(Method::GET, "/servers/{id}/logs", Endpoint::Logs),
    route(Method::POST, "/rpc", Endpoint::WrappedRpc),
    // No server can have the id `mcp`.
    route(Method::POST, "/mcp", Endpoint::McpMessage),
    route(Method::GET, "/mcp", Endpoint::McpStream),
    route(Method::DELETE, "/mcp", Endpoint::McpEnd),
];

/// Every route that exists.
pub fn routes() -> &'static [RouteInfo] {
    &ROUTES
}

/// The template that a path fits: what spans and metrics call it by. As in the router, a parameter is one segment
/// that is not empty.
pub(super) fn template(path: &str) -> Option<&'static str> {
    routes()
        .iter()
        .map(|route| route.path)
        .find(|template| fits(template.as_bytes(), path.as_bytes()))
}

/// Byte by byte, because this is asked of every request and most templates differ in their second byte.
fn fits(template: &[u8], path: &[u8]) -> bool {
    let (mut template, mut path) = (template, path);
    while let Some((wanted, rest)) = template.split_first() {
        if *wanted == b'{' {
            let end = rest.iter().position(|byte| *byte == b'}');
            let value = path.iter().take_while(|byte| **byte != b'/').count();
            if value == 0 {
                return false;
            }
            template = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
            path = path.get(value..).unwrap_or_default();
        } else {
            let Some(after) = path.strip_prefix(&[*wanted]) else {
                return false;
            };
            (template, path) = (rest, after);
        }
    }
    path.is_empty()
}

/// The same target without the slash at the end of its path; `None` where there is none. Clients that join URLs
/// put one there.
pub(super) fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/')?;
    if path.is_empty() || path.ends_with('/') {
        return None;
    }
    let path = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.try_into().ok()?);
    Uri::from_parts(parts).ok()
}

/// The router with every route and nothing else.
pub(super) fn build() -> Router<Arc<Edge>> {
    assemble(handler)
}

/// One router of all routes, each answered by what `handler` makes of it.
fn assemble<S>(handler: impl Fn(&RouteInfo) -> MethodRouter<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    routes()
        .iter()
        .fold(Router::new(), |router, info| {
            router.route(info.path, handler(info))
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
        Endpoint::McpMessage => on(filter, mcp::message),
        Endpoint::McpStream => on(filter, mcp::stream),
        Endpoint::McpEnd => on(filter, mcp::end),
    }
}

/// `CONNECT` names no path at all, so with it nothing but the method can be wrong.
async fn not_found(method: Method) -> Response {
    if method == Method::CONNECT {
        let mut response = method_not_allowed().await;
        let none = http::HeaderValue::from_static("");
        response.headers_mut().insert(http::header::ALLOW, none);
        return response;
    }
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
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    /// Status, template, `Allow`, and body, with trivial handlers behind the templates.
    async fn ask(method: &str, path: &str) -> (u16, Option<&'static str>, String, String) {
        let router: Router = assemble(|info| {
            let filter = MethodFilter::try_from(info.method.clone()).unwrap();
            on(filter, || async { "here" })
        });
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let allow = parts
            .headers
            .get("allow")
            .map(|allow| allow.to_str().unwrap());
        let body = body.collect().await.unwrap().to_bytes();
        (
            parts.status.as_u16(),
            template(path),
            allow.unwrap_or("none").to_owned(),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

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

    /// RF01.
    #[test]
    fn one_slash_at_the_end_is_taken_away() {
        for (target, expected) in [
            ("/mcp/", Some("/mcp")),
            ("/s1/mcp/?x=1&y", Some("/s1/mcp?x=1&y")),
            ("http://localhost/health/", Some("http://localhost/health")),
            ("/mcp", None),
            ("/mcp//", None),
            ("/", None),
            ("//", None),
            ("/x?a=/", None),
            ("*", None),
        ] {
            let uri: Uri = target.parse().unwrap();
            let without = without_slash(&uri).map(|uri| uri.to_string());
            assert_eq!(without.as_deref(), expected, "{target}");
        }
    }

    #[tokio::test]
    async fn every_route_is_reached_by_its_template() {
        for info in routes() {
            let path = info.path.replace("{id}", "s1").replace("{server_id}", "s1");
            let (status, route, _, body) = ask(info.method.as_str(), &path).await;
            assert_eq!(
                (status, route, body.as_str()),
                (200, Some(info.path), "here")
            );
        }
        let (status, route, _, body) = ask("HEAD", "/health").await;
        assert_eq!((status, route, body.as_str()), (200, Some("/health"), ""));
    }

    /// H047 and H049, of paths that fit no route.
    #[tokio::test]
    async fn a_path_is_exactly_its_template() {
        for path in [
            "/",
            "/mcp/",
            "/s1/mcp/",
            "/health/",
            "/Health",
            "//health",
            "/s1/rpc/",
            "//s1/rpc",
            "/s1/./rpc",
            "/../etc/passwd/rpc",
            "/..;/s1/rpc",
            "/S1/RPC",
            "/servers/s1",
            "*",
            "/servers/s1/start/",
            "/servers//s1/start",
            "/health%2f",
        ] {
            let body = r#"{"error":{"error_code":"not_found","message":"unknown path"}}"#;
            let expected = (404, None, "none".to_owned(), body.to_owned());
            assert_eq!(ask("POST", path).await, expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_known_path_with_another_method_says_which_are_allowed() {
        for (method, path, allow) in [
            ("GET", "/rpc", "POST"),
            ("OPTIONS", "/rpc", "POST"),
            ("DELETE", "/s1/rpc", "POST,GET,HEAD"),
            ("TRACE", "/health", "GET,HEAD"),
            ("get", "/health", "GET,HEAD"),
            ("PUT", "/servers/s1/stop", "POST"),
            ("PUT", "/mcp", "POST,GET,HEAD,DELETE"),
            ("CONNECT", "localhost:80", ""),
        ] {
            let (status, _, allowed, body) = ask(method, path).await;
            assert_eq!((status, allowed.as_str()), (405, allow), "{method} {path}");
            assert!(body.contains("method_not_allowed"), "{body}");
        }
    }
}
