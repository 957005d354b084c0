//! What the gate promises, over real sockets, with the accept loop before it and trivial routes behind.

use std::time::Duration;

use axum::Router;
use axum::extract::Request as Asked;
use axum::routing::{get, post};
use http::HeaderName;
use http_body_util::BodyExt;

use super::*;
use crate::http::body::{self, BodyLimits};
use crate::http::config::{Config, LimitsConfig};
use crate::http::fixture::{self, Running, Wire};
use crate::http::routes;
use crate::instruments::Instruments;
use crate::memory_budget::MemoryBudget;

mod counted;
mod heads;
mod panics;

const SHORT: Duration = Duration::from_millis(500);
const TOKEN: &str = "host: localhost\r\nauthorization: Bearer T1\r\n";

/// Reads the body as the endpoints do.
async fn echo(limits: LimitsConfig, request: Asked) -> Response {
    let (parts, incoming) = request.into_parts();
    let mark = &parts.extensions.get::<LetIn>().unwrap().mark;
    let limits = BodyLimits {
        max: limits.max_body_bytes,
        deadline: limits.body,
    };
    let memory = MemoryBudget::new(usize::MAX);
    match body::read(incoming, limits, &memory, PrincipalId(1), mark).await {
        Ok(bytes) => bytes.into_response(),
        Err(fault) => Problem::from(fault).into_response(),
    }
}

fn router(limits: LimitsConfig) -> Router {
    Router::new()
        .route("/echo", post(move |request: Asked| echo(limits, request)))
        .route("/unread", post(|| async { "unread" }))
        .route("/panic", post(|| async { panic!("a bug") as () }))
        .route("/wait", post(std::future::pending::<()>))
        .route(
            "/token",
            get(|request: Asked| async move {
                request.headers().contains_key(AUTHORIZATION).to_string()
            }),
        )
}

fn gate(config: &Config, drain: CancellationToken) -> Gate<Router> {
    let guard = Guard::new(Rulebook::new(config), "http", drain, Instruments::noop());
    Gate::new(Arc::new(guard), router(config.limits))
}

async fn running(config: &Config) -> Running {
    Running::start(config.limits, gate(config, CancellationToken::new())).await
}

fn post_to(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// The gate's answer without a socket: status, error code and headers.
async fn ask(gate: &Gate<Router>, request: http::request::Builder) -> (u16, String, HeaderMap) {
    let request = request.body(Body::empty()).unwrap();
    let response = gate
        .answer(&ConnectionContext::fixed(peer()), request)
        .await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = value["error"]["error_code"].as_str().unwrap_or_default();
    (parts.status.as_u16(), code.to_owned(), parts.headers)
}

/// H026, without a socket: no path and no method is let in unnamed.
#[tokio::test]
async fn no_route_no_path_and_no_method_is_open() {
    let gate = gate(&fixture::config(), CancellationToken::new());
    let paths = routes().iter().map(|route| route.path);
    let paths = paths.chain(["/", "/mcp", "/s1/mcp", "/favicon.ico", "/unknown", "/echo"]);
    for path in paths {
        for method in [
            "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "GETT", "get",
        ] {
            let path = path.replace(['{', '}'], "");
            let request = Request::builder().method(method).uri(&path);
            let without = ask(&gate, request.header("host", "localhost")).await;
            let (status, _, headers) = &without;
            assert!(matches!(status, 401 | 429), "{method} {path}: {without:?}");
            assert!(
                headers
                    .keys()
                    .all(|name| !name.as_str().starts_with("access-control"))
            );
        }
    }
}

#[tokio::test]
async fn every_response_has_the_headers_of_the_house_and_no_more() {
    let gate = gate(&fixture::config(), CancellationToken::new());
    let good = Request::builder().uri("/token").header("host", "localhost");
    let good = good.header("authorization", "Bearer T1");
    let bad = Request::builder().uri("/token").header("host", "localhost");
    for (request, status) in [(good, 200), (bad, 401)] {
        let (answered, _, headers) = ask(&gate, request).await;
        assert_eq!(answered, status);
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert!(!headers.contains_key(HeaderName::from_static("server")));
    }
}

#[tokio::test]
async fn failed_authentications_are_limited_by_address_and_a_right_token_passes() {
    let mut config = fixture::config();
    config.admission.failed_auth_per_minute = 3;
    let gate = gate(&config, CancellationToken::new());
    let with = |token: &str| {
        let request = Request::builder().uri("/token").header("host", "localhost");
        request.header("authorization", format!("Bearer {token}"))
    };
    for _ in 0..3 {
        assert_eq!(ask(&gate, with("wrong")).await.0, 401);
    }
    let (status, code, headers) = ask(&gate, with("wrong")).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert_eq!(headers["retry-after"], "60");
    assert_eq!(ask(&gate, with("T1")).await.0, 200);
    assert_eq!(
        ask(&gate, with("wrong")).await.0,
        429,
        "success does not reset the count"
    );
}

#[tokio::test]
async fn heads_over_our_own_limits_are_refused_after_admission() {
    let gate = gate(&fixture::config(), CancellationToken::new());
    let long = format!("/{}", "x".repeat(MAX_TARGET));
    let request = || Request::builder().header("host", "localhost");
    assert_eq!(ask(&gate, request().uri(&long)).await.0, 401);
    let token = || request().header("authorization", "Bearer T1");
    assert_eq!(ask(&gate, token().uri(&long)).await.1, "uri_too_long");
    let large = "x".repeat(MAX_HEADER_BLOCK);
    let request = token().uri("/token").header("x", large);
    assert_eq!(ask(&gate, request).await.1, "headers_too_large");
}

#[tokio::test]
async fn a_token_over_its_share_is_told_to_come_back_and_can_still_look() {
    let mut config = fixture::config();
    config.limits.max_in_flight_per_token = 1;
    let gate = gate(&config, CancellationToken::new());
    let with = |method: &str, path: &str, token: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        request.header("authorization", format!("Bearer {token}"))
    };
    let waiting = with("POST", "/wait", "T1").body(Body::empty()).unwrap();
    let connection = ConnectionContext::fixed(peer());
    let mut waiting = Box::pin(gate.answer(&connection, waiting));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let (status, code, headers) = ask(&gate, with("POST", "/unread", "T1")).await;
    assert_eq!((status, code.as_str()), (429, "rate_limited"));
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(ask(&gate, with("GET", "/token", "T1")).await.0, 200);
    assert_eq!(ask(&gate, with("POST", "/unread", "T2")).await.0, 200);
    drop(waiting);
    assert_eq!(ask(&gate, with("POST", "/unread", "T1")).await.0, 200);
}

#[tokio::test]
async fn pipelined_requests_are_each_let_in_or_refused_in_order() {
    let running = running(&fixture::config()).await;
    let mut wire = running.connect().await;
    let good = format!("GET /token HTTP/1.1\r\n{TOKEN}\r\n");
    let bad = "GET /token HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer no\r\n\r\n";
    wire.send(&format!("{good}{bad}{good}")).await;
    for status in ["200", "401"] {
        let answer = wire.response().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    // A refusal ends the connection.
    assert_eq!(wire.rest().await, "");
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_never_taken_for_a_request() {
    let running = running(&fixture::config()).await;
    let smuggled = format!("GET /token HTTP/1.1\r\n{TOKEN}\r\n");
    for headers in [
        "host: localhost\r\n",
        "host: evil.example\r\nauthorization: Bearer T1\r\n",
    ] {
        let mut wire = running.connect().await;
        wire.send(&post_to("/echo", headers, &smuggled)).await;
        let answer = wire.rest().await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    // Let in, but the handler did not look at the body.
    let mut wire = running.connect().await;
    wire.send(&post_to("/unread", TOKEN, &smuggled)).await;
    let answer = wire.rest().await;
    assert!(answer.ends_with("unread"), "{answer}");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let running = running(&fixture::config()).await;
    let mut wire = running.connect().await;
    let body = "x".repeat(200_000);
    wire.send(&post_to("/echo", "host: localhost\r\n", &body))
        .await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn nobody_is_asked_for_a_body_that_is_refused() {
    let running = running(&fixture::config()).await;
    let expect = "expect: 100-continue\r\n";
    for (headers, length, status) in [
        (format!("host: localhost\r\n{expect}"), 5, "401"),
        (format!("{TOKEN}{expect}"), 4096, "413"),
    ] {
        let mut wire = running.connect().await;
        wire.send(&format!(
            "POST /echo HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n"
        ))
        .await;
        let answer = wire.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    let mut wire = running.connect().await;
    wire.send(&format!(
        "POST /echo HTTP/1.1\r\n{TOKEN}{expect}content-length: 5\r\n\r\n"
    ))
    .await;
    assert!(wire.until("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    wire.send("hello").await;
    assert!(wire.response().await.ends_with("hello"));
}

#[tokio::test]
async fn bodies_over_a_limit_end_the_connection() {
    let mut config = fixture::config();
    config.limits.body = SHORT;
    let running = running(&config).await;
    let post = |rest: &str| format!("POST /echo HTTP/1.1\r\n{TOKEN}{rest}");
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    for (request, status) in [
        (post("content-length: 1025\r\n\r\n"), "413"),
        (post(&format!("{chunked}{chunk}1\r\nx\r\n0\r\n\r\n")), "413"),
        (post("content-length: 10\r\n\r\nhello"), "408"),
        (post(&format!("{chunked}5\r\nhello\r\n")), "408"),
        (post(&format!("{chunked}0x5\r\nhello\r\n0\r\n\r\n")), "400"),
        (
            post(&format!(
                "{chunked}5;{}\r\nhello\r\n0\r\n\r\n",
                "x".repeat(40_000)
            )),
            "400",
        ),
    ] {
        let mut wire = running.connect().await;
        wire.send(&request).await;
        let answer = wire.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {answer}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
    }
    let mut wire = running.connect().await;
    wire.send(&post(&format!("{chunked}{chunk}0\r\n\r\n")))
        .await;
    assert!(
        wire.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"),
        "exactly the cap"
    );
}

#[tokio::test]
async fn length_and_chunks_together_are_one_request_and_the_end() {
    let running = running(&fixture::config()).await;
    let mut wire = running.connect().await;
    let smuggled = format!("GET /token HTTP/1.1\r\n{TOKEN}\r\n");
    let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    wire.send(&format!(
        "POST /echo HTTP/1.1\r\n{TOKEN}{both}0\r\n\r\n{smuggled}"
    ))
    .await;
    let answer = wire.rest().await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn an_offer_to_upgrade_is_ignored() {
    let running = running(&fixture::config()).await;
    let mut wire = running.connect().await;
    for offer in ["websocket", "h2c", "h2c"] {
        let upgrade = format!("connection: upgrade\r\nupgrade: {offer}\r\n");
        wire.send(&format!("GET /token HTTP/1.1\r\n{TOKEN}{upgrade}\r\n"))
            .await;
        assert!(wire.response().await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_request_during_the_drain_is_refused_as_not_delivered() {
    let drain = CancellationToken::new();
    let gate = gate(&fixture::config(), drain.clone());
    drain.cancel();
    let request = || Request::builder().uri("/token").header("host", "localhost");
    assert_eq!(ask(&gate, request()).await.0, 401, "strangers are not told");
    let (status, code, headers) = ask(&gate, request().header("authorization", "Bearer T1")).await;
    assert_eq!((status, code.as_str()), (503, "shutting_down"));
    assert_eq!(headers[CONNECTION], "close");
}

#[tokio::test]
async fn an_absolute_target_and_odd_hosts_are_checked_on_the_wire() {
    let running = running(&fixture::config()).await;
    let token = "authorization: Bearer T1\r\n";
    for (target, host, status) in [
        ("http://localhost/token", "host: localhost\r\n", "200"),
        ("http://evil.example/token", "host: localhost\r\n", "403"),
        ("http://localhost/token", "host: evil.example\r\n", "403"),
        ("/token", "", "400"),
        ("/token", "host: localhost\r\nhost: localhost\r\n", "400"),
        ("//evil.example/token", "host: localhost\r\n", "404"),
        ("/token/", "host: localhost\r\n", "200"),
        ("/token//", "host: localhost\r\n", "404"),
        ("*", "host: localhost\r\n", "400"),
        ("localhost:80", "host: localhost\r\n", "400"),
        ("ftp://localhost/token", "host: localhost\r\n", "400"),
    ] {
        let mut wire: Wire = running.connect().await;
        wire.send(&format!(
            "GET {target} HTTP/1.1\r\n{host}{token}connection: close\r\n\r\n"
        ))
        .await;
        let answer = wire.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{target} {host:?}: {answer}"
        );
    }
}
