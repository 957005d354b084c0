//! Real clients whose gateway is restarted, or who are silent for longer than their session is kept in memory: their next
//! call is answered as if nothing had happened.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use super::sdk::source;
use crate::support::gateway::TOKEN;
use crate::support::places::{self, MARKER};
use crate::support::{Gateway, Server};

/// Ten times what a start takes on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client program that makes a call whenever it is told to.
struct Client {
    process: Child,
    said: mpsc::Receiver<String>,
}

impl Client {
    /// Starts it and waits for its first call.
    fn start(mut command: Command) -> Self {
        let mut process = command
            .env("SURVIVE", "1")
            .env(MARKER, places::new_marker())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the client");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let (says, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = says.send(line);
            }
        });
        let client = Self { process, said };
        client.succeeds("the first call");
        client
    }

    fn succeeds(&self, when: &str) {
        let said = self.said.recv_timeout(PATIENCE);
        assert_eq!(said.as_deref(), Ok("ok"), "{when}");
    }

    /// Has it make another call.
    fn calls(&mut self, when: &str) {
        let stdin = self.process.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("a client that reads");
        self.succeeds(when);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Its end of input, at which it closes its session.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The client meets a gateway that is restarted in order, one that is killed, and one that has forgotten it: it goes on in
/// the session that it has opened.
async fn survives(client: impl FnOnce(&str) -> Command) {
    let gateway = all_calls_succeed(client).await;
    let status = gateway.client().status("conformance").await;
    let count = status["sessions"].as_u64();
    assert!(count <= Some(1), "no session was opened anew: {status}");
    let text =
        "a session that was not in memory goes on; its subscriptions and its log level are lost";
    let revived = gateway.logs().events(text);
    assert!(!revived.is_empty(), "{}", gateway.logs().text());
}

/// The same with a client that may open another session, or have none.
async fn all_calls_succeed(client: impl FnOnce(&str) -> Command) -> Gateway {
    let mut gateway = Gateway::builder()
        .limit("session_idle_ms", 300)
        .server(Server::conformance("conformance", "legacy"))
        .start();
    let url = format!("http://{}/conformance/mcp", gateway.address());
    let mut client = Client::start(client(&url));
    for by in [Signal::TERM, Signal::KILL] {
        gateway.restart(by, |_| ()).await;
        client.calls(&format!("after {by:?}"));
    }
    // Most hold a stream open, which keeps their session in memory.
    gateway
        .restart(Signal::KILL, |config| {
            config["limits"]["session_idle_ms"] = 100.into();
        })
        .await;
    client.calls("before silence");
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.calls("after silence");
    gateway
}

fn python(environment: &str, program: &str, url: &str, way: &[&str]) -> Command {
    let mut command = Command::new(places::installed(&format!("{environment}/bin/python")));
    command
        .arg("-B")
        .arg(source(Path::new("python").join(program)))
        .args([url, TOKEN])
        .args(way);
    command
}

fn node(program: &str, url: &str, further: &[&str]) -> Command {
    let mut command = Command::new("node");
    command
        .arg(source(Path::new("typescript").join(program)))
        .args([url, TOKEN])
        .args(further)
        .env(
            "NODE_PATH",
            places::installed("client-typescript/node_modules"),
        );
    command
}

/// RA13: the Python SDK v1.
#[tokio::test]
async fn python_v1() {
    survives(|url| python("client-python-v1", "v1.py", url, &[])).await;
}

/// RA13: the Python SDK v2 in the legacy era.
#[tokio::test]
async fn python_v2() {
    survives(|url| python("client-python-v2", "v2.py", url, &["legacy"])).await;
}

/// RA13: the TypeScript SDK v1.
#[tokio::test]
async fn typescript_v1() {
    survives(|url| node("v1.mjs", url, &[])).await;
}

/// RA13: the TypeScript SDK v2 in its default mode.
#[tokio::test]
async fn typescript_v2() {
    survives(|url| node("v2.mjs", url, &[])).await;
}

/// RA13: the library `fastmcp`, which speaks the modern era by itself.
#[tokio::test]
async fn fastmcp() {
    all_calls_succeed(|url| python("client-fastmcp", "fast.py", url, &[])).await;
}

/// RA13: a client of stdio behind mcp-remote, which holds more than one session.
#[tokio::test]
async fn mcp_remote() {
    let folder = tempfile::tempdir().unwrap();
    all_calls_succeed(|url| {
        let proxy = places::installed("client-mcp-remote/node_modules/mcp-remote/dist/proxy.js");
        let mut command = node("remote.mjs", url, &[proxy.to_str().expect("UTF-8")]);
        command.env("MCP_REMOTE_CONFIG_DIR", folder.path());
        command
    })
    .await;
}
