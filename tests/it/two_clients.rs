//! Two clients of one child use the same names for different things: each hears what is its own, and nothing else.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::socket::RawSocket;
use crate::support::sse::Sse;
use crate::support::{Gateway, Server, gateway};

const SOON: Duration = Duration::from_secs(10);
const SECOND_TOKEN: &str = "canary-second-7ab0d9e3c5f1482896d4e1b7";

/// A client with its event stream, and the one name that it gives to every request and its progress.
struct Caller {
    who: &'static str,
    token: &'static str,
    client: Client,
    socket: RawSocket,
    stream: Sse,
    session: String,
    name: Value,
}

impl Caller {
    async fn new(gateway: &Gateway, who: &'static str, token: &'static str, name: Value) -> Self {
        let client = gateway.client_with(Some(token));
        let stream = client.listen("/g1/rpc").await;
        let session = stream.headers["mcp-session-id"].to_str().unwrap();
        Self {
            who,
            token,
            session: session.to_owned(),
            socket: RawSocket::connect(gateway.address()).await,
            client,
            stream,
            name,
        }
    }

    /// One call with progress: the answer must be this caller's, and the progress the next thing on its stream.
    async fn round(&mut self, number: usize) {
        let (name, said) = (&self.name, format!("{}-{number}", self.who));
        let arguments = json!({"do": "progress", "count": 1, "note": said, "say": said});
        let params =
            json!({"name": "gremlin", "arguments": arguments, "_meta": {"progressToken": name}});
        let body = json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": params});
        let body = body.to_string();
        let head = format!(
            "POST /g1/rpc HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nMCP-Session-Id: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.token,
            self.session,
            body.len()
        );
        self.socket.send(head + &body).await;
        let (head, answer) = self.socket.answer(SOON).await.expect("an answer");
        assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let content = json!([{"type": "text", "text": said}]);
        let expected = json!({
            "jsonrpc": "2.0", "id": name, "result": {"content": content, "isError": false},
        });
        assert_eq!(answer, expected);
        let expected = json!({
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {"progressToken": name, "progress": 1, "total": 1, "message": format!("{said}: 1 of 1")},
        });
        assert_eq!(self.stream.message(SOON).await, expected);
    }

    /// Nothing but what everybody may hear is left on the stream.
    async fn hears_next(&mut self, method: &str) {
        let message = self.stream.message(SOON).await;
        assert_eq!(message["method"], method, "{message}");
    }
}

fn gateway_for_two() -> Gateway {
    Gateway::builder()
        .env("SECOND_TOKEN", SECOND_TOKEN)
        .set("tokens", json!([{"name": "second", "env": "SECOND_TOKEN"}]))
        // One line for each request is more than this needs.
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::gremlin("g1"))
        .start()
}

async fn rounds(first: Value, second: Value, count: usize) {
    let gateway = gateway_for_two();
    let mut one = Caller::new(&gateway, "one", gateway::TOKEN, first).await;
    let mut two = Caller::new(&gateway, "two", SECOND_TOKEN, second).await;
    for number in 0..count {
        tokio::join!(one.round(number), two.round(number));
    }
    let changed = json!({"do": "list_changed", "of": "tools"});
    assert_eq!(one.client.deed("g1", &changed).await.status, 200);
    one.hears_next("notifications/tools/list_changed").await;
    two.hears_next("notifications/tools/list_changed").await;
    let calls = gateway.journal("g1").count_method("tools/call");
    assert_eq!(calls, 2 * count + 1);
    Oracle::written_at_most_once(&gateway, "g1");
}

/// H072, H080: each hears its own progress.
#[tokio::test]
async fn the_same_id_and_token_at_the_same_moment_are_two_requests() {
    rounds(json!(1), json!(1), 10_000).await;
}

/// H071, H080.
#[tokio::test]
async fn a_name_as_text_and_as_a_number_are_two_names() {
    rounds(json!(1), json!("1"), 1_000).await;
}

/// H072: several requests of one client under one id, which is its own fault, are each answered all the same.
#[tokio::test]
async fn one_id_many_times_at_once_is_answered_as_often() {
    let gateway = gateway_for_two();
    let client = gateway.client();
    let asked = (0..50).map(|number| {
        let (client, text) = (&client, format!("text-{number}"));
        async move {
            let answer = client.call("g1", "echo", &json!({"text": text})).await;
            let answer = answer.json();
            assert_eq!(answer["id"], 1);
            assert_eq!(answer["result"]["content"][0]["text"], text.as_str());
        }
    });
    futures_util::future::join_all(asked).await;
}

/// Who knows another's session id has nothing in his hands: not its stream, not its progress.
#[tokio::test]
async fn the_session_of_another_client_is_unknown() {
    let gateway = gateway_for_two();
    let mut one = Caller::new(&gateway, "one", gateway::TOKEN, json!(1)).await;
    let thief = gateway.client_with(Some(SECOND_TOKEN));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let with = |session: &str| {
        let request = thief.request(Method::POST, "/g1/rpc");
        request.header("mcp-session-id", session).json(&body)
    };
    let stolen = thief.send(with(&one.session)).await;
    let invented = thief.send(with("0123456789abcdef0123456789abcdef")).await;
    assert_eq!((stolen.status, invented.status), (404, 404));
    assert_eq!(stolen.error_code(), "session_not_found");
    assert_eq!(stolen.text(), invented.text(), "both look alike");
    one.round(0).await;
}
