//! A handler that panics: one client is told so, and that is all that happens.

use super::counted::Counted;
use super::*;

/// F63: who asked gets a 500 on a connection that goes on, nobody else notices, it is counted, and the
/// share that the request had taken is free again.
#[tokio::test]
async fn a_panic_is_a_500_to_that_client_alone_and_is_counted() {
    let counted = Counted::new();
    let mut config = fixture::config();
    config.limits.max_in_flight_per_token = 1;
    let guard = Guard::new(
        Rulebook::new(&config),
        "http",
        CancellationToken::new(),
        counted.instruments.clone(),
    );
    let gate = Gate::new(Arc::new(guard), router(config.limits));
    let running = Running::start(config.limits, gate).await;

    let body = r#"{"error":{"error_code":"internal_error","message":"internal error"}}"#;
    let mut other = running.connect().await;
    other.send("POST /unread HTTP/1.1\r\n").await;
    let mut wire = running.connect().await;
    for _ in 0..2 {
        wire.send(&post_to("/panic", TOKEN, "")).await;
        let answer = wire.response().await;
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(answer.ends_with(body), "{answer}");
    }
    for (client, request) in [
        (&mut other, format!("{TOKEN}content-length: 0\r\n\r\n")),
        (&mut wire, post_to("/unread", TOKEN, "")),
    ] {
        client.send(&request).await;
        let answer = client.response().await;
        assert!(answer.ends_with("unread"), "{answer}");
    }

    let answered = "http_server_request_duration_seconds_count";
    for (name, with, expected) in [
        (answered, "status_code=\"500\"", "2"),
        (answered, "status_code=\"200\"", "2"),
        ("http_server_active_requests", "POST", "0"),
    ] {
        assert_eq!(counted.of(name, with).as_deref(), Some(expected), "{with}");
    }
}
