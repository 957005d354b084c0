//! An answer that comes in the middle of much else: it arrives, whatever becomes of the rest.

use std::time::Duration;

use serde_json::{Value, json};

use crate::alone::dropped;
use crate::support::client::Client;
use crate::support::mcp::{Session, modern, modern_post, tool_call};
use crate::support::socket::RawSocket;
use crate::support::sse::Sse;
use crate::support::stdio::text_of;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(30);
const COUNTS: [u64; 3] = [300, 2000, 5000];
const REVISION: &str = "2025-11-25";

fn gateway() -> Gateway {
    Gateway::builder()
        // A debug line for each dropped message would be what the test measures.
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::gremlin("g1").set("request_timeout_ms", 60_000))
        .start()
}

/// A legacy call that is answered in one write with so many messages before the answer.
fn burst(of: &str, count: u64) -> Value {
    let arguments = json!({"do": "burst", "of": of, "count": count, "text": "x"});
    let mut call = tool_call("call", "gremlin", &arguments);
    call["params"]["_meta"] = json!({"progressToken": "own"});
    call
}

/// The same of a modern client that wants logs.
fn modern_burst(of: &str, count: u64, text: &str) -> Value {
    let arguments = json!({"do": "burst", "of": of, "count": count, "text": text});
    let params = json!({"name": "gremlin", "arguments": arguments});
    let mut call = modern("call", "tools/call", &params);
    let meta = &mut call["params"]["_meta"];
    meta["progressToken"] = "own".into();
    meta["io.modelcontextprotocol/logLevel"] = "debug".into();
    call
}

/// Reads a stream to its end: the response is on it, as the last message. Gives the number of the others.
async fn before_response(stream: &mut Sse) -> u64 {
    let mut heard = stream.messages(SOON).await;
    let response = heard.pop().expect("a message");
    assert_eq!(response["id"], "call", "{response}");
    assert_eq!(text_of(&response), "done");
    let others = |message: &Value| message["method"].is_string();
    assert!(heard.iter().all(others), "one response");
    u64::try_from(heard.len()).unwrap()
}

/// Every message of a burst was heard or is counted as dropped.
async fn accounted(client: &Client, before: f64, heard: u64, count: u64) {
    let lost = dropped(client, "g1", "slow_stream").await - before;
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let missing = (count - heard) as f64;
    assert!(
        (lost - missing).abs() < 0.5,
        "{lost} dropped, {heard} of {count} heard"
    );
    assert!(heard >= 128.min(count), "{heard} of {count} heard");
}

/// RA01: in a session.
#[tokio::test]
async fn a_session_gets_the_answer_behind_a_burst() {
    let gateway = gateway();
    let client = gateway.client();
    let session = Session::open(&client, "/g1/mcp", REVISION).await;
    for of in ["progress", "log"] {
        for count in COUNTS {
            let before = dropped(&client, "g1", "slow_stream").await;
            let mut stream = session.stream(&burst(of, count)).await;
            let heard = before_response(&mut stream).await;
            accounted(&client, before, heard, count).await;
        }
    }
}

/// RA01: in the modern era, and with all servers as one.
#[tokio::test]
async fn a_modern_client_gets_the_answer_behind_a_burst() {
    let gateway = gateway();
    let client = gateway.client();
    for of in ["progress", "log"] {
        for (count, path) in COUNTS.into_iter().zip(["/g1/mcp", "/g1/mcp", "/mcp"]) {
            let before = dropped(&client, "g1", "slow_stream").await;
            let mut call = modern_burst(of, count, "x");
            if path == "/mcp" {
                call["params"]["name"] = "g1__gremlin".into();
            }
            let response = modern_post(&client, path, &call).send().await.unwrap();
            let heard = before_response(&mut Sse::new(response)).await;
            accounted(&client, before, heard, count).await;
        }
    }
}

/// RA01: by the plain endpoint, the progress on a stream of its own, which goes on after the burst.
#[tokio::test]
async fn a_plain_client_gets_the_answer_behind_a_burst_and_keeps_its_stream() {
    let gateway = gateway();
    let client = gateway.client();
    let mut stream = client.listen("/g1/rpc").await;
    let session = stream.headers["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    for count in [400, 2000, 5000] {
        let before = dropped(&client, "g1", "slow_stream").await;
        let request = client
            .request(reqwest::Method::POST, "/g1/rpc")
            .header("content-type", "application/json")
            .header("mcp-session-id", &session)
            .body(burst("progress", count).to_string());
        let marker = json!({"do": "list_changed", "of": "tools"});
        let ask = async {
            let answer = client.send(request).await;
            assert_eq!(text_of(&answer.json()), "done");
            client.deed("g1", &marker).await;
        };
        let read = async {
            let mut heard = 0;
            while stream.message(SOON).await["method"] == "notifications/progress" {
                heard += 1;
            }
            heard
        };
        let ((), heard) = tokio::join!(ask, read);
        accounted(&client, before, heard, count).await;
    }
}

/// The bytes of a request.
fn in_bytes(path: &str, headers: &str, body: &Value) -> String {
    let (body, token) = (body.to_string(), crate::support::gateway::TOKEN);
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// RA01: who does not read for a while loses logs, and gets the answer when it reads again; what waits for it is
/// little.
#[tokio::test]
async fn who_reads_late_gets_the_answer_and_not_all_that_came_before_it() {
    const COUNT: u64 = 20_000;
    let gateway = Gateway::builder()
        .set("log", json!({"level": "info", "format": "json"}))
        .limit("stream_queue_bytes", 65_536)
        .server(Server::gremlin("g1").set("request_timeout_ms", 60_000))
        .start();
    let client = gateway.client();
    let text = "x".repeat(1000);
    let session = Session::open(&client, "/g1/mcp", REVISION).await;
    let mut legacy = burst("log", COUNT);
    legacy["params"]["arguments"]["text"] = text.as_str().into();
    let in_session = format!(
        "mcp-session-id: {}\r\nmcp-protocol-version: {REVISION}\r\n",
        session.id
    );
    let of_modern =
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: gremlin\r\n";
    for request in [
        in_bytes("/g1/mcp", &in_session, &legacy),
        in_bytes("/g1/mcp", of_modern, &modern_burst("log", COUNT, &text)),
    ] {
        let before = dropped(&client, "g1", "slow_stream").await;
        let mut late = RawSocket::connect_narrow(gateway.address(), 4096).await;
        late.send(&request).await;
        wait_for("most of it to be dropped", SOON, async || {
            let lost = dropped(&client, "g1", "slow_stream").await - before;
            (lost > 10_000.0).then_some(())
        })
        .await;
        let heard = late.until("\"id\":\"call\"", SOON).await;
        late.until("\r\n0\r\n\r\n", SOON).await;
        let heard = heard.matches("notifications/message").count();
        assert!(heard < 10_000, "{heard} of {COUNT} heard");
    }
}
