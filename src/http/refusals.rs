//! The log of refused requests: enough to see an attack, not enough to be one.

use std::net::IpAddr;

use tokio::time::Instant;

use super::address_counts::AddressCounts;
use super::admission::Check;
use super::tls::HandshakeFault;

/// Refusals of one address that are logged in a minute; the rest are counted.
const LOGGED_PER_MINUTE: u32 = 5;

/// How much of a name that was refused is logged, in characters.
const MAX_SHOWN: usize = 100;

/// Logs refusals by address.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    requests: AddressCounts,
    /// Counted apart: whoever may give orders must not be able to hide that somebody guesses tokens.
    orders: AddressCounts,
}

impl RefusalLog {
    /// Logs one refusal, or counts it. `detail` gives the name that was refused, or what is wrong
    /// with the token.
    pub(super) fn note(
        &self,
        check: Check,
        client: IpAddr,
        detail: impl FnOnce() -> Option<String>,
        now: Instant,
    ) {
        if has_room(&self.requests, client, now) {
            let cause = cause(check, client, detail().as_deref());
            let check = check.as_str();
            tracing::info!(%client, check, "request of {client} refused by the check of its {check}{cause}");
        }
    }

    /// Logs one order that was refused, or counts it.
    pub(super) fn note_order(&self, client: IpAddr, now: Instant, log: impl FnOnce()) {
        if has_room(&self.orders, client, now) {
            log();
        }
    }

    /// Logs one failed handshake, or counts it. A peer that just goes away has been refused nothing: probes
    /// of a port do so all day.
    pub(super) fn note_handshake(&self, fault: &HandshakeFault, client: IpAddr, now: Instant) {
        if fault.is_disconnect() {
            tracing::debug!(%client, "{client} has gone before TLS was agreed on");
        } else if has_room(&self.requests, client, now) {
            let (reason, text) = (fault.as_str(), fault.text());
            tracing::info!(%client, reason, "TLS handshake with {client} failed: {text}");
        }
    }
}

/// Whether one more line about an address may be written; tells of those that were not when their minute is over.
fn has_room(counts: &AddressCounts, client: IpAddr, now: Instant) -> bool {
    let counted = counts.count(client, now);
    for (address, count) in counted.ended {
        let suppressed = count.saturating_sub(LOGGED_PER_MINUTE);
        if suppressed > 0 {
            tracing::info!(client = %address, suppressed, "{suppressed} more attempts of {address} were refused");
        }
    }
    counted.count <= LOGGED_PER_MINUTE
}

/// Goes on a line about a refusal: what was refused, and the key of the config that decides it.
fn cause(check: Check, client: IpAddr, detail: Option<&str>) -> String {
    let name = || detail.map(shown).unwrap_or_default();
    match check {
        Check::Address => format!(": {client} is not in allowed_clients"),
        Check::Host => format!(": host {} is not in allowed_hosts", name()),
        Check::Origin => format!(": origin {} is not in allowed_origins", name()),
        Check::Token => detail.map_or_else(String::new, |why| format!(": {why}")),
        Check::HostCount => String::new(),
    }
}

/// A name as it may be logged: quoted, escaped, of bounded length, and without a user's name and password.
fn shown(name: &str) -> String {
    let (scheme, rest) = match name.find("//") {
        Some(at) => name.split_at(at + 2),
        None => ("", name),
    };
    let bare = match rest.rsplit_once('@') {
        Some((_secret, host)) => format!("{scheme}…@{host}"),
        None => name.to_owned(),
    };
    let mut shown: String = bare.chars().take(MAX_SHOWN).collect();
    if shown.len() < bare.len() {
        shown.push('…');
    }
    format!("{shown:?}")
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
            refusals.note(Check::Token, client, || None, start);
        }
        let expected = "request of 192.0.2.1 refused by the check of its token";
        assert_eq!(log.text().matches(expected).count(), 5);
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        refusals.note(Check::Host, other, || None, start + Duration::from_mins(1));
        assert!(
            log.text()
                .contains("3 more attempts of 192.0.2.1 were refused")
        );
    }

    /// RF02: the name that was refused, escaped and bounded, and the key that would let it in.
    #[test]
    fn a_refused_name_is_logged_with_the_key_to_change() {
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let long = "x".repeat(1000);
        let bounded = format!(": host \"{}…\" is not in allowed_hosts", "x".repeat(100));
        for (check, name, expected) in [
            (
                Check::Host,
                "gw.lan:7411",
                r#": host "gw.lan:7411" is not in allowed_hosts"#,
            ),
            (
                Check::Origin,
                "http://ui.lan, null",
                r#": origin "http://ui.lan, null" is not in allowed_origins"#,
            ),
            (
                Check::Host,
                "a\u{1b}[31m\"\n",
                r#": host "a\u{1b}[31m\"\n" is not in allowed_hosts"#,
            ),
            (Check::Host, &long, &bounded),
            (
                Check::Host,
                "user:secret@gw.lan",
                r#": host "…@gw.lan" is not in allowed_hosts"#,
            ),
            (
                Check::Origin,
                "http://user:secret@gw.lan",
                r#": origin "http://…@gw.lan" is not in allowed_origins"#,
            ),
            (Check::Address, "", ": 192.0.2.1 is not in allowed_clients"),
            (Check::Token, "no token", ": no token"),
            (Check::HostCount, "", ""),
        ] {
            assert_eq!(cause(check, client, Some(name)), expected);
        }
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
