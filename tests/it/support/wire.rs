//! HTTP by hand: requests as text, and what all refusals have in common.
//!
//! Whatever a test sends that must not come back has the word `canary` in it, as the token has.

use std::time::Duration;

use serde_json::{Value, json};

use super::Gateway;
use super::gateway::TOKEN;
use super::socket::{Head, RawSocket};

/// Long enough for what has to happen on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The longest body that a refusal has.
const SHORT: usize = 256;

/// A message that is answered without a server.
pub(crate) const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// One response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) body: String,
}

impl Reply {
    /// Status and error code of a refusal; panics when it is none of the house's.
    ///
    /// It is short, says nothing of the request but an id that has been parsed, and is not for caches or
    /// for guesses at its type.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let Self { head, body } = self;
        assert_eq!(head.header("content-type"), Some("application/json"));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
        self.says_nothing();
        let value: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"));
        let members = value["error"].as_object().expect("an error");
        let known = [
            "error_code",
            "message",
            "server_id",
            "request_id",
            "delivered",
            "retry_after_ms",
        ];
        assert!(members.keys().all(|key| known.contains(&&**key)), "{body}");
        let code = value["error"]["error_code"].as_str().expect("a code");
        (head.status, code.to_owned())
    }

    /// Status of a refusal by the parser of requests: no body, and the end of the connection.
    pub(crate) fn bare(&self) -> u16 {
        assert_eq!(self.body, "");
        assert_eq!(self.head.header("connection"), Some("close"));
        self.says_nothing();
        self.head.status
    }

    /// Asserts that nothing of the request is in the answer, nor a word about us, and no leave for pages of
    /// other origins.
    pub(crate) fn says_nothing(&self) {
        let Self { head, body } = self;
        assert!(body.len() < SHORT, "{body}");
        for text in [&head.text, body] {
            assert!(!text.contains("canary"), "the answer repeats: {text}");
        }
        assert_eq!(head.header("server"), None);
        // The one listed origin that tests send.
        let origin = head.header("access-control-allow-origin");
        assert!(
            matches!(origin, None | Some("http://localhost")),
            "{origin:?}"
        );
        assert_eq!(head.header("access-control-allow-credentials"), None);
    }
}

/// A request with `Host` and token: method and target, further header lines, and what follows the head.
pub(crate) fn request(gateway: &Gateway, line: &str, headers: &[&str], rest: &str) -> String {
    let host = format!("Host: {}", gateway.address());
    let token = format!("Authorization: Bearer {TOKEN}");
    bare_request(line, &[&[host.as_str(), &token], headers].concat(), rest)
}

/// A request with these header lines and no others.
pub(crate) fn bare_request(line: &str, headers: &[&str], rest: &str) -> String {
    let headers: String = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
    format!("{line} HTTP/1.1\r\n{headers}\r\n{rest}")
}

/// `POST /s1/rpc` of JSON, with header lines that say how long the body is.
pub(crate) fn post(gateway: &Gateway, framing: &[&str], rest: &str) -> String {
    let headers = [&["Content-Type: application/json"], framing].concat();
    request(gateway, "POST /s1/rpc", &headers, rest)
}

/// The same with a `Content-Length` that is true.
pub(crate) fn post_whole(gateway: &Gateway, path: &str, body: &str) -> String {
    let length = format!("Content-Length: {}", body.len());
    let headers = ["Content-Type: application/json", &length];
    request(gateway, &format!("POST {path}"), &headers, body)
}

/// A tool call that a gremlin's journal tells from all others.
pub(crate) fn marked_call(nonce: &str) -> String {
    let params = json!({"name": "echo", "arguments": {"text": "canary", "nonce": nonce}});
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
}

/// A body as one chunk and the end.
pub(crate) fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Sends bytes on a connection of their own and reads one response.
pub(crate) async fn ask(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Reply {
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(bytes).await;
    reply(&mut socket).await.expect("a response")
}

/// Sends bytes on a connection of their own and reads every response until the gateway closes it.
pub(crate) async fn exchange(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Vec<Reply> {
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(bytes).await;
    until_closed(&mut socket).await
}

/// Sends bytes, then no more, and reads every response until the gateway closes the connection.
pub(crate) async fn exchange_and_finish(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Vec<Reply> {
    let mut socket = RawSocket::connect(gateway.address()).await;
    socket.send(bytes).await;
    socket.finish().await;
    until_closed(&mut socket).await
}

/// The next response; `None` when the connection ends before.
pub(crate) async fn reply(socket: &mut RawSocket) -> Option<Reply> {
    let (head, body) = socket.answer(SOON).await?;
    let body = String::from_utf8(body).expect("a body in UTF-8");
    Some(Reply { head, body })
}

/// Every response until the gateway closes the connection.
pub(crate) async fn until_closed(socket: &mut RawSocket) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some(reply) = reply(socket).await {
        replies.push(reply);
    }
    assert_eq!(socket.rest(SOON).await, b"", "half a response");
    replies
}

/// The one response that came before the connection was closed.
pub(crate) fn only(replies: &[Reply]) -> &Reply {
    let [reply] = replies else {
        panic!("{} responses, expected one: {replies:?}", replies.len())
    };
    reply
}

/// Asserts that nothing was passed on to the server `s1`, which was not even started, and that it could
/// have been.
pub(crate) async fn nothing_reached_the_server(gateway: &Gateway) {
    let journal = gateway.journal("s1");
    assert_eq!(journal.entries(), [], "frames");
    assert!(
        !gateway.logs().text().contains(TOKEN),
        "the token is in the log"
    );
    let reply = ask(
        gateway,
        post_whole(gateway, "/s1/rpc", &marked_call("sound")),
    )
    .await;
    assert_eq!(reply.head.status, 200, "{}", reply.body);
    assert_eq!(journal.count("\"sound\""), 1);
}
