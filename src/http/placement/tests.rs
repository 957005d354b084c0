//! Connections that move, over real sockets, with the gate before the routes.

use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::fixture::{self, Running, Wire};
use crate::http::gate::{Gate, Guard};
use crate::http::rules::Rulebook;
use crate::instruments::Instruments;
use crate::shards::Threads;

/// Every server lives at `home-0`; what is let in is answered with the name of the thread that served it.
struct Places {
    _threads: [Threads; 3],
    running: Running,
}

async fn places() -> Places {
    let fronts = Threads::start("front", 2).unwrap();
    let homes = Threads::start("home", 1).unwrap();
    let workers = Threads::start("worker", 2).unwrap();
    let config = fixture::config();
    let drain = CancellationToken::new();
    let guard = Guard::new(Rulebook::new(&config), "http", drain, Instruments::noop());
    let gate = Gate::new(Arc::new(guard), fixture::thread_names());
    let door = fixture::door_with_homes(&fronts, &homes, &workers);
    Places {
        running: Running::behind(door, gate).await,
        _threads: [fronts, homes, workers],
    }
}

/// Status and body.
async fn ask(wire: &mut Wire, path: &str, token: &str) -> (u16, String) {
    wire.send(&format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    ))
    .await;
    answer(wire).await
}

async fn answer(wire: &mut Wire) -> (u16, String) {
    let response = wire.response().await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.get(9..12).unwrap().parse();
    (status.unwrap(), body.to_owned())
}

fn is_worker(answer: &(u16, String)) -> bool {
    answer.0 == 200 && answer.1.starts_with("worker-")
}

/// RD02: a request is served at the home of the server that it asks for, and only if its token may reach that server;
/// everything else, later requests of the same connection too, is served by a worker, so that it delays no new
/// connection.
#[tokio::test]
async fn a_connection_is_at_a_servers_home_for_requests_that_may_reach_it_only() {
    let places = places().await;
    let home = (200, "home-0".to_owned());
    let mut wire = places.running.connect().await;
    for _ in 0..3 {
        assert!(is_worker(&ask(&mut wire, "/health", "T2").await));
        assert_eq!(ask(&mut wire, "/s1/rpc", "T2").await, home);
        assert_eq!(ask(&mut wire, "/s1/mcp", "T2").await, home);
        assert!(is_worker(&ask(&mut wire, "/s2/rpc", "T2").await));
        assert_eq!(ask(&mut wire, "/s2/rpc", "T1").await, home);
        assert!(is_worker(&ask(&mut wire, "/mcp", "T1").await));
    }
}

/// RD04: the requests of a token that has many under way are served away from the home of the server that others wait
/// for, and at the home again when there are fewer.
#[tokio::test]
async fn a_crowd_of_requests_is_served_away_from_the_servers_home() {
    let places = places().await;
    let mut waiting = Vec::new();
    let mut wire = places.running.connect().await;
    let home = (200, "home-0".to_owned());
    for number in 0..8 {
        assert_eq!(
            ask(&mut wire, "/s1/rpc", "T1").await,
            home,
            "{number} under way"
        );
        let mut one = places.running.connect().await;
        one.send("POST /s1/wait HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer T1\r\n\r\n")
            .await;
        waiting.push(one);
    }
    let until_worker = async { while !is_worker(&ask(&mut wire, "/s1/rpc", "T1").await) {} };
    fixture::soon(until_worker).await;
    let mut other = places.running.connect().await;
    assert_eq!(
        ask(&mut other, "/s1/rpc", "T2").await,
        home,
        "another token"
    );
    drop(waiting);
    let until_home = async { while is_worker(&ask(&mut wire, "/s1/rpc", "T1").await) {} };
    fixture::soon(until_home).await;
}

/// RD01: a body that takes long to look through is looked through away from the home of the server.
#[tokio::test]
async fn a_large_body_is_read_away_from_the_servers_home() {
    let places = places().await;
    for (length, is_large) in [(10, false), (64 * 1024, false), (64 * 1024 + 1, true)] {
        let mut wire = places.running.connect().await;
        let body = "b".repeat(length);
        wire.send(&format!(
            "POST /s1/rpc HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer T1\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
        let at = answer(&mut wire).await;
        assert_eq!(is_worker(&at), is_large, "{length} bytes: {at:?}");
    }
}

/// RD02: the home of a server is not even looked up before the token is known.
#[tokio::test]
async fn a_request_without_a_token_moves_nothing() {
    let fronts = Threads::start("front", 1).unwrap();
    let config = fixture::config();
    let drain = CancellationToken::new();
    let guard = Guard::new(Rulebook::new(&config), "http", drain, Instruments::noop());
    let gate = Gate::new(Arc::new(guard), fixture::thread_names());
    let mut door = fixture::door(config.limits);
    door.homes = Homes {
        fronts: fronts.shards(),
        workers: fronts.shards(),
        find: Arc::new(|_, _| panic!("looked up")),
    };
    let running = Running::behind(door, gate).await;
    let mut wire = running.connect().await;
    assert_eq!(ask(&mut wire, "/s1/rpc", "wrong").await.0, 401);
}

/// RD02: a body that is still coming, and a client that goes away, are seen at the new home too.
#[tokio::test]
async fn a_request_goes_on_where_its_connection_has_moved() {
    let places = places().await;
    let mut wire = places.running.connect().await;
    wire.send("POST /s1/rpc HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer T1\r\ncontent-length: 4\r\n\r\nab")
        .await;
    // It is not read by the route, so the answer comes first and the rest of the body is read past.
    assert!(wire.response().await.ends_with("home-0"));
    wire.send("cd").await;
    wire.closed().await;
    let mut gone = places.running.connect().await;
    assert_eq!(ask(&mut gone, "/s1/rpc", "T1").await.0, 200);
    gone.0.shutdown().await.unwrap();
    gone.closed().await;
    places.running.drain.cancel();
    places.running.ended().await;
}

#[test]
fn the_server_stands_between_the_first_two_slashes() {
    for (path, server) in [
        ("/s1/rpc", Some(("s1", "rpc"))),
        ("/a.b-c/mcp/", Some(("a.b-c", "mcp/"))),
        ("/é/rpc", Some(("é", "rpc"))),
        ("//rpc", Some(("", "rpc"))),
        ("/mcp/", Some(("mcp", ""))),
        ("/health", None),
        ("*", None),
        ("", None),
    ] {
        assert_eq!(split_server(path), server, "{path}");
    }
}
