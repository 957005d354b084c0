//! Paths that are no path of ours, or a server's in disguise.

use crate::support::mcp;
use crate::support::wire::{
    PING, Reply, ask, marked_call, nothing_reached_the_server, post_whole, request,
};
use crate::support::{Gateway, Server};

fn gateway() -> Gateway {
    Gateway::builder().server(Server::gremlin("s1")).start()
}

async fn call(gateway: &Gateway, path: &str) -> Reply {
    ask(gateway, post_whole(gateway, path, &marked_call("astray"))).await
}

/// Refused with the words of every such refusal.
async fn is_unknown(gateway: &Gateway, path: &str) {
    let reply = call(gateway, path).await;
    let (status, code) = reply.refusal();
    let message = match code.as_str() {
        "not_found" => "unknown path",
        "server_not_found" => "unknown server_id",
        _ => panic!("{path}: {}", reply.body),
    };
    assert_eq!(status, 404, "{path}");
    let body = format!(r#"{{"error":{{"error_code":"{code}","message":"{message}"}}}}"#);
    assert_eq!(reply.body, body, "{path}");
}

/// Likewise, of what could be a server: it is named.
async fn is_unknown_server(gateway: &Gateway, path: &str, id: &str) {
    let reply = call(gateway, path).await;
    let refusal = reply.refusal();
    assert_eq!(refusal, (404, "server_not_found".to_owned()), "{path}");
    let named = format!(r#","server_id":"{id}","request_id":"1"}}}}"#);
    assert!(reply.body.ends_with(&named), "{path}: {}", reply.body);
}

/// H047: an id is a name and never part of a path, and no path is brought to another form first.
#[tokio::test]
async fn dots_and_slashes_lead_nowhere() {
    let gateway = gateway();
    for path in [
        "/../etc/passwd/rpc",
        "/%2e%2e%2fs1/rpc",
        "/%2e%2e/rpc",
        "/../rpc",
        "/..%2f..%2fetc%2fpasswd/rpc",
        "/..;/s1/rpc",
        "/..%5cs1/rpc",
        "/s1/../s1/rpc",
        "/s1/..;/rpc",
        "/s1;v=1/rpc",
        "/%2fs1/rpc",
        "/s1%2frpc",
        "/./s1/rpc",
        "/~/rpc",
        "/servers/..%2fs1/restart",
        "/servers/../s1/rpc",
    ] {
        is_unknown(&gateway, path).await;
    }
    nothing_reached_the_server(&gateway).await;
}

/// H048: what cannot be in an id is in no answer, neither in the body nor in a header.
#[tokio::test]
async fn control_characters_and_broken_escapes_lead_nowhere() {
    let gateway = gateway();
    for path in [
        "/s1%00/rpc",
        "/%00s1/rpc",
        "/s1%0d%0aX:canary/rpc",
        "/s1%0d%0a%0d%0acanary/rpc",
        "/s1%0a/rpc",
        "/s1%1b%5b31m/rpc",
        "/%ff/rpc",
        "/s1%c0%ae/rpc",
        "/%zz/rpc",
        "/s1%/rpc",
        "/s1%3/rpc",
        "/%u00731/rpc",
        "/s%2531/rpc",
    ] {
        is_unknown(&gateway, path).await;
        let reply = call(&gateway, path).await;
        let known = [
            "content-type",
            "content-length",
            "x-content-type-options",
            "cache-control",
            "connection",
            "date",
        ];
        for line in reply
            .head
            .text
            .lines()
            .skip(1)
            .filter(|line| !line.is_empty())
        {
            let (name, value) = line.split_once(": ").expect("a header");
            assert!(known.contains(&name), "{path}: {line}");
            assert!(!value.contains("canary"), "{path}: {line}");
        }
    }
    // Raw, they are no target.
    for path in ["/s1\0/rpc", "/s1\u{1b}/rpc", "/s1\r/rpc", "/s1\u{7f}/rpc"] {
        let reply = call(&gateway, path).await;
        assert_eq!(reply.bare(), 400, "{path:?}");
    }
    nothing_reached_the_server(&gateway).await;
}

/// RF01: one slash at the end changes nothing, not even by a redirect.
#[tokio::test]
async fn a_slash_at_the_end_is_served() {
    let gateway = gateway();
    for path in ["/s1/rpc/", "/s%31/rpc/", "/s1/rpc/?x=/"] {
        let reply = ask(&gateway, post_whole(&gateway, path, PING)).await;
        assert_eq!(reply.head.status, 200, "{path}: {}", reply.body);
    }
    for path in ["/health/", "/ready/", "/servers/", "/servers/s1/logs/?x"] {
        let line = format!("GET {path}");
        let reply = ask(&gateway, request(&gateway, &line, &[], "")).await;
        assert_eq!(reply.head.status, 200, "{path}: {}", reply.body);
    }
    let opened = mcp::initialize("2025-11-25").to_string();
    for path in ["/mcp/", "/s1/mcp/"] {
        let reply = ask(&gateway, post_whole(&gateway, path, &opened)).await;
        assert_eq!(reply.head.status, 200, "{path}: {}", reply.body);
    }
    for path in ["/s1/rpc//", "//s1/rpc/", "/rpc/s1/", "/"] {
        is_unknown(&gateway, path).await;
    }
}

/// H049: case, slashes and dots count.
#[tokio::test]
async fn a_path_that_is_nearly_right_is_unknown() {
    let gateway = gateway();
    for path in [
        "//s1/rpc",
        "/s1//rpc",
        "/s1/./rpc",
        "/s1/RPC",
        "/s1/%72pc",
        "/s1/rpc%20",
        "/s1%20/rpc",
        "/%20s1/rpc",
    ] {
        is_unknown(&gateway, path).await;
    }
    is_unknown_server(&gateway, "/S1/rpc", "S1").await;
    is_unknown_server(&gateway, "/s1./rpc", "s1.").await;
    nothing_reached_the_server(&gateway).await;
}

/// H049: an escape of a character that needs none is that character (RFC 3986, 6.2.2.2), once; the id
/// that comes of it is compared exactly.
#[tokio::test]
async fn an_escaped_id_is_the_id() {
    let gateway = gateway();
    for path in ["/s1/rpc", "/s%31/rpc", "/%73%31/rpc"] {
        let reply = ask(&gateway, post_whole(&gateway, path, PING)).await;
        assert_eq!(reply.head.status, 200, "{path}: {}", reply.body);
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let mcp = path.replace("/rpc", "/mcp");
        let reply = ask(&gateway, post_whole(&gateway, &mcp, list)).await;
        assert_ne!(reply.head.status, 404, "{mcp}: {}", reply.body);
        let logs = path.replace("/rpc", "/logs");
        let reply = ask(
            &gateway,
            request(&gateway, &format!("GET /servers{logs}"), &[], ""),
        )
        .await;
        assert_eq!(reply.head.status, 200, "{logs}: {}", reply.body);
    }
    // Of the words of a route, nothing is brought to another form.
    for path in ["/%73ervers/s1/logs", "/s1/r%70c", "/%72pc", "/s%2531/rpc"] {
        is_unknown(&gateway, path).await;
    }
    is_unknown_server(&gateway, "/S%31/rpc", "S1").await;
}
