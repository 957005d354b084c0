//! Where the calls go, and how one gets to make them there.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};

use super::call::{Tool, excerpt};
use super::http::Connection;

/// The revision of sessions.
const LEGACY: &str = "2025-11-25";

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Speaks {
    /// A bare JSON-RPC request.
    Rpc,
    /// MCP in a session.
    Session,
    /// MCP of 2026-07-28, without one.
    Modern,
}

/// An address that answers calls.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) bearer: String,
    pub(crate) speaks: Speaks,
}

/// A session, or what stands for it where there is none: a head for requests, and ids.
#[derive(Debug)]
pub(crate) struct Session {
    post: Vec<u8>,
    get: Vec<u8>,
    next_id: AtomicU64,
}

impl Session {
    /// Shakes hands where that is asked for.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        tool: Tool,
        connection: &mut Connection,
    ) -> anyhow::Result<Self> {
        let headers = match endpoint.speaks {
            Speaks::Rpc => String::new(),
            Speaks::Modern => format!(
                "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {}\r\n",
                tool.name()
            ),
            Speaks::Session => shake(endpoint, connection).await?,
        };
        Ok(Self {
            post: endpoint.post(&headers),
            get: endpoint.head(
                "GET",
                &format!("accept: text/event-stream\r\n{headers}\r\n"),
            ),
            next_id: AtomicU64::new(1),
        })
    }

    /// The head of a call; the length of its body and an empty line follow.
    pub(crate) fn post(&self) -> &[u8] {
        &self.post
    }

    /// The whole request for the session's stream.
    pub(crate) fn get(&self) -> &[u8] {
        &self.get
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

impl Endpoint {
    fn head(&self, method: &str, rest: &str) -> Vec<u8> {
        let Self {
            address,
            path,
            bearer,
            speaks: _,
        } = self;
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {bearer}\r\n{rest}").into_bytes()
    }

    fn post(&self, headers: &str) -> Vec<u8> {
        let accept = match self.speaks {
            Speaks::Rpc => "application/json",
            Speaks::Session | Speaks::Modern => "application/json, text/event-stream",
        };
        let rest = format!(
            "content-type: application/json\r\naccept: {accept}\r\n{headers}content-length: "
        );
        self.head("POST", &rest)
    }

    fn request(&self, headers: &str, body: &str) -> Vec<u8> {
        let mut request = self.post(headers);
        request.extend_from_slice(format!("{}\r\n\r\n{body}", body.len()).as_bytes());
        request
    }
}

/// `initialize` and what follows it; gives the headers of the session.
async fn shake(endpoint: &Endpoint, connection: &mut Connection) -> anyhow::Result<String> {
    let hello = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"load","version":"1"}}}}}}"#
    );
    let head = connection.exchange(&endpoint.request("", &hello)).await?;
    ensure!(
        head.status == 200,
        "initialize: {}: {}",
        head.status,
        excerpt(connection.body())
    );
    let session = head.session.context("initialize gave no session")?;
    let headers = format!("mcp-session-id: {session}\r\nmcp-protocol-version: {LEGACY}\r\n");
    let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let head = connection
        .exchange(&endpoint.request(&headers, done))
        .await?;
    ensure!(
        head.status == 202,
        "notifications/initialized: {}",
        head.status
    );
    Ok(headers)
}
