//! What is asked for, and of whom: the forms of a target, and `Host`.

use crate::support::gateway::TOKEN;
use crate::support::wire::{ask, bare_request, exchange, only};
use crate::support::{Gateway, Server};

fn gateway() -> Gateway {
    Gateway::builder().server(Server::gremlin("s1")).start()
}

/// With the token and these `Host` lines.
fn request(target: &str, hosts: &[&str]) -> String {
    let token = format!("Authorization: Bearer {TOKEN}");
    bare_request(&format!("GET {target}"), &[hosts, &[&token]].concat(), "")
}

/// H024: the authority that is named counts, wherever it is named, and what is no target is refused.
#[tokio::test]
async fn a_target_is_a_path_here() {
    let gateway = gateway();
    let (own, refused) = (format!("Host: {}", gateway.address()), (403, "host_denied"));
    let invalid = (400, "invalid_request");
    for (target, (status, code)) in [
        ("http://evil.example/health", refused),
        ("https://evil.example:443/health", refused),
        ("http://localhost@evil.example/health", refused),
        ("http://evil.example@localhost/health", refused),
        ("http://localhost:99999/health", refused),
        ("evil.example:80", refused),
        ("evil.example", refused),
        ("*", invalid),
        ("localhost:80", invalid),
        ("localhost", invalid),
        ("ftp://localhost/health", invalid),
        // A path that begins with two slashes is a path, and one of nothing here.
        ("//evil.example/health", (404, "not_found")),
        ("//localhost/health", (404, "not_found")),
        ("/http://localhost/health", (404, "not_found")),
        ("/health\\", (404, "not_found")),
        ("http://localhost#@evil.example/health", (404, "not_found")),
    ] {
        let reply = ask(&gateway, request(target, &[&own])).await;
        assert_eq!(reply.refusal(), (status, code.to_owned()), "{target}");
    }
    for target in [
        "/hea lth",
        " /health",
        "/health ",
        "/health?a b",
        "/health\t",
        "/hea\u{b}lth",
        "",
        "?health",
        "#health",
        "http:/health",
        "http://",
        "http:///health",
        "http://localhost\\@evil.example/health",
    ] {
        let replies = exchange(&gateway, request(target, &[&own])).await;
        assert_eq!(only(&replies).bare(), 400, "{target:?}");
    }
    // The header is checked too, although the target overrides it.
    let reply = ask(
        &gateway,
        request("http://localhost/health", &["Host: evil.example"]),
    )
    .await;
    assert_eq!(reply.refusal(), (403, "host_denied".to_owned()));
    // A fragment is dropped by the parser, so this is the request that it is without it.
    for target in ["/ready", "/ready#canary", "http://localhost/ready"] {
        let reply = ask(&gateway, request(target, &[&own])).await;
        assert_eq!(reply.head.status, 200, "{target}: {}", reply.body);
    }
}

/// H025: one `Host`, and one that could be the name of this gateway.
#[tokio::test]
async fn there_is_one_host_and_it_is_a_name_of_ours() {
    let gateway = gateway();
    let port = gateway.address().port();
    let counted = (400, "invalid_request".to_owned());
    for hosts in [
        &[][..],
        &["Host: localhost", "Host: localhost"],
        &["Host: localhost", "Host: evil.example"],
    ] {
        let reply = ask(&gateway, request("/health", hosts)).await;
        assert_eq!(reply.refusal(), counted, "{hosts:?}");
    }
    let without = request("/health", &[]).replacen("HTTP/1.1", "HTTP/1.0", 1);
    assert_eq!(only(&exchange(&gateway, without).await).head.status, 400);
    for host in [
        "canary@localhost",
        "localhost@evil.example",
        "localhost:canary",
        "localhost:",
        "localhost:-1",
        "localhost:+80",
        "localhost:65536",
        "localhost:80:80",
        "localhost..",
        ".localhost",
        "localhost, evil.example",
        "localhost/",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "",
    ] {
        let reply = ask(&gateway, request("/health", &[&format!("Host: {host}")])).await;
        assert_eq!(reply.refusal(), (403, "host_denied".to_owned()), "{host}");
    }
    for host in [
        "localhost",
        "LocalHost",
        "localhost.",
        "LOCALHOST.:80",
        "127.0.0.1",
    ] {
        let own = format!("localhost:{port}");
        for host in [host, &own] {
            let reply = ask(&gateway, request("/ready", &[&format!("Host: {host}")])).await;
            assert_eq!(reply.head.status, 200, "{host}: {}", reply.body);
        }
    }
}
