//! What a gateway prints and tells: log lines that nobody else can write, and answers that say no more than they
//! must; and that nothing of its memory gets into a file.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::mcp::tool_call;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, process};

const SOON: Duration = Duration::from_secs(10);

/// The soft and the hard limit of a process on core files; `None` where the system does not tell.
fn core_limit(pid: u32) -> Option<(String, String)> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))?;
    let mut words = line.split_whitespace().skip(4);
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// H119: no process of a gateway leaves a core file, whatever limit it was started with: not the gateway, not a
/// guard, not a server. (Who may look at its memory while it runs is row H105.)
#[tokio::test]
async fn nothing_of_a_gateways_memory_gets_into_a_core_file() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("g1").autostart())
        .start();
    let answer = gateway
        .client()
        .call("g1", "echo", &json!({"text": "hi"}))
        .await;
    assert_eq!(answer.status, 200);
    let family = gateway.family();
    assert!(family.len() >= 3, "gateway, guard and server: {family:?}");
    for member in family {
        let none = ("0".to_owned(), "0".to_owned());
        let limit = core_limit(member.pid);
        assert!(limit.is_none_or(|limit| limit == none), "{member:?}");
    }
}

/// H120: whoever sends what, a line of the log is one JSON object without a control character in it.
#[tokio::test]
async fn nobody_writes_into_the_log_but_the_gateway() {
    let evil =
        "x\n{\"level\":\"error\",\"message\":\"forged\"}\r\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}2J";
    let noise = json!({"do": "stderr", "bytes": 1, "line": evil});
    let gateway = Gateway::builder()
        .set("log", json!({"level": "trace", "format": "json"}))
        .server(Server::gremlin("g1").env("NAME", evil.replace('\n', " ")))
        .start();
    let client = gateway.client();
    let encoded: Vec<_> = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = encoded.concat();
    for path in [
        format!("/{encoded}/rpc"),
        format!("/g1/rpc?{encoded}"),
        format!("/{encoded}"),
    ] {
        client.post(&path, "{}").await;
    }
    client.call("g1", evil, &json!({})).await;
    client.rpc("g1", &tool_call(evil, evil, &json!({}))).await;
    client
        .rpc("g1", &json!({"jsonrpc": "2.0", "id": evil, "method": evil}))
        .await;
    client.wrapped_rpc(evil, &json!({})).await;
    let opaque = b"\x9b2J\xff".as_slice();
    let request = client
        .request(Method::GET, "/health")
        .header("user-agent", opaque);
    client.send(request).await;
    for deed in [
        noise,
        json!({"do": "log", "level": "error", "text": evil}),
        json!({"do": "refuse", "code": -1, "message": evil}),
        json!({"do": "write", "frame": format!("garbage {}", evil.replace('\n', " "))}),
    ] {
        assert_eq!(client.deed("g1", &deed).await.status, 200, "{deed}");
    }
    client.get("/none").await;
    wait_for("the last of it in the log", SOON, async || {
        let answered = gateway.logs().events("request answered");
        let last = answered.last()?;
        (last["status"] == 404 && last["route"] == "unmatched").then_some(())
    })
    .await;
    for line in gateway.logs().lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        assert_ne!(event["message"], "forged", "{line}");
    }
}

/// H121: a refusal names what is wrong and nothing of the host: no software, version, path, process or command. The one
/// exception is a server that cannot start: whoever may use it learns the cause and the command that says more.
#[tokio::test]
async fn a_refusal_says_nothing_about_the_house() {
    let gateway = Gateway::builder()
        .fault_profile()
        .server(Server::gremlin("g1").autostart())
        .server(Server::new(
            "broken",
            "/nonexistent/some-program",
            &["--some-flag"],
        ))
        .start();
    let client = gateway.client();
    let nobody = gateway.client_with(None);
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let crash = json!({"do": "exit", "code": 3});
    let answers = [
        (401, nobody.get("/health").await),
        (404, client.get("/none").await),
        (404, client.rpc("none", &ping).await),
        (405, client.get("/rpc").await),
        (400, client.post("/g1/rpc", "{").await),
        (413, client.post("/g1/rpc", "x".repeat(300_000)).await),
        (
            503,
            client.call("broken", "echo", &json!({"text": "?"})).await,
        ),
        (502, client.deed("g1", &crash).await),
    ];
    let program = crate::support::places::gremlin();
    let folder = gateway.folder().display().to_string();
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.text());
        let told = format!("{:?} {}", answer.headers, answer.text()).to_ascii_lowercase();
        assert!(!answer.headers.contains_key("server"), "{told}");
        let words = [
            env!("CARGO_PKG_VERSION"),
            "host-mcp-gateway",
            "hyper",
            "axum",
            "rust",
            "some-program",
            "some-flag",
            "gremlin",
            program.to_str().unwrap(),
            &folder,
        ];
        let is_cause =
            |word: &str| status == 503 && ["host-mcp-gateway", "some-program"].contains(&word);
        for word in words.into_iter().filter(|word| !is_cause(word)) {
            assert!(!told.contains(word), "{word} in {status}: {told}");
        }
        let numbers: Vec<_> = told.split(|c: char| !c.is_ascii_digit()).collect();
        for member in process::descendants(gateway.pid()) {
            assert!(
                !numbers.contains(&member.pid.to_string().as_str()),
                "a pid in {told}"
            );
        }
    }
}
