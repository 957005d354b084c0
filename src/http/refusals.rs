//! The log of refused requests: enough to see an attack, not enough to be one.

use std::net::IpAddr;

use tokio::time::Instant;

use super::admission::Check;
use super::limiter::MinuteCounts;
use super::tls::HandshakeFault;

/// Refusals of one address that are logged in a minute; the rest are counted.
const LOGGED_PER_MINUTE: u32 = 5;

/// Logs refusals by address.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(MinuteCounts);

impl RefusalLog {
    /// Logs one refusal, or counts it.
    pub(super) fn note(&self, check: Check, client: IpAddr, now: Instant) {
        if self.has_room(client, now) {
            let check = check.as_str();
            tracing::info!(%client, check, "request of {client} refused by the check of its {check}");
        }
    }

    /// Logs one failed handshake, or counts it. A peer that just goes away has been refused nothing: probes
    /// of a port do so all day.
    pub(super) fn note_handshake(&self, fault: &HandshakeFault, client: IpAddr, now: Instant) {
        if fault.is_disconnect() {
            tracing::debug!(%client, "{client} has gone before TLS was agreed on");
        } else if self.has_room(client, now) {
            let (reason, text) = (fault.as_str(), fault.text());
            tracing::info!(%client, reason, "TLS handshake with {client} failed: {text}");
        }
    }

    /// Whether one more line about an address may be written; tells of those that were not when their
    /// minute is over.
    fn has_room(&self, client: IpAddr, now: Instant) -> bool {
        let counted = self.0.count(client, now);
        for (address, count) in counted.ended {
            let suppressed = count.saturating_sub(LOGGED_PER_MINUTE);
            if suppressed > 0 {
                tracing::info!(client = %address, suppressed, "{suppressed} more attempts of {address} were refused");
            }
        }
        counted.count <= LOGGED_PER_MINUTE
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use tokio_util::sync::CancellationToken;
    use tracing::subscriber::DefaultGuard;

    use super::*;
    use crate::http::fixture::{self, Running};
    use crate::http::gate::{Gate, Guard};
    use crate::http::rules::Rulebook;
    use crate::instruments::Instruments;

    /// What was logged on this thread, at every level.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn start() -> (Self, DefaultGuard) {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .without_time()
                .with_writer(move || writer.clone())
                .finish();
            (log, tracing::subscriber::set_default(subscriber))
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flood_of_refusals_is_a_few_lines_and_a_count() {
        let (log, _guard) = Log::start();
        let refusals = RefusalLog::default();
        let start = Instant::now();
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..8 {
            refusals.note(Check::Token, client, start);
        }
        let expected = "request of 192.0.2.1 refused by the check of its token";
        assert_eq!(log.text().matches(expected).count(), 5);
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        refusals.note(Check::Host, other, start + Duration::from_mins(1));
        assert!(
            log.text()
                .contains("3 more attempts of 192.0.2.1 were refused")
        );
    }

    #[tokio::test]
    async fn neither_token_nor_query_is_in_the_log_at_any_level() {
        let (log, _guard) = Log::start();
        let config = fixture::config();
        let guard = Guard::new(
            Rulebook::new(&config),
            "http",
            CancellationToken::new(),
            Instruments::noop(),
        );
        let router = Router::new().route("/", get(|| async { "hello" }));
        let gate = Gate::new(Arc::new(guard), router);
        let running = Running::start(config.limits, gate).await;
        for token in ["T1", "wrong-s3cret"] {
            let mut wire = running.connect().await;
            let head = format!("host: localhost\r\nauthorization: Bearer {token}\r\n");
            wire.send(&format!("GET /?key=qu3ry HTTP/1.1\r\n{head}\r\n"))
                .await;
            wire.response().await;
        }
        running.drain.cancel();
        running.ended().await;
        let text = log.text();
        assert!(text.contains("request answered"), "{text}");
        assert!(text.contains("refused by the check of its token"), "{text}");
        for secret in ["T1", "s3cret", "qu3ry"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
