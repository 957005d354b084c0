//! The support itself, as far as it can be wrong without a gateway noticing.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::client::Client;
use crate::support::process;
use crate::support::socket::{RawSocket, free_port};
use crate::support::wait::wait_until;
use crate::support::{Gateway, StdioServer};

const SOON: Duration = Duration::from_secs(10);

/// Answers one connection with these bytes and gives what was asked.
async fn serve_once(listener: TcpListener, answer: &'static [u8]) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = vec![0; 64 * 1024];
    let count = stream.read(&mut asked).await.unwrap();
    stream.write_all(answer).await.unwrap();
    String::from_utf8(asked[..count].to_vec()).unwrap()
}

#[tokio::test]
async fn a_client_sends_its_token_and_gives_the_whole_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap(), Some("t0ken"));
    let answer = b"HTTP/1.1 503 S\r\nretry-after: 7\r\ncontent-length: 38\r\n\r\n{\"error\":{\"error_code\":\"server_busy\"}}";
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let (asked, answer) = tokio::join!(serve_once(listener, answer), client.rpc("s1", &ping));
    assert!(asked.starts_with("POST /s1/rpc HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer t0ken\r\n"), "{asked}");
    assert_eq!((answer.status, answer.header("retry-after")), (503, "7"));
    assert_eq!(answer.error_code(), "server_busy");
}

#[tokio::test]
async fn a_client_reads_a_stream_event_by_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap(), None);
    let answer = b"HTTP/1.1 200 O\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: ok\n\nid: 1\ndata:\n\ndata: {\"n\":1}\n\n";
    let (asked, mut stream) = tokio::join!(serve_once(listener, answer), client.listen("/s1/rpc"));
    assert!(!asked.contains("authorization"), "{asked}");
    assert_eq!(stream.message(SOON).await, json!({"n": 1}));
    assert_eq!(stream.next(SOON).await, None);
}

#[tokio::test]
async fn a_raw_socket_tells_answers_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut socket = RawSocket::connect(listener.local_addr().unwrap()).await;
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 401 No\r\nX: y\r\n\r\n";
    socket.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(serve_once(listener, answer).await, "GET / HTTP/1.1\r\n\r\n");
    let (head, body) = socket.answer(SOON).await.unwrap();
    assert_eq!((head.status, body.as_slice()), (200, &b"hi"[..]));
    let head = socket.head(SOON).await.unwrap();
    assert_eq!((head.status, head.header("x")), (401, Some("y")));
    assert_eq!(socket.rest(SOON).await, b"");
}

#[tokio::test]
async fn a_free_port_can_be_bound() {
    let port = free_port().await;
    TcpListener::bind(("127.0.0.1", port)).await.unwrap();
}

#[tokio::test]
async fn a_marked_process_is_found_with_its_parent_until_it_ends() {
    let mut server = StdioServer::gremlin(&json!({}));
    let pid = server.pid();
    wait_until("the gremlin below this process", SOON, || {
        let children = process::descendants(std::process::id());
        children.iter().any(|child| child.pid == pid)
    })
    .await;
    wait_until("the gremlin by its marker", SOON, || {
        server.family().iter().map(|member| member.pid).eq([pid])
    })
    .await;
    assert!(process::command_line(pid).contains("gremlin"));
    server.hang_up();
    server.ended();
    assert!(server.family().is_empty());
    assert_eq!(process::find(pid), None);
}

#[tokio::test]
async fn a_process_that_was_not_waited_for_is_a_zombie_and_not_alive() {
    let mut server = StdioServer::gremlin(&json!({"exit": 0}));
    let pid = server.pid();
    wait_until("a zombie", SOON, || {
        process::find(pid).is_some_and(|child| child.state == 'Z')
    })
    .await;
    assert!(!process::is_alive(pid));
    server.ended();
}

#[cfg(target_os = "linux")]
#[test]
fn a_footprint_counts_an_open_file() {
    let me = std::process::id();
    let before = process::footprint(me).unwrap();
    let file = std::fs::File::open("/proc/self/stat").unwrap();
    assert_eq!(
        process::footprint(me).unwrap().descriptors,
        before.descriptors + 1
    );
    drop(file);
    assert!(before.threads >= 1 && before.resident_kib > 100);
}

#[test]
fn a_gateway_that_ends_before_it_listens_is_reported() {
    let refusal = Gateway::builder()
        .set("allowed_clients", json!([]))
        .refusal();
    assert!(refusal.status.code().is_some(), "{refusal:?}");
}
