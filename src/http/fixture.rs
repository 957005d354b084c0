//! The edge's config as its tests use it, a listener to talk to, and a client that speaks in bytes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, Response};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::accept;
use super::allowlist::Standing;
use super::config::{AdmissionConfig, Config, LimitsConfig, TokenEntry};
use super::connection::{Answers, ConnectionContext};
use super::placement::{HomeFinder, Homes};
use super::slots::Door;
use crate::instruments::Instruments;
use crate::shards::{Shards, Threads};
use crate::types::{Principal, PrincipalId};

/// A router without the gate before it, which lets everybody in.
impl Answers for Router {
    async fn answer(
        &self,
        connection: &ConnectionContext,
        request: Request<Body>,
    ) -> Response<Body> {
        connection.authenticate();
        let answered = self.clone().oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

/// Loopback only, hosts `localhost` and 127.0.0.1, and the tokens `T1` (admin, named `one`) and `T2`
/// (named `two`, reaches `s1` only).
pub(super) fn config() -> Config {
    let token = |id, text: &str, name: &str, admin, servers: Option<&str>| TokenEntry {
        sha256: Sha256::digest(text.as_bytes()).into(),
        expires_at: None,
        principal: Principal {
            id: PrincipalId(id),
            fingerprint: crate::types::TokenFingerprint::default(),
            name: name.into(),
            admin,
            servers: servers.map(|id| [id.parse().unwrap()].into()),
        },
    };
    Config {
        bind: "127.0.0.1:0".parse().unwrap(),
        bind_also: None,
        tls: None,
        admission: AdmissionConfig {
            allowed_clients: vec!["127.0.0.0/8".parse().unwrap()],
            allowed_hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            allowed_origins: vec!["http://localhost".to_owned()],
            trusted_proxies: vec![],
            tokens: vec![
                token(1, "T1", "one", true, None),
                token(2, "T2", "two", false, Some("s1")),
            ],
            failed_auth_per_minute: 60,
        },
        limits: LimitsConfig {
            max_body_bytes: 1024,
            max_connections: 64,
            max_connections_per_ip: 64,
            max_in_flight_per_token: 16,
            max_streams_per_token: 16,
            first_byte: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        },
    }
}

/// A door for clients of good standing that nobody measures.
pub(super) fn door(limits: LimitsConfig) -> Door {
    Door {
        limits: Arc::new(move || limits),
        standing: Arc::new(|_peer| Standing::Client),
        instruments: Instruments::noop(),
        homes: Homes {
            fronts: Shards::here(),
            workers: Shards::here(),
            find: Arc::new(|_principal, _server| None),
        },
        tls: None,
    }
}

/// The same, where connections begin at these fronts, every server has its home at the first of these threads, and
/// the rest is served by these workers.
pub(super) fn door_with_homes(fronts: &Threads, homes: &Threads, workers: &Threads) -> Door {
    let home = homes.shards().next();
    let find: HomeFinder = Arc::new(move |principal, server| {
        let server = server.parse().ok()?;
        principal.may_reach(&server).then(|| home.clone())
    });
    Door {
        homes: Homes {
            fronts: fronts.shards(),
            workers: workers.shards(),
            find,
        },
        ..door(config().limits)
    }
}

/// Answers everything with the name of the thread that the answer is made on, but `/s1/wait` not at all.
pub(super) fn thread_names() -> Router {
    let name = || async {
        let name = std::thread::current().name().map(str::to_owned);
        name.unwrap_or_default()
    };
    let wait = || std::future::pending::<String>();
    Router::new().route("/s1/wait", post(wait)).fallback(name)
}

/// A listener on loopback that serves until it is told not to.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) drain: CancellationToken,
    pub(super) kill: CancellationToken,
    task: JoinSet<io::Result<()>>,
}

impl Running {
    /// Serves `service` with these limits.
    pub(super) async fn start(limits: LimitsConfig, service: impl Answers) -> Self {
        Self::behind(door(limits), service).await
    }

    /// Serves `service` to those who come in by this door.
    pub(super) async fn behind(door: Door, service: impl Answers) -> Self {
        let listener = super::bind(&config()).await.unwrap();
        let service = Arc::new(service);
        let address = listener.local_addr().unwrap();
        let (drain, kill) = (CancellationToken::new(), CancellationToken::new());
        let mut task = JoinSet::new();
        let (drained, killed) = (drain.clone(), kill.clone());
        task.spawn(async move { accept::run(listener, service, door, &drained, &killed).await });
        Self {
            address,
            drain,
            kill,
            task,
        }
    }

    pub(super) async fn connect(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    /// Waits for the accept loop and every connection to end.
    pub(super) async fn ended(mut self) {
        let joined = soon(self.task.join_next()).await;
        joined.unwrap().unwrap().unwrap();
    }
}

/// Waits for what has to happen, far longer than it takes, and fails loudly where it does not.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("did not happen within 20 s")
}

/// A client that says exactly what it is told to.
pub(super) struct Wire(pub(super) TcpStream);

impl Wire {
    pub(super) async fn send(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// One response: its head and, by `Content-Length`, its body.
    pub(super) async fn response(&mut self) -> String {
        let mut text = self.until("\r\n\r\n").await;
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        text.push_str(std::str::from_utf8(&body).unwrap());
        text
    }

    /// Bytes up to and with `end`.
    pub(super) async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let byte = soon(self.0.read_u8()).await;
            text.push(byte.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&text))
            }));
        }
        String::from_utf8(text).unwrap()
    }

    /// Everything until the server closes; a reset fails the test.
    pub(super) async fn rest(&mut self) -> String {
        let mut text = String::new();
        soon(self.0.read_to_string(&mut text)).await.unwrap();
        text
    }

    /// Waits until the server has closed or reset the connection.
    pub(super) async fn closed(&mut self) {
        let mut scratch = [0; 1024];
        while soon(self.0.read(&mut scratch)).await.unwrap_or(0) > 0 {}
    }
}
