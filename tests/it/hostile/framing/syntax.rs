//! Bytes that are no request, and requests behind one another.

use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wire::{
    SOON, bare_request, exchange, nothing_reached_the_server, only, reply, request,
};
use crate::support::{Gateway, Server};

fn gateway() -> Gateway {
    Gateway::builder().server(Server::gremlin("s1")).start()
}

/// H019: none of them hides a second request, and none is taken for one.
#[tokio::test]
async fn a_head_with_a_stray_byte_is_400_and_the_end() {
    let gateway = gateway();
    let hidden = request(&gateway, "POST /servers/s1/start", &[], "");
    for line in [
        "X: a\rb",
        "X: a\r\rb",
        "X: a\0b",
        "X: a\r\n b",
        "X: a\r\n\tb",
        "X : a",
        "X\t: a",
        "X(y): a",
        "X y: a",
        "X\u{e9}: a",
        ": a",
        "no colon",
        "X: a\u{1}b",
        "X: a\u{7f}b",
    ] {
        let bytes = request(&gateway, "GET /health", &[line], "") + &hidden;
        assert_eq!(
            only(&exchange(&gateway, bytes).await).bare(),
            400,
            "{line:?}"
        );
        let first = request(&gateway, "GET /health", &[], "");
        let first = first.replacen("\r\n", &format!("\r\n{line}\r\n"), 1) + &hidden;
        assert_eq!(
            only(&exchange(&gateway, first).await).bare(),
            400,
            "{line:?} first"
        );
    }
    let head = request(&gateway, "GET /health", &[], "");
    for (from, to) in [
        ("GET", "G\0ET"),
        ("GET", "G(ET"),
        ("GET", " GET"),
        ("GET", ""),
        ("/health", "/hea\0lth"),
        ("/health", "/hea\rlth"),
        ("HTTP/1.1\r\n", "HTTP/1.1\r"),
        ("HTTP/1.1", "HTTP/1.2"),
        ("HTTP/1.1", "HTTP/0.9"),
        ("HTTP/1.1", "HTTP/11"),
        ("HTTP/1.1", "http/1.1"),
        ("HTTP/1.1", "HTTP/1.1 "),
        (" HTTP/1.1", ""),
    ] {
        let bytes = head.replacen(from, to, 1) + &hidden;
        let replies = exchange(&gateway, bytes).await;
        assert_eq!(only(&replies).bare(), 400, "{from:?} as {to:?}");
    }
    nothing_reached_the_server(&gateway).await;
}

/// H019: a bare line feed ends a line, in the head as a whole or in one line of it; it is one request,
/// the same that it would be with a carriage return (RFC 9112, 2.2).
#[tokio::test]
async fn a_bare_line_feed_ends_a_line_and_makes_one_request() {
    let gateway = gateway();
    let proper = request(&gateway, "GET /ready", &["X: y", "Connection: close"], "");
    let mixed = proper.replacen("X: y\r\n", "X: y\n", 1);
    let mut bodies = Vec::new();
    for bytes in [proper.clone(), proper.replace("\r\n", "\n"), mixed] {
        let replies = exchange(&gateway, bytes).await;
        let answer = only(&replies);
        assert_eq!(answer.head.status, 200, "{}", answer.body);
        bodies.push(answer.body.clone());
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

/// H020, RD05: each is let in or refused for itself, and answered in its turn, and a refusal is the last answer.
#[tokio::test]
async fn pipelined_requests_are_judged_one_by_one() {
    let gateway = gateway();
    let good = request(&gateway, "GET /health", &[], "");
    let bad = good.replace(TOKEN, "canary-token-of-nobody");
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(format!("{good}{good}{bad}{good}")).await;
    for status in [200, 200, 401] {
        let answer = reply(&mut socket).await.expect("an answer");
        assert_eq!(answer.head.status, status, "{}", answer.body);
        if status == 401 {
            assert_eq!(answer.refusal().1, "auth_failed");
        }
    }
    assert_eq!(socket.rest(SOON).await, b"");
    // A request whose body was not taken is the last: what follows is the rest of that body.
    let host = format!("Host: {}", gateway.address());
    let hiding = format!("Content-Length: {}", good.len());
    let hiding = bare_request("POST /s1/rpc", &[&host, &hiding], &good);
    let replies = exchange(&gateway, hiding + &good).await;
    assert_eq!(only(&replies).refusal().0, 401);
}
