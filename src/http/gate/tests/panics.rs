//! A handler that panics: one client is told so, and that is all that happens.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::*;

/// F63: who asked gets a 500 on a connection that goes on, nobody else notices, it is counted, and the
/// share that the request had taken is free again.
#[tokio::test]
async fn a_panic_is_a_500_to_that_client_alone_and_is_counted() {
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    let meters = SdkMeterProvider::builder().with_reader(exporter.build().unwrap());
    let meters = meters.build();
    let mut config = fixture::config();
    config.limits.max_in_flight_per_token = 1;
    let instruments = Instruments::new(&meters.meter("test"));
    let guard = Guard::new(
        Rulebook::new(&config),
        "http",
        CancellationToken::new(),
        instruments,
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

    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather());
    let text = text.unwrap();
    let count = |name: &str, with: &str| {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(name) && line.contains(with));
        line.and_then(|line| line.rsplit(' ').next())
    };
    let answered = "http_server_request_duration_seconds_count";
    assert_eq!(count(answered, "status_code=\"500\""), Some("2"), "{text}");
    assert_eq!(count(answered, "status_code=\"200\""), Some("2"), "{text}");
    let active = count("http_server_active_requests", "POST");
    assert_eq!(active, Some("0"), "{text}");
}
