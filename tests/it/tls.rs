//! TLS of the gateway's own: what is served over it, who is given a handshake, and how the verbs go with it.

mod handshakes;

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::collector::{Collector, Mode, attribute};
use crate::support::certificates::Certificates;
use crate::support::client::Client;
use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;
use crate::support::wait::wait_until;
use crate::support::{Gateway, Server, cli};

const SOON: Duration = Duration::from_secs(10);

fn gateway(certificates: &Certificates) -> Gateway {
    Gateway::builder()
        .set("tls", certificates.config())
        .server(Server::gremlin("g1"))
        .start()
}

fn client(gateway: &Gateway, certificates: &Certificates) -> Client {
    Client::secure(gateway.address(), Some(TOKEN), certificates.root())
}

/// Waits for a part of a log line.
async fn logged(gateway: &Gateway, part: &str) {
    wait_until(part, SOON, || gateway.logs().text().contains(part)).await;
}

/// A gateway's certificate that a client trusts through its root only, and what it serves.
#[tokio::test]
async fn what_is_served_over_plain_http_is_served_over_tls() {
    let certificates = Certificates::new();
    let gateway = gateway(&certificates);
    let client = client(&gateway, &certificates);
    assert_eq!(client.get("/health").await.json()["status"], "ok");
    assert_eq!(client.status("g1").await["server_id"], "g1");

    let mut stream = client.listen("/g1/rpc").await;
    let answer = client.call("g1", "echo", &json!({"text": "hello"})).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "hello");
    let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    let wrapped = client.wrapped_rpc("g1", &list).await;
    assert_eq!(wrapped.json()["payload"]["id"], 7, "{}", wrapped.text());
    let big = "x".repeat(1024 * 1024);
    let answer = client.call("g1", "echo", &json!({"text": big})).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], big);

    let changed = json!({"do": "list_changed", "of": "tools"});
    client.deed("g1", &changed).await;
    let notice = stream.message(SOON).await;
    assert_eq!(notice["method"], "notifications/tools/list_changed");

    assert_eq!(client.get("/nothing").await.status, 404);
    let stranger = Client::secure(gateway.address(), None, certificates.root());
    assert_eq!(stranger.get("/health").await.status, 401);
    assert_eq!(gateway.stop().await.code(), Some(0));
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_http_1_1_is_the_one_protocol() {
    let certificates = Certificates::new();
    let gateway = gateway(&certificates);
    let address = gateway.address();
    for (version, spoken) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut stream = certificates
            .shake(address, "localhost", version, "http/1.1")
            .await
            .unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(spoken));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        let request = format!(
            "GET /ready HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // An end without close_notify would be an error here: nothing was cut off.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        let refused = certificates
            .shake(address, "localhost", version, "h2")
            .await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    }
}

#[tokio::test]
async fn a_page_of_the_gateway_is_ours_by_https_only() {
    let certificates = Certificates::new();
    let gateway = gateway(&certificates);
    let client = client(&gateway, &certificates);
    let port = gateway.address().port();
    for (origin, status) in [
        (format!("https://localhost:{port}"), 200),
        (format!("http://localhost:{port}"), 403),
        ("http://localhost".to_owned(), 403),
    ] {
        let request = client
            .request(Method::GET, "/health")
            .header("origin", &origin);
        assert_eq!(client.send(request).await.status, status, "{origin}");
    }
}

/// The address is checked before TLS: who may not enter is not even told so.
#[tokio::test]
async fn a_stranger_is_closed_without_a_handshake() {
    let certificates = Certificates::new();
    let gateway = Gateway::builder()
        .set("tls", certificates.config())
        .set("allowed_clients", json!(["::1"]))
        .start();
    let mut socket = RawSocket::connect(gateway.address()).await;
    assert_eq!(socket.rest(SOON).await, b"", "not one byte");
    let shaken = certificates
        .shake(gateway.address(), "localhost", &TLS13, "http/1.1")
        .await;
    assert!(shaken.is_err());
    let refused = "request of 127.0.0.1 refused by the check of its address";
    logged(&gateway, refused).await;
    assert!(!gateway.logs().text().contains("handshake"));
}

#[tokio::test]
async fn a_stop_finishes_requests_ends_streams_and_drops_handshakes() {
    let certificates = Certificates::new();
    let mut gateway = gateway(&certificates);
    let client = client(&gateway, &certificates);
    let mut stream = client.listen("/g1/rpc").await;
    let mut stalled = RawSocket::connect(gateway.address()).await;
    stalled.send(b"\x16\x03\x01").await;
    let journal = gateway.journal("g1");
    let slow = json!({"do": "sleep", "ms": 700, "say": "done", "nonce": "n1"});
    let (answer, ()) = tokio::join!(client.deed("g1", &slow), async {
        wait_until("the call in the child", SOON, || {
            journal.count("\"n1\"") == 1
        })
        .await;
        gateway.signal(Signal::TERM);
        assert_eq!(stalled.rest(SOON).await, b"");
        // A stream that is cut off instead of ended fails the reader.
        while stream.next(SOON).await.is_some() {}
    });
    assert_eq!(answer.json()["result"]["content"][0]["text"], "done");
    assert_eq!(gateway.ended(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_logged_and_counted() {
    let certificates = Certificates::new();
    let gateway = gateway(&certificates);
    let unknown = Client::secure(gateway.address(), Some(TOKEN), Certificates::new().root());
    let refused = unknown.request(Method::GET, "/health").send().await;
    assert!(refused.is_err(), "another root");
    logged(&gateway, "TLS handshake with 127.0.0.1 failed").await;
    logged(&gateway, "does not trust the certificate of tls.cert_file").await;
    let failed = "host_mcp_gateway_handshakes_failed_total{reason=\"refused_by_peer\"} 1";
    let metrics = client(&gateway, &certificates).get("/metrics").await.text();
    assert!(metrics.contains(failed), "{metrics}");
}

#[tokio::test]
async fn spans_say_https() {
    let certificates = Certificates::new();
    let collector = tokio::task::spawn_blocking(|| Collector::start(Mode::Normal));
    let collector = collector.await.unwrap();
    let endpoint = format!("http://{}", collector.authority());
    let gateway = Gateway::builder()
        .set("tls", certificates.config())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .start();
    client(&gateway, &certificates).get("/ready").await;
    assert_eq!(gateway.stop().await.code(), Some(0));
    let received = collector.wait_for(SOON, |received| !received.spans.is_empty());
    let scheme = attribute(&received.spans[0].attributes, "url.scheme");
    assert_eq!(scheme.as_deref(), Some("https"));
}

#[tokio::test]
async fn status_knows_the_gateway_by_the_certificate_of_its_config() {
    // Expired, and of a root that nobody trusts: it is the certificate that is in the config.
    let certificates = Certificates::until(2024);
    let gateway = gateway(&certificates);
    let config = gateway.config_path();
    let ask = |url: &str| {
        let config = config.to_str().unwrap();
        let arguments = [
            "--config", config, "status", "--output", "json", "--url", url,
        ];
        cli::run_with(gateway.folder(), &arguments, &[("HMG_TOKEN", TOKEN)])
    };
    let url = format!("https://{}", gateway.address());
    let asked = ask(&url);
    assert_eq!(asked.code, Some(0), "{asked:?}");
    let report: Value = serde_json::from_str(&asked.stdout).unwrap();
    assert_eq!(report["servers"][0]["server_id"], "g1");

    let plain = ask(&format!("http://{}", gateway.address()));
    assert_eq!(plain.code, Some(3), "{plain:?}");

    let other = Certificates::new();
    gateway.rewrite_config(|config| config["tls"] = other.config());
    let stranger = ask(&url);
    assert_eq!(stranger.code, Some(3), "{stranger:?}");
    let expected = "its certificate is not that of tls.cert_file";
    assert!(stranger.stderr.contains(expected), "{stranger:?}");
}

#[test]
fn check_looks_at_the_certificate_and_its_key() {
    let home = tempfile::tempdir().unwrap();
    let check = |tls: &Value| {
        let builder = Gateway::builder().set("tls", tls.clone());
        let config = builder.write(home.path());
        cli::run(
            home.path(),
            &["--config", config.to_str().unwrap(), "check"],
        )
    };
    let (ours, other) = (Certificates::new(), Certificates::new());
    let fine = check(&ours.config());
    assert_eq!(fine.code, Some(0), "{fine:?}");

    let mixed = json!({"cert_file": ours.file("cert.pem"), "key_file": other.file("key.pem")});
    let refused = check(&mixed);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    let expected = "is not the key of the first certificate in";
    assert!(refused.stdout.contains(expected), "{refused:?}");

    let expired = check(&Certificates::until(2024).config());
    assert_eq!(expired.code, Some(0), "{expired:?}");
    let expected = "has expired on 2024-01-01";
    assert!(expired.stdout.contains(expected), "{expired:?}");
}

#[test]
fn client_config_names_https_and_what_clients_need() {
    let home = tempfile::tempdir().unwrap();
    let certificates = Certificates::new();
    let builder = Gateway::builder().set("tls", certificates.config());
    let config = builder.server(Server::gremlin("g1")).write(home.path());
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "client-config",
        "curl",
    ];
    let shown = cli::run(home.path(), &arguments);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("https://127.0.0.1:"), "{shown:?}");
    assert!(!shown.stdout.contains("http://"), "{shown:?}");
    assert!(shown.stderr.contains("--cacert"), "{shown:?}");
}
