//! The way of messages past the router.
//!
//! A router decodes paths, takes extractors through boxes and boxes what it calls: ten allocations and a tenth of
//! what a small call costs. A `POST` to a server's own path, written plainly, needs none of it: here it goes
//! to its endpoint at once. Every other request goes through the router, which knows these paths too and would
//! answer the same.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::Method;

use super::gate::{Behind, LetIn};
use super::placement::split_server;
use super::{Edge, mcp, routes, rpc};
use crate::relay::Target;
use crate::types::ServerId;

/// A message's endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Direct {
    /// `POST /{server_id}/rpc`
    Rpc(ServerId),
    /// `POST /{server_id}/mcp`
    Mcp(ServerId),
}

/// All endpoints, those of messages by the short way.
pub(super) struct Endpoints {
    edge: Arc<Edge>,
    router: Router,
}

impl Endpoints {
    pub(super) fn new(edge: Arc<Edge>) -> Self {
        let router = routes::build().with_state(Arc::clone(&edge));
        Self { edge, router }
    }
}

impl Behind for Endpoints {
    async fn serve(&self, let_in: LetIn, request: Request) -> Response {
        let edge = &self.edge;
        match direct(request.method(), request.uri().path()) {
            Some(Direct::Rpc(server)) => {
                let answered = rpc::to(edge, &server, let_in, request).await;
                answered.into_response()
            }
            Some(Direct::Mcp(server)) => {
                let target = Target::Server(server);
                let answered = mcp::to(edge, &target, let_in, request).await;
                answered.into_response()
            }
            None => self.router.serve(let_in, request).await,
        }
    }
}

/// Where a request goes without the router: a path that has the id of a server between its slashes,
/// without escapes, so that there is nothing to decode and one way to read it.
fn direct(method: &Method, path: &str) -> Option<Direct> {
    if method != Method::POST {
        return None;
    }
    let (server, endpoint) = split_server(path)?;
    match endpoint {
        "rpc" => server.parse().ok().map(Direct::Rpc),
        "mcp" => server.parse().ok().map(Direct::Mcp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_path_of_a_servers_messages_needs_no_router() {
        let s1: ServerId = "s1".parse().unwrap();
        for (method, path, expected) in [
            ("POST", "/s1/rpc", Some(Direct::Rpc(s1.clone()))),
            ("POST", "/s1/mcp", Some(Direct::Mcp(s1))),
            ("GET", "/s1/mcp", None),
            ("post", "/s1/rpc", None),
            ("POST", "/rpc", None),
            ("POST", "/mcp", None),
            ("POST", "//rpc", None),
            ("POST", "/s%31/rpc", None),
            ("POST", "/s1/rp%63", None),
            ("POST", "/s1/rpc/", None),
            ("POST", "//s1/rpc", None),
            ("POST", "/s1/x/rpc", None),
            ("POST", "/servers/rpc", None),
            ("POST", "/MCP/mcp", None),
            ("POST", "/a__b/mcp", None),
            ("POST", "s1/rpc", None),
            ("POST", "*", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(direct(&method, path), expected, "{method} {path}");
        }
    }
}
