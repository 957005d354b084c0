//! One connection of an allowed client: whatever it sends, the edge answers or hangs up, no handler panics, and
//! nothing but a refusal comes back unless the token was sent.
//!
//! Input: what the client writes before it closes its side.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use host_mcp_gateway::config::{Config, Env, from_text};
use host_mcp_gateway::http::{self, Parts, Rulebook};
use host_mcp_gateway::instruments::Instruments;
use host_mcp_gateway::relay::Relay;
use host_mcp_gateway::shards::Shards;
use host_mcp_gateway::state_dir::StateDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// The one token, which lets its holder do everything.
const TOKEN: &str = "0123456789abcdef0123456789ABCDEF";

/// No process is ever started: what is asked of the server is refused by its gate.
const CONFIG: &str = r#"{
    "allowed_clients": ["127.0.0.1"],
    "auth_token": "0123456789abcdef0123456789ABCDEF",
    "limits": { "failed_auth_per_minute": 1 },
    "servers": [{ "server_id": "s1", "command": "/bin/true", "disabled": true }],
}"#;

pub(crate) fn run(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let answered = runtime.block_on(answer(data));
    let authorized = presents_token(data);
    for response in responses(&answered) {
        let status = status(response);
        assert!(status >= 400 || authorized, "let in without the token");
        assert_ne!(status, 500, "a handler panicked");
    }
}

/// Whether the token stands somewhere as a header would present it: after its scheme, and as a whole.
fn presents_token(data: &[u8]) -> bool {
    let starts = 0..data.len().saturating_sub(TOKEN.len());
    starts.into_iter().any(|at| {
        let Some(after) = data[at..].strip_prefix(TOKEN.as_bytes()) else {
            return false;
        };
        let before = data[..at].trim_ascii_end();
        let scheme = before.last_chunk::<6>();
        before.len() < at
            && scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
            && after.first().is_some_and(u8::is_ascii_whitespace)
    })
}

fn config() -> &'static Config {
    static CONFIG_READ: OnceLock<Config> = OnceLock::new();
    CONFIG_READ.get_or_init(|| {
        let env = Env::new([], None, 0);
        from_text(CONFIG, Path::new("/fuzz/config.json"), &env).expect("a good config")
    })
}

/// Everything that a fresh gateway says to this client.
async fn answer(data: &[u8]) -> Vec<u8> {
    let Config {
        http,
        relay,
        servers,
        ..
    } = config().clone();
    let instruments = Instruments::noop();
    let state = StateDir::in_memory();
    let relay = Relay::start(relay, servers, &instruments, Shards::here(), &state);
    let parts = Parts {
        tls: None,
        rulebook: Rulebook::new(&http),
        relay: Arc::new(relay),
        fronts: Shards::here(),
        workers: Shards::here(),
        metrics: Arc::new(String::new),
        instruments,
    };
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let (mut client, edge) = tokio::io::duplex(64 * 1024);
    let served = http::serve_connection(edge, peer, parts, CancellationToken::new());
    let spoken = async {
        // What hangs up early does not take all of it.
        let _ = client.write_all(data).await;
        let _ = client.shutdown().await;
        let mut answered = Vec::new();
        let _ = client.read_to_end(&mut answered).await;
        answered
    };
    tokio::join!(served, spoken).1
}

/// The responses one by one, cut where a head begins that follows a body or a head.
fn responses(answered: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = answered;
    while !rest.is_empty() {
        assert!(rest.starts_with(b"HTTP/1."), "no head where one begins");
        let head = rest.windows(4).position(|part| part == b"\r\n\r\n");
        let Some(head) = head.map(|at| at + 4) else {
            break;
        };
        let length = length(&rest[..head]);
        // The answer to HEAD tells a length and has no body.
        let has_body = !rest[head..].starts_with(b"HTTP/1.");
        let end = match length {
            Some(length) if has_body => (head + length).min(rest.len()),
            // An event stream goes on to the end.
            None if has_body => rest.len(),
            Some(_) | None => head,
        };
        found.push(&rest[..end]);
        rest = &rest[end..];
    }
    found
}

fn length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).expect("a head of ours is ASCII");
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    line.map(|length| length.parse().expect("a length"))
}

fn status(response: &[u8]) -> u16 {
    let digits = response
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("a status")
}
