//! What is counted of those who come to the gate, read as an operator reads it.

use std::io;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::*;

/// Instruments, and what they have counted.
pub(super) struct Counted {
    pub(super) instruments: Instruments,
    registry: prometheus::Registry,
    _meters: SdkMeterProvider,
}

impl Counted {
    pub(super) fn new() -> Self {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        let meters = SdkMeterProvider::builder().with_reader(exporter.build().unwrap());
        let meters = meters.build();
        Self {
            instruments: Instruments::new(&meters.meter("test")),
            registry,
            _meters: meters,
        }
    }

    /// The number in the first line that begins with `name` and holds `with`.
    pub(super) fn of(&self, name: &str, with: &str) -> Option<String> {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather());
        let text = text.unwrap();
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(name) && line.contains(with))?;
        line.rsplit(' ').next().map(str::to_owned)
    }
}

#[test]
fn who_is_turned_away_without_a_request_is_counted_too() {
    let counted = Counted::new();
    let guard = Guard::new(
        Rulebook::new(&fixture::config()),
        "https",
        CancellationToken::new(),
        counted.instruments.clone(),
    );
    let peer = IpAddr::from([192, 0, 2, 1]);
    for _ in 0..2 {
        guard.turn_away(Refused {
            check: Check::Address,
            client: peer,
        });
    }
    guard.handshake_failed(peer, &HandshakeFault::Overdue);
    let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
    guard.handshake_failed(peer, &HandshakeFault::Failed(gone));
    for (name, with, expected) in [
        ("host_mcp_gateway_refusals", "auth_denied", "2"),
        ("host_mcp_gateway_handshakes_failed", "overdue", "1"),
        ("host_mcp_gateway_handshakes_failed", "disconnected", "1"),
    ] {
        assert_eq!(counted.of(name, with).as_deref(), Some(expected), "{with}");
    }
}
