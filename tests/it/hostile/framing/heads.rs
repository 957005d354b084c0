//! Heads that are too large: refused, before the door by the parser and behind it by the gate.

use crate::support::wire::{Reply, bare_request, exchange, only, request};
use crate::support::{Gateway, Server};

const KIB: usize = 1024;

fn gateway() -> Gateway {
    Gateway::builder().server(Server::gremlin("s1")).start()
}

/// With everything right but the size, and the connection at its end.
async fn refused(gateway: &Gateway, line: &str, headers: &[&str]) -> Reply {
    let headers = [headers, &["Connection: close"]].concat();
    let replies = exchange(gateway, request(gateway, line, &headers, "")).await;
    only(&replies).clone()
}

/// H008: in number, each, and together.
#[tokio::test]
async fn too_many_or_too_large_headers_are_431() {
    let gateway = gateway();
    let one = |size: usize| format!("X: canary{}", "x".repeat(size));
    let line = "GET /health";
    let many = vec!["X: canary"; 101];
    assert_eq!(refused(&gateway, line, &many).await.bare(), 431);
    let code = (431, "headers_too_large".to_owned());
    let large = refused(&gateway, line, &[&one(64 * KIB)]).await;
    assert_eq!(large.refusal(), code);
    let together = vec!["X: canary-in-a-line-of-0123456789abcdef0123456789"; 90];
    assert!(
        refused(&gateway, line, &together).await.head.status == 200,
        "within all bounds"
    );
    let together: Vec<String> = (0..90).map(|_| one(5 * KIB)).collect();
    let together: Vec<&str> = together.iter().map(String::as_str).collect();
    assert_eq!(
        refused(&gateway, line, &together).await.bare(),
        431,
        "500 KB in all"
    );
    assert_eq!(
        refused(&gateway, line, &[&one(500 * KIB)]).await.bare(),
        431
    );
    // Behind the door only: a stranger is told no more than that.
    let host = format!("Host: {}", gateway.address());
    let headers = [host.as_str(), &one(64 * KIB), "Connection: close"];
    let stranger = exchange(&gateway, bare_request(line, &headers, "")).await;
    assert_eq!(only(&stranger).refusal().0, 401);
}

/// H009: what the parser still takes is refused behind the door, and the rest before it.
#[tokio::test]
async fn too_long_a_target_is_414() {
    let gateway = gateway();
    let line = |size: usize| format!("GET /canary{}", "x".repeat(size));
    let code = (414, "uri_too_long".to_owned());
    for size in [8 * KIB, 60 * KIB] {
        assert_eq!(refused(&gateway, &line(size), &[]).await.refusal(), code);
    }
    assert_eq!(refused(&gateway, &line(70_000), &[]).await.bare(), 414);
    let query = format!("GET /health?canary={}", "x".repeat(8 * KIB));
    assert_eq!(refused(&gateway, &query, &[]).await.refusal(), code);
    assert_eq!(refused(&gateway, &line(8000), &[]).await.refusal().0, 404);
}
