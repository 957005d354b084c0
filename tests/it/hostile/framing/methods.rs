//! Methods that no route has.

use reqwest::Method;

use crate::support::wire::{ask, bare_request, nothing_reached_the_server, request};
use crate::support::{Gateway, Server};

const ODD: [&str; 10] = [
    "CONNECT", "TRACE", "OPTIONS", "PUT", "PATCH", "GETT", "get", "post", "PROPFIND", "Z",
];

/// H021: on every route there is; and before the door they are refused like all others.
#[tokio::test]
async fn a_method_that_no_route_has_is_405_behind_the_door() {
    let gateway = Gateway::builder()
        .limit("failed_auth_per_minute", 1_000_000)
        .server(Server::gremlin("s1"))
        .start();
    let host = format!("Host: {}", gateway.address());
    for route in host_mcp_gateway::http::routes() {
        let path = route
            .path
            .replace("{id}", "s1")
            .replace("{server_id}", "s1");
        for method in ODD {
            assert_ne!(route.method, Method::from_bytes(method.as_bytes()).unwrap());
            // The target of CONNECT is a host, and not a path.
            let target = if method == "CONNECT" {
                "localhost:80"
            } else {
                &path
            };
            let line = format!("{method} {target}");
            let refused = ask(&gateway, bare_request(&line, &[&host], "")).await;
            assert_eq!(refused.refusal(), (401, "auth_failed".to_owned()), "{line}");
            let refused = ask(&gateway, request(&gateway, &line, &[], "")).await;
            let expected = (405, "method_not_allowed".to_owned());
            assert_eq!(refused.refusal(), expected, "{line}");
            let allowed = refused.head.header("allow").expect("what is allowed");
            assert!(!allowed.contains("OPTIONS"), "{line}: {allowed}");
        }
    }
    nothing_reached_the_server(&gateway).await;
}
