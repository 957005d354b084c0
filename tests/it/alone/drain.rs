//! The end of the gateway that was asked for: what is short is finished, what is long is told, nothing stays.

use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;
use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;

const DRAIN: Duration = Duration::from_secs(3);
/// From a second signal to the end.
const AT_ONCE: Duration = Duration::from_millis(200);

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
}

/// Starts a gateway with time to drain, and has its server up.
async fn draining_gateway(server: Server) -> Gateway {
    let gateway = Gateway::builder()
        .limit("drain_ms", u64::try_from(DRAIN.as_millis()).unwrap())
        .limit("term_grace_ms", 20_000)
        .server(server.set("stop_grace_ms", 200))
        .start();
    echoes(&gateway.client(), "g1", "up").await;
    gateway
}

/// F56.
#[tokio::test]
async fn a_stop_finishes_what_is_short_and_tells_what_is_long() {
    let mut gateway = draining_gateway(Server::gremlin("g1")).await;
    let client = gateway.client();
    let mut stream = RawSocket::connect(gateway.address()).await;
    stream.send(get("/g1/rpc")).await;
    let head = stream.head(SOON).await.expect("an event stream");
    assert_eq!(
        (head.status, head.header("transfer-encoding")),
        (200, Some("chunked"))
    );
    let mut idle = RawSocket::connect(gateway.address()).await;
    idle.send(get("/health")).await;
    assert_eq!(idle.answer(SOON).await.unwrap().0.status, 200);

    let (short, long) = (
        json!({"do": "sleep", "ms": 700, "say": "done", "nonce": "short"}),
        json!({"do": "nothing", "nonce": "long"}),
    );
    let address = gateway.address();
    let logs = gateway.logs().clone();
    let term = async {
        journal_has(&gateway, "g1", "\"nonce\"", 2).await;
        gateway.signal(Signal::TERM);
        let asked = Instant::now();
        let rest = stream.rest(SOON).await;
        let rest = String::from_utf8(rest).unwrap();
        assert!(rest.contains(": ok\n\n"), "no open stream: {rest:?}");
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "no proper end: {rest:?}");
        assert_eq!(idle.rest(SOON).await, b"", "an idle connection is closed");
        logs.event("asked to stop", SOON).await;
        refuses_new_work(address).await;
        asked
    };
    let (asked, short, long) =
        tokio::join!(term, client.deed("g1", &short), client.deed("g1", &long));
    assert_eq!(echoed(&short), "done");
    assert_eq!(fault_of(&long), fault(503, "shutting_down", "unknown"));
    let status = gateway.ended(DRAIN).await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took <= DRAIN, "stopped after {took:?}");
    assert_eq!(gateway.family(), []);
}

/// A connection made in the drain is refused, or told why.
async fn refuses_new_work(address: std::net::SocketAddr) {
    let Ok(connection) = TcpStream::connect(address).await else {
        return;
    };
    drop(connection);
    let mut socket = RawSocket::connect(address).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let head = get("/g1/rpc").replace("GET", "POST");
    let head = head.trim_end();
    socket
        .send(format!(
            "{head}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    if let Some((head, body)) = socket.answer(SOON).await {
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(head.status, 503, "{body}");
        assert_eq!(body["error"]["error_code"], "shutting_down", "{body}");
        assert_eq!(body["error"]["delivered"], "no", "{body}");
        assert_eq!(head.header("connection"), Some("close"));
    }
}

/// F56: in half a second, as the fault profile has it.
#[tokio::test]
async fn a_long_call_is_told_when_the_drain_is_over_and_the_gateway_ends() {
    let mut gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    let mut stream = client.listen("/g1/rpc").await;
    let long = json!({"do": "nothing", "nonce": "long"});
    let term = async {
        journal_has(&gateway, "g1", "\"nonce\"", 1).await;
        gateway.signal(Signal::TERM);
        Instant::now()
    };
    let long = async { (client.deed("g1", &long).await, Instant::now()) };
    let (asked, (answer, answered)) = tokio::join!(term, long);
    assert_eq!(fault_of(&answer), fault(503, "shutting_down", "unknown"));
    let told = answered - asked;
    assert!(told <= Duration::from_millis(700), "told after {told:?}");
    while stream.next(SOON).await.is_some() {}
    let status = gateway.ended(SOON).await;
    assert_eq!(status.code(), Some(0), "{status}");
    let took = asked.elapsed();
    assert!(took <= Duration::from_secs(2), "ended after {took:?}");
    assert_eq!(gateway.family(), []);
}

/// Nothing is under way: nothing is waited for.
#[tokio::test]
async fn an_idle_gateway_stops_at_once() {
    let mut gateway = draining_gateway(Server::gremlin("g1")).await;
    let mut stream = gateway.client().listen("/g1/rpc").await;
    gateway.signal(Signal::TERM);
    let asked = Instant::now();
    while stream.next(SOON).await.is_some() {}
    let status = gateway.ended(DRAIN).await;
    assert_eq!(status.code(), Some(0), "{status}");
    let took = asked.elapsed();
    assert!(
        took <= Duration::from_millis(1500),
        "stopped after {took:?}"
    );
    assert_eq!(gateway.family(), []);
}

/// F57: in the drain.
#[tokio::test]
async fn a_second_signal_in_the_drain_ends_everything_at_once() {
    let stubborn = json!({"ignore_term": true, "ignore_eof": true});
    let mut gateway = draining_gateway(Server::gremlin("g1").orders(&stubborn)).await;
    let client = gateway.client();
    let long = json!({"do": "nothing", "nonce": "long"});
    let kill = async {
        journal_has(&gateway, "g1", "\"nonce\"", 1).await;
        gateway.signal(Signal::TERM);
        gateway.logs().event("asked to stop", SOON).await;
        gateway.signal(Signal::TERM);
        Instant::now()
    };
    let request = client
        .request(reqwest::Method::POST, "/g1/rpc")
        .header("content-type", "application/json")
        .body(
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                   "params": {"name": "gremlin", "arguments": long}})
            .to_string(),
        );
    // Whether there is still an answer is not promised, but the wait is over.
    let (asked, _) = tokio::join!(kill, request.send());
    gateway.ended(DRAIN).await;
    let took = asked.elapsed();
    assert!(took <= AT_ONCE, "ended after {took:?}");
    assert_eq!(gateway.family(), []);
}

/// F57: while the servers are being stopped.
#[tokio::test]
async fn a_second_signal_while_servers_are_stopped_ends_everything_at_once() {
    let stubborn = json!({"ignore_term": true, "ignore_eof": true});
    let mut gateway = draining_gateway(Server::gremlin("g1").orders(&stubborn)).await;
    gateway.signal(Signal::TERM);
    gateway.logs().event("asked to stop", SOON).await;
    // The listener is closed when the drain is over and the servers' turn has come.
    let address = gateway.address();
    wait_for("a closed listener", SOON, async || {
        TcpStream::connect(address).await.err()
    })
    .await;
    assert!(!gateway.family().is_empty());
    gateway.signal(Signal::INT);
    let asked = Instant::now();
    gateway.ended(DRAIN).await;
    let took = asked.elapsed();
    assert!(took <= AT_ONCE, "ended after {took:?}");
    assert_eq!(gateway.family(), []);
}

/// RC09: `drain_ms` is the whole stop, whatever the graces of the servers: with a call under way that is never answered,
/// a server that ends by nothing but SIGKILL, and a client that does not read its answer.
#[tokio::test]
async fn a_stop_under_load_takes_no_longer_than_drain_ms() {
    let stubborn = json!({"ignore_term": true, "ignore_eof": true});
    let mut gateway = draining_gateway(Server::gremlin("g1").orders(&stubborn)).await;
    let client = gateway.client();
    let mut deaf = RawSocket::connect(gateway.address()).await;
    let huge = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "gremlin", "arguments": {"do": "huge", "bytes": 12_000_000, "nonce": "huge"}}});
    let huge = huge.to_string();
    let head = get("/g1/rpc").replace("GET", "POST");
    let length = huge.len();
    let head = head.trim_end();
    deaf.send(format!(
        "{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{huge}"
    ))
    .await;
    let long = json!({"do": "nothing", "nonce": "long"});
    let term = async {
        journal_has(&gateway, "g1", "\"nonce\"", 2).await;
        gateway.signal(Signal::TERM);
        Instant::now()
    };
    let (asked, answer) = tokio::join!(term, client.deed("g1", &long));
    assert_eq!(fault_of(&answer), fault(503, "shutting_down", "unknown"));
    gateway.ended(2 * DRAIN).await;
    let took = asked.elapsed();
    assert!(took <= DRAIN, "stopped after {took:?}");
    assert_eq!(gateway.family(), []);
}
