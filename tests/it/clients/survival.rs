//! Real clients whose gateway is restarted, or who are silent for longer than their session is kept in memory: their next
//! call is answered as if nothing had happened.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::sdk::source;
use crate::support::gateway::TOKEN;
use crate::support::places::{self, MARKER};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

/// Ten times what a start takes on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A client program that makes a call whenever it is told to.
struct Client {
    process: Child,
    said: mpsc::Receiver<String>,
    /// How often it said that a list has changed.
    changes: usize,
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
        let mut client = Self {
            process,
            said,
            changes: 0,
        };
        client.succeeds("the first call");
        client
    }

    fn hears(&mut self, when: &str) -> String {
        let said = self.said.recv_timeout(PATIENCE);
        said.unwrap_or_else(|error| {
            let ended = self.process.try_wait();
            panic!("{when}: {error}; its end: {ended:?}")
        })
    }

    fn succeeds(&mut self, when: &str) {
        loop {
            match self.hears(when).as_str() {
                "ok" => return,
                "changed" => self.changes += 1,
                other => panic!("{when}: {other}"),
            }
        }
    }

    /// Has it make another call.
    fn calls(&mut self, when: &str) {
        let stdin = self.process.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("a client that reads");
        self.succeeds(when);
    }

    /// Waits until it was told more often than `before` that a list has changed.
    fn was_told_of_lists(&mut self, before: usize, when: &str) {
        while self.changes <= before {
            let said = self.hears(when);
            assert_eq!(said, "changed", "{when}");
            self.changes += 1;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Its end of input, at which it closes its session.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The sessions that a client of the legacy era opens, and whether it gets its stream back after a restart.
#[derive(Clone, Copy)]
struct Habits {
    sessions: u64,
    reopens_stream: bool,
}

const USUAL: Habits = Habits {
    sessions: 1,
    reopens_stream: true,
};

/// The client meets a gateway that is restarted in order, one that is killed, and one that has forgotten it: it goes on in
/// the session that it has opened, and hears the notifications of that.
async fn survives(habits: Habits, client: impl FnOnce(&str) -> Command) {
    let mut gateway = start();
    let mut client = Client::start(client(&url(&gateway)));
    assert_eq!(sessions(&gateway).await, habits.sessions);
    for by in [Signal::TERM, Signal::KILL] {
        let changes = client.changes;
        gateway.restart(by, |_| ()).await;
        client.calls(&format!("after {by:?}"));
        if habits.reopens_stream {
            client.was_told_of_lists(changes, &format!("the stream after {by:?}"));
        }
        goes_on(&gateway, habits).await;
    }
    let forgets = |config: &mut Value| config["limits"]["session_idle_ms"] = 100.into();
    gateway.restart(Signal::KILL, forgets).await;
    client.calls("before silence");
    let process = gateway.client().status("conformance").await["pid"].clone();
    // Most hold a stream open, which keeps their session in memory.
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.calls("after silence");
    let status = gateway.client().status("conformance").await;
    assert_eq!(status["pid"], process, "the server was not started anew");
    goes_on(&gateway, habits).await;
}

/// No session was opened since the gateway started, and one is there that was revived: that of the client, by its id.
async fn goes_on(gateway: &Gateway, habits: Habits) {
    // What the gateway writes is read by a thread, which may be behind.
    let calls = wait_for("the call in the log", PATIENCE, async || {
        let calls = gateway.logs().events("call");
        let methods: Vec<Value> = calls.iter().map(|event| event["method"].clone()).collect();
        methods.contains(&"tools/call".into()).then_some(methods)
    })
    .await;
    assert!(!calls.contains(&"initialize".into()), "{calls:?}");
    let text =
        "a session that was not in memory goes on; its subscriptions and its log level are lost";
    let revived = gateway.logs().events(text);
    assert!(!revived.is_empty(), "{}", gateway.logs().text());
    let count = sessions(gateway).await;
    assert!(count <= habits.sessions, "{count} sessions");
}

/// The same with a client that has no session.
async fn all_calls_succeed(client: impl FnOnce(&str) -> Command) {
    let mut gateway = start();
    let mut client = Client::start(client(&url(&gateway)));
    for by in [Signal::TERM, Signal::KILL] {
        gateway.restart(by, |_| ()).await;
        client.calls(&format!("after {by:?}"));
        assert_eq!(sessions(&gateway).await, 0);
    }
}

fn start() -> Gateway {
    Gateway::builder()
        .server(Server::conformance("conformance", "legacy"))
        .start()
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}/conformance/mcp", gateway.address())
}

/// The sessions that are in memory.
async fn sessions(gateway: &Gateway) -> u64 {
    let status = gateway.client().status("conformance").await;
    status["sessions"].as_u64().expect("a number")
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
    survives(USUAL, |url| python("client-python-v1", "v1.py", url, &[])).await;
}

/// RA13: the Python SDK v2 in the legacy era.
#[tokio::test]
async fn python_v2() {
    survives(USUAL, |url| {
        python("client-python-v2", "v2.py", url, &["legacy"])
    })
    .await;
}

/// RA13: the TypeScript SDK v1.
#[tokio::test]
async fn typescript_v1() {
    survives(USUAL, |url| node("v1.mjs", url, &[])).await;
}

/// RA13: the TypeScript SDK v2 in its default mode.
#[tokio::test]
async fn typescript_v2() {
    survives(USUAL, |url| node("v2.mjs", url, &[])).await;
}

/// RA13: the library `fastmcp` in the legacy era.
#[tokio::test]
async fn fastmcp() {
    survives(USUAL, |url| {
        python("client-fastmcp", "fast.py", url, &["legacy"])
    })
    .await;
}

/// RA13: the library `fastmcp` by itself, which asks for the modern era, in which there are no sessions.
#[tokio::test]
async fn fastmcp_of_the_modern_era() {
    all_calls_succeed(|url| python("client-fastmcp", "fast.py", url, &[])).await;
}

/// RA13: a client of stdio behind mcp-remote, which opens a session to see whether the server is there, leaves that alone,
/// and opens another one for its client.
#[tokio::test]
async fn mcp_remote() {
    let folder = tempfile::tempdir().unwrap();
    let habits = Habits {
        sessions: 2,
        // It tries twice within three seconds, which a start on a loaded machine may take.
        reopens_stream: false,
    };
    survives(habits, |url| {
        let proxy = places::installed("client-mcp-remote/node_modules/mcp-remote/dist/proxy.js");
        let mut command = node("remote.mjs", url, &[proxy.to_str().expect("UTF-8")]);
        command.env("MCP_REMOTE_CONFIG_DIR", folder.path());
        command
    })
    .await;
}
