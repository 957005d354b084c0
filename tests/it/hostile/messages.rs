//! JSON and JSON-RPC from clients (H054 to H084).
//!
//! Each input is sent by every door that takes a message: `POST /{server_id}/rpc`, the wrapper of
//! `POST /rpc`, and `POST /{server_id}/mcp` in both eras.

mod alone;
mod claims;
mod forwarded;
mod json;
mod names;
mod shapes;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::journal::Entry;
use crate::support::mcp::{MODERN, Session};
use crate::support::wait::wait_until;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
/// The in-band codes: not JSON, and JSON that is no message.
const NOT_JSON: i64 = -32700;
const NO_MESSAGE: i64 = -32600;

/// A way in for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Rpc,
    Wrapper,
    Legacy,
    Modern,
}

impl Door {
    const ALL: [Self; 4] = [Self::Rpc, Self::Wrapper, Self::Legacy, Self::Modern];

    /// An error is told by the envelope of the plain endpoints, not as JSON-RPC.
    fn is_plain(self) -> bool {
        matches!(self, Self::Rpc | Self::Wrapper)
    }
}

/// A gateway with one gremlin that is up, and a session on it.
struct Doors {
    gateway: Gateway,
    client: Client,
    session: Session,
}

impl Doors {
    async fn open() -> Self {
        let gateway = Gateway::builder().server(Server::gremlin("s1")).start();
        let client = gateway.client();
        let session = Session::open(&client, "/s1/mcp", "2025-11-25").await;
        let doors = Self {
            gateway,
            client,
            session,
        };
        // What the gateway asks of its own accord before the first modern call is asked by now.
        let echo = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"up"}}}"#;
        for door in Door::ALL {
            let answer = doors.send(door, &claiming(door, echo)).await;
            assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        }
        doors
    }

    /// Sends a body as it is, as the payload where the door wants a wrapper.
    async fn send(&self, door: Door, body: &[u8]) -> Answer {
        let (path, body) = match door {
            Door::Rpc => ("/s1/rpc", body.to_vec()),
            Door::Wrapper => (
                "/rpc",
                [&br#"{"server_id":"s1","payload":"#[..], body, b"}"].concat(),
            ),
            Door::Legacy | Door::Modern => ("/s1/mcp", body.to_vec()),
        };
        let request = self.client.request(Method::POST, path);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let request = match door {
            Door::Rpc | Door::Wrapper => request,
            Door::Legacy => request
                .header("accept", "application/json")
                .header("mcp-session-id", &self.session.id)
                .header("mcp-protocol-version", "2025-11-25"),
            Door::Modern => request
                .header("mcp-protocol-version", MODERN)
                .header("mcp-method", "tools/call")
                .header("mcp-name", "echo"),
        };
        self.client.send(request).await
    }

    /// How many frames the gremlin has read, none of them still on its way.
    async fn frames(&self) -> usize {
        let answer = self
            .client
            .call("s1", "echo", &json!({"text": "marker"}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let journal = self.gateway.journal("s1");
        let entries = journal.entries_of_first();
        let own = entries.iter().filter(|entry| entry.contains("marker"));
        let own = own.count();
        assert_eq!(own, journal.count("marker"), "another process serves");
        entries.len() - own
    }

    /// Sends each body by every door: it is refused with this code and is not written to the server.
    async fn refuse(&self, bodies: &[(Vec<u8>, i64)]) {
        let before = self.frames().await;
        for (body, code) in bodies {
            for door in Door::ALL {
                let answer = self.send(door, body).await;
                is_refused(door, body, &answer, *code);
            }
        }
        let written = self.frames().await - before;
        assert_eq!(written, 0, "frames of what was refused");
    }

    /// Sends a body by one door; gives the answer and the one frame that came of it.
    async fn forward(&self, door: Door, body: &[u8]) -> (Answer, Vec<u8>) {
        let journal = self.gateway.journal("s1");
        let before = journal.entries_of_first().len();
        let answer = self.send(door, body).await;
        // A notification is taken over before it is written.
        let read = || journal.entries_of_first();
        wait_until("a frame", SOON, || read().len() > before).await;
        let mut entries = read();
        assert_eq!(
            entries.len(),
            before + 1,
            "{door:?}: frames of {}: {:#?}",
            shown(body),
            entries.iter().map(Entry::json).collect::<Vec<_>>()
        );
        (answer, entries.pop().unwrap().frame)
    }
}

/// The refusal of a message: short, the same for all, and nothing in it of what was sent.
fn is_refused(door: Door, body: &[u8], answer: &Answer, code: i64) {
    let (text, shown) = (answer.text(), shown(body));
    assert_eq!(answer.status, 400, "{door:?}: {shown}: {text}");
    let told = answer.json();
    if door.is_plain() {
        let error_code = &told["error"]["error_code"];
        assert_eq!(error_code, "invalid_request", "{door:?}: {shown}: {text}");
    } else if !(door == Door::Modern && code == NO_MESSAGE && told["error"]["code"] == -32602) {
        assert_eq!(told["error"]["code"], code, "{door:?}: {shown}: {text}");
    }
    assert!(answer.body.len() < 600, "{door:?}: {text}");
    assert!(!text.contains("CANARY"), "{door:?}: {text}");
}

/// A body with the claims that a modern request must make, where the door wants them: they are put
/// behind the first `"params":{`.
fn claiming(door: Door, body: &[u8]) -> Vec<u8> {
    const PARAMS: &str = r#""params":{"#;
    const CLAIMS: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}},"#;
    if door != Door::Modern {
        return body.to_vec();
    }
    let at = body
        .windows(PARAMS.len())
        .position(|window| window == PARAMS.as_bytes())
        .expect("params with members");
    let (start, end) = body.split_at(at + PARAMS.len());
    [start, CLAIMS.as_bytes(), end].concat()
}

/// The start of a body, for people.
fn shown(body: &[u8]) -> String {
    format!(
        "{:?}",
        String::from_utf8_lossy(&body[..body.len().min(200)])
    )
}

/// Whether a frame holds these bytes.
fn holds(frame: &[u8], bytes: &[u8]) -> bool {
    frame.windows(bytes.len()).any(|window| window == bytes)
}

/// A call of `echo` whose arguments have this member beside the text, as JSON text.
fn echo_with(id: &str, member: &str) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"hi"{member}}}}}}}"#
    )
    .into_bytes()
}

/// The id of an answer as it stands in its bytes, at any door.
fn id_text(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text.split_once(r#""id":"#).expect("an id");
    let mut stream =
        serde_json::Deserializer::from_str(rest).into_iter::<&serde_json::value::RawValue>();
    stream
        .next()
        .expect("a value")
        .expect("JSON")
        .get()
        .to_owned()
}

/// The message in an answer, taken out of the wrapper where the door has one.
fn message_in(door: Door, answer: &Answer) -> Value {
    let told = answer.json();
    match door {
        Door::Wrapper if !told["payload"].is_null() => told["payload"].clone(),
        _ => told,
    }
}
