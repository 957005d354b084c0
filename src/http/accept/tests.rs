//! What the accept loop promises, over real sockets, with any service behind it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use crate::http::bind;
use crate::http::config::LimitsConfig;
use crate::http::fixture::{self, Running, Wire, soon};

const SHORT: Duration = Duration::from_millis(100);
/// Where a test must act within the deadline itself, on a machine that may be busy.
const AMPLE: Duration = Duration::from_secs(1);
const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK";

fn limits() -> LimitsConfig {
    fixture::config().limits
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

/// A body that sends one chunk and then nothing, until `ends` is cancelled.
fn open_stream(ends: CancellationToken) -> Router {
    let handler = move || {
        let ends = ends.clone();
        async move {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))]);
            let silence = stream::pending().take_until(ends.cancelled_owned());
            Body::from_stream(first.chain(silence))
        }
    };
    Router::new().route("/", get(handler))
}

async fn closed_after(wire: &mut Wire, deadline: Duration, since: Instant) {
    wire.closed().await;
    assert!(since.elapsed() >= deadline, "closed too early");
}

/// A crowd is as large as the system lets a backlog be, 300 at most: a process may often open no more than 1024 files.
#[tokio::test]
async fn a_crowd_that_comes_at_once_is_taken_while_nobody_accepts() {
    let bound = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
    // Where it cannot be read, it is as small as anywhere.
    let crowd = bound.map_or(128, |bound| bound.trim().parse().unwrap());
    let listener = bind(&fixture::config()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut connected = Vec::new();
    for _ in 0..crowd.min(300) {
        connected.push(soon(TcpStream::connect(address)).await.unwrap());
    }
}

#[tokio::test]
async fn a_silent_socket_is_closed() {
    let limits = LimitsConfig {
        first_byte: SHORT,
        ..limits()
    };
    let running = Running::start(limits, hello()).await;
    let start = Instant::now();
    closed_after(&mut running.connect().await, SHORT, start).await;
}

#[tokio::test]
async fn trickled_headers_are_cut_at_the_total_deadline() {
    let limits = LimitsConfig {
        headers: SHORT,
        ..limits()
    };
    let running = Running::start(limits, hello()).await;
    let start = Instant::now();
    let (mut reader, mut writer) = running.connect().await.0.into_split();
    let trickle = async {
        writer.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        let mut tick = tokio::time::interval(SHORT / 10);
        while writer.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    };
    let closed = async { while reader.read(&mut [0; 64]).await.unwrap_or(0) > 0 {} };
    soon(async {
        tokio::select! { () = trickle => {}, () = closed => {} }
    })
    .await;
    assert!(start.elapsed() >= SHORT, "closed too early");
}

#[tokio::test]
async fn a_kept_alive_connection_is_reused_and_closed_when_idle() {
    let limits = LimitsConfig {
        idle: AMPLE,
        ..limits()
    };
    let running = Running::start(limits, hello()).await;
    let mut wire = running.connect().await;
    for _ in 0..2 {
        wire.send(GET).await;
        assert!(wire.response().await.starts_with(OK));
    }
    let start = Instant::now();
    wire.closed().await;
    assert!(start.elapsed() >= AMPLE / 2, "closed too early");
}

#[tokio::test]
async fn a_slow_answer_is_not_an_idle_connection() {
    let limits = LimitsConfig {
        first_byte: AMPLE,
        headers: AMPLE,
        idle: AMPLE,
        body: AMPLE,
        ..limits()
    };
    let slow = || async {
        tokio::time::sleep(AMPLE * 3 / 2).await;
        "slow"
    };
    let running = Running::start(limits, Router::new().route("/", get(slow))).await;
    let mut wire = running.connect().await;
    wire.send(GET).await;
    assert!(wire.response().await.ends_with("slow"));
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_given_up() {
    const SIZE: usize = 64 * 1024 * 1024;
    let limits = LimitsConfig {
        body: SHORT,
        ..limits()
    };
    let large = Router::new().route("/", get(|| async { vec![0_u8; SIZE] }));
    let running = Running::start(limits, large).await;
    let mut wire = running.connect().await;
    wire.send(GET).await;
    // With the connection given up, a drain has nothing to wait for.
    wire.until("\r\n\r\n").await;
    let watch = Instant::now();
    running.drain.cancel();
    running.ended().await;
    assert!(
        watch.elapsed() < limits.drain,
        "the drain deadline ended it"
    );
}

#[tokio::test]
async fn the_last_response_of_a_connection_arrives_whole() {
    const SIZE: usize = 16 * 1024 * 1024;
    let large = Router::new().route("/", any(|| async { vec![b'x'; SIZE] }));
    let running = Running::start(limits(), large).await;
    // The second leaves a body unread, so nothing but the write is left to end the connection.
    for request in [
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\n",
    ] {
        let mut wire = running.connect().await;
        wire.send(request).await;
        wire.until("\r\n\r\n").await;
        assert_eq!(wire.rest().await.len(), SIZE, "{request}");
    }
}

#[tokio::test]
async fn connections_over_the_cap_of_an_address_are_closed_and_places_come_back() {
    let limits = LimitsConfig {
        max_connections_per_ip: 2,
        ..limits()
    };
    let running = Running::start(limits, hello()).await;
    let (mut one, mut two) = (running.connect().await, running.connect().await);
    for wire in [&mut one, &mut two] {
        wire.send(GET).await;
        assert!(wire.response().await.starts_with(OK));
    }
    running.connect().await.closed().await;
    drop(one);
    // The place is free as soon as the server has noticed.
    soon(async {
        loop {
            let mut wire = running.connect().await;
            let mut answer = Vec::new();
            let sent = wire.0.write_all(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n").await;
            let _closed_at_once = wire.0.read_to_end(&mut answer).await;
            if sent.is_ok() && answer.ends_with(b"hello") {
                break;
            }
        }
    })
    .await;
    two.send(GET).await;
    assert!(two.response().await.starts_with(OK));
}

#[tokio::test]
async fn the_cap_on_all_connections_holds() {
    let limits = LimitsConfig {
        max_connections: 1,
        ..limits()
    };
    let running = Running::start(limits, hello()).await;
    let mut one = running.connect().await;
    one.send(GET).await;
    assert!(one.response().await.starts_with(OK));
    running.connect().await.closed().await;
}

#[tokio::test]
async fn heads_over_hyper_s_limits_are_refused_with_a_bare_status() {
    let running = Running::start(limits(), hello()).await;
    let headers = "x: y\r\n".repeat(101);
    for (head, status) in [
        (format!("GET / HTTP/1.1\r\n{headers}\r\n"), "431"),
        (
            format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
            "431",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(70_000)),
            "414",
        ),
        ("GET / HTTP/1.1\r\nx : y\r\n\r\n".to_owned(), "400"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            "400",
        ),
    ] {
        let mut wire = running.connect().await;
        wire.send(&head).await;
        let answer = wire.rest().await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{expected}, got {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer:?}");
    }
    let mut wire = running.connect().await;
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(wire.rest().await, "", "http/2 is closed without a word");
}

#[tokio::test]
async fn a_drain_ends_idle_connections_and_lets_an_open_stream_finish() {
    let ends = CancellationToken::new();
    let running = Running::start(limits(), open_stream(ends.clone())).await;
    let (mut busy, mut idle) = (running.connect().await, running.connect().await);
    idle.send("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.until("\r\n\r\n").await;
    busy.send(GET).await;
    busy.until("first\r\n").await;
    running.drain.cancel();
    idle.closed().await;
    let refused = TcpStream::connect(running.address).await;
    assert!(refused.is_err(), "still listening");
    ends.cancel();
    assert_eq!(
        busy.rest().await,
        "0\r\n\r\n",
        "the stream has its proper end"
    );
    running.ended().await;
}

#[tokio::test]
async fn what_outlasts_the_drain_deadline_is_dropped() {
    let limits = LimitsConfig {
        drain: SHORT,
        ..limits()
    };
    let running = Running::start(limits, open_stream(CancellationToken::new())).await;
    let mut wire = running.connect().await;
    wire.send(GET).await;
    wire.until("first\r\n").await;
    let start = Instant::now();
    running.drain.cancel();
    running.ended().await;
    assert!(start.elapsed() >= SHORT, "dropped too early");
    wire.closed().await;
}

#[tokio::test]
async fn a_kill_drops_everything_at_once() {
    let running = Running::start(limits(), open_stream(CancellationToken::new())).await;
    let mut wire = running.connect().await;
    wire.send(GET).await;
    wire.until("first\r\n").await;
    let start = Instant::now();
    running.kill.cancel();
    running.ended().await;
    assert!(
        start.elapsed() < limits().drain,
        "waited for the drain deadline"
    );
    wire.closed().await;
}

#[tokio::test]
async fn a_client_that_goes_away_drops_its_request() {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (dropped, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (dropped, entered) = (Arc::clone(&dropped), Arc::clone(&entered));
        move || async move {
            let _tell = Dropped(dropped);
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let running = Running::start(limits(), Router::new().route("/", get(handler))).await;
    let mut wire = running.connect().await;
    wire.send(GET).await;
    soon(entered.notified()).await;
    drop(wire);
    soon(dropped.notified()).await;
}

#[test]
fn failed_accepts_back_off_from_5_ms_to_1_s() {
    let error = io::Error::from(Errno::MFILE);
    let mut backoff = Backoff::default();
    let delays: Vec<_> = (0..10)
        .map(|_| backoff.failed(&error).as_millis())
        .collect();
    assert_eq!(delays, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    backoff.recovered();
    assert_eq!(backoff.failed(&error).as_millis(), 5);
}

#[test]
fn a_lost_connection_is_not_a_broken_listener() {
    for (errno, kind) in [
        (Errno::CONNABORTED, AcceptError::Connection),
        (Errno::MFILE, AcceptError::Machine),
        (Errno::NFILE, AcceptError::Machine),
        (Errno::NOBUFS, AcceptError::Machine),
        (Errno::BADF, AcceptError::Listener),
        (Errno::INVAL, AcceptError::Listener),
    ] {
        assert_eq!(kind_of(&errno.into()), kind, "{errno:?}");
    }
    let without_address = io::Error::from(io::ErrorKind::InvalidInput);
    assert_eq!(kind_of(&without_address), AcceptError::Connection);
}
