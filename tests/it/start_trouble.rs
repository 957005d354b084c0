//! Servers that do not come to be ready: who is told what of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, cli, mcp, process};

const SOON: Duration = Duration::from_secs(20);

/// A server in the language of the shell. The script is a file: a config expands what it finds in arguments.
fn shell(folder: &Path, id: &str, script: &str) -> Server {
    let file = folder.join(format!("{id}.sh"));
    std::fs::write(&file, script).unwrap();
    Server::new(id, "/bin/sh", &[file.to_str().unwrap()])
}

fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// Waits until a start of a server has failed, and gives its entry in `/servers`.
async fn failed_once(gateway: &Gateway, server_id: &str) -> Value {
    let what = format!("a failed start of {server_id}");
    wait_for(&what, SOON, async || {
        let status = gateway.client().status(server_id).await;
        let over = status["status"] == "backoff" || status["status"] == "failed";
        over.then_some(status)
    })
    .await
}

fn of<'a>(status: &'a Value, member: &str) -> &'a str {
    status[member].as_str().unwrap_or_default()
}

/// RB03: what a server prints in the place of messages, hanging or not, is in the error, in the logs and in
/// the report of `check --start`, with the remedy.
#[tokio::test]
async fn what_a_server_prints_in_the_place_of_messages_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (
            "http",
            "echo 'Server listening on http://127.0.0.1:3000'; exec sleep 60",
            "Server listening on http://127.0.0.1:3000",
            "serves HTTP",
        ),
        (
            "question",
            "printf 'Ok to proceed? (y) '; exec sleep 60",
            "Ok to proceed? (y)",
            "waits for an answer",
        ),
        (
            "variable",
            "printf '\\033[31mACME_TOKEN is not set\\033[0m\\n'; exit 1",
            "\\u{1b}[31mACME_TOKEN is not set",
            "set it in",
        ),
    ];
    let servers = || {
        let builder = Gateway::builder()
            .fault_profile()
            .limit("failed_retry_ms", 600_000)
            .set("restart_limit", json!({"count": 1, "window_ms": 10_000}));
        cases.iter().fold(builder, |builder, (id, script, ..)| {
            builder.server(shell(folder.path(), id, script).autostart())
        })
    };
    let gateway = servers().start();
    for (id, _, line, remedy) in cases {
        let status = failed_once(&gateway, id).await;
        for member in ["last_error", "stdout_fault"] {
            let told = of(&status, member);
            assert!(told.contains(line) && told.contains(remedy), "{status}");
        }
        let marked = format!("[stdout] {line}");
        let path = format!("/servers/{id}/logs");
        wait_for(&marked, SOON, async || {
            let logs = gateway.client().get(&path).await.json();
            let lines = logs["lines"].as_array().unwrap().clone();
            // A line without an end is one when the process is gone.
            lines
                .iter()
                .filter_map(Value::as_str)
                .any(|text| text.starts_with(&marked))
                .then_some(())
        })
        .await;
    }
    let config = servers().write(folder.path());
    let arguments = ["--config", config.to_str().unwrap(), "check", "--start"];
    let checked = cli::run(folder.path(), &arguments);
    for (_, _, _, remedy) in cases {
        assert!(checked.stdout.contains(remedy), "{checked:?}");
    }
}

/// A server that answers `initialize` with an error where the line holds this text.
fn strict(folder: &Path, id: &str, text: &str) -> Server {
    let script = format!(
        r#"while read -r line; do
  id="${{line#*\"id\":}}"; id="${{id%%,*}}"
  case "$line" in
    *'"server/discover"'*) answer='"error":{{"code":-32601,"message":"no"}}' ;;
    *'"initialize"'*{text}*) answer='"error":{{"code":-32603,"message":"Unrecognized field \"form\""}}' ;;
    *'"initialize"'*) answer='"result":{{"protocolVersion":"2025-06-18","capabilities":{{}},"serverInfo":{{"name":"s","version":"1"}}}}' ;;
    *'"id":'*) answer='"result":{{}}' ;;
    *) continue ;;
  esac
  printf '{{"jsonrpc":"2.0","id":%s,%s}}\n' "$id" "$answer"
done"#
    );
    shell(folder, id, &script)
}

/// RB04: a server that fails on the capabilities is told of none; one that fails all the same says that both
/// were tried.
#[tokio::test]
async fn a_server_that_fails_on_capabilities_is_told_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::builder()
        .fault_profile()
        .server(strict(folder.path(), "strict", "elicitation").autostart())
        .server(strict(folder.path(), "broken", "").autostart())
        .start();
    let ready = wait_for("the strict server", SOON, async || {
        let status = gateway.client().status("strict").await;
        (status["status"] == "ready").then_some(status)
    })
    .await;
    assert_eq!(ready["incarnation"], 1, "in its first life: {ready}");
    wait_for("a line in the log", SOON, async || {
        let events = gateway.logs().of_server("strict");
        events
            .iter()
            .any(|event| event.to_string().contains("client_capabilities"))
            .then_some(())
    })
    .await;
    let status = failed_once(&gateway, "broken").await;
    let told = of(&status, "last_error");
    assert!(
        told.contains("Unrecognized field") && told.contains("client_capabilities"),
        "{status}"
    );
}

/// A server that reads `initialize` with elicitation and says nothing.
fn mute(folder: &Path, id: &str) -> Server {
    let script = r#"while read -r line; do
  id="${line#*\"id\":}"; id="${id%%,*}"
  case "$line" in
    *'"initialize"'*elicitation*) continue ;;
    *'"initialize"'*) answer='"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"1"}}' ;;
    *'"id":'*) answer='"error":{"code":-32601,"message":"no"}' ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer"
done"#;
    shell(folder, id, script)
}

/// RB04: a server that is silent on the capabilities is told of none in its next life, at once and under every policy;
/// one silence may be a slow start, the second is none, and an operator's order tries it anew.
#[tokio::test]
async fn a_server_that_capabilities_silence_is_told_of_none_in_its_next_life() {
    let folder = tempfile::tempdir().unwrap();
    let servers = || {
        let server = mute(folder.path(), "mute").set("restart_policy", "never");
        let server = server.set("startup_timeout_ms", 2000);
        Gateway::builder().server(server)
    };
    let gateway = servers().start();
    let client = gateway.client();
    let ready = async |verb: &str, incarnation: u64| {
        if !verb.is_empty() {
            let answer = client.post(&format!("/servers/mute/{verb}"), "").await;
            assert!(answer.status < 300, "{}", answer.text());
        }
        let what = format!("life {incarnation}");
        wait_for(&what, SOON, async || {
            let status = client.status("mute").await;
            let ready = status["status"] == "ready" && status["incarnation"] == incarnation;
            ready.then_some(status)
        })
        .await
    };
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    client.rpc("mute", &asked).await;
    let status = ready("", 2).await;
    assert_eq!(status["restart_count"], 0, "one start: {status}");
    wait_for("the reason in the log", SOON, async || {
        let told = gateway.logs().text();
        told.contains("client_capabilities").then_some(())
    })
    .await;
    let mut status = status;
    // The second life that is told of everything is silent for the last time.
    for next in [4, 5] {
        let pid = u32::try_from(status["pid"].as_u64().unwrap()).unwrap();
        process::signal(pid, rustix::process::Signal::TERM);
        wait_for("its end", SOON, async || {
            (client.status("mute").await["status"] == "stopped").then_some(())
        })
        .await;
        client.rpc("mute", &asked).await;
        status = ready("", next).await;
    }
    ready("restart", 7).await;

    let config = servers().write(folder.path());
    let arguments = ["--config", config.to_str().unwrap(), "check", "--start"];
    let checked = cli::run(folder.path(), &arguments);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// RB05: a client hears why the server is not there, by which last words, and where to look, at both kinds
/// of endpoint and in each state.
#[tokio::test]
async fn a_client_is_told_why_a_server_does_not_serve() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo pulling >&2; echo 'no such image: acme' >&2; exit 125";
    let gateway = Gateway::builder()
        .fault_profile()
        .limit("failed_retry_ms", 600_000)
        .server(Server::new("missing", "nodee", &[]))
        .server(shell(folder.path(), "docker", script))
        .start();
    let client = gateway.client();
    let cases = [
        ("missing", vec!["cannot execute", "nodee"]),
        (
            "docker",
            vec!["exited with code 125", "\"no such image: acme\""],
        ),
    ];
    for (id, causes) in cases {
        let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        for code in ["server_starting", "server_failed", "server_stopped"] {
            if code == "server_failed" {
                wait_for("the server to be given up", SOON, async || {
                    (client.status(id).await["status"] == "failed").then_some(())
                })
                .await;
            }
            if code == "server_stopped" {
                let path = format!("/servers/{id}/stop?wait");
                assert_eq!(client.post(&path, "").await.status, 200);
            }
            let answer = client.rpc(id, &asked).await.json();
            assert_eq!(answer["error"]["error_code"], code, "{answer}");
            let hello = mcp::initialize("2025-11-25");
            let path = format!("/{id}/mcp");
            let in_band = client.send(mcp::post(&client, &path, &hello)).await.json();
            assert_eq!(in_band["error"]["data"]["origin"], "gateway", "{in_band}");
            for answer in [&answer, &in_band] {
                let told = of(&answer["error"], "message");
                let way = format!("host-mcp-gateway status {id}");
                assert!(told.contains(&way), "{code}: {told}");
                let stopped = [&"stopped by the operator"];
                let causes: Vec<_> = if code == "server_stopped" {
                    stopped.to_vec()
                } else {
                    causes.iter().collect()
                };
                for cause in causes {
                    assert!(told.contains(cause), "{code}: {told}");
                }
            }
        }
    }
}

/// RB06: the interpreter that is missing is named, and a command line in the place of a command is told of.
#[tokio::test]
async fn a_program_that_cannot_be_executed_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let gone = program(folder.path(), "gone", "#!/opt/gone/python\nprint()\n");
    let crlf = program(folder.path(), "crlf", "#!/bin/sh\r\nexit 0\r\n");
    let command =
        |id: &str, command: &Path| Server::new(id, command.to_str().unwrap(), &[]).autostart();
    let line = folder.path().join("npx -y @acme/server");
    let servers = || {
        Gateway::builder()
            .fault_profile()
            .server(command("gone", &gone))
            .server(command("crlf", &crlf))
            .server(command("line", &line))
    };
    let gateway = servers().start();
    for (id, words) in [
        ("gone", "\"/opt/gone/python\""),
        ("crlf", "CRLF"),
        ("line", "\"args\""),
    ] {
        let status = failed_once(&gateway, id).await;
        assert!(of(&status, "last_error").contains(words), "{status}");
    }
    let config = servers().write(folder.path());
    let arguments = ["--config", config.to_str().unwrap(), "check"];
    let checked = cli::run(folder.path(), &arguments);
    assert!(checked.stdout.contains("\"args\""), "{checked:?}");
}

/// RB07: one server is started where one is named, and of many lines of stderr those are shown that tell.
#[test]
fn check_starts_the_servers_that_are_named_and_shows_what_tells() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"echo "Error: Cannot find module 'acme'" >&2
n=0; while [ $n -lt 60 ]; do echo "    at frame $n (node:internal)" >&2; n=$((n + 1)); done
exit 1"#;
    let touched = folder.path().join("touched");
    let other = format!("touch {}; exit 1", touched.display());
    let config = Gateway::builder()
        .server(shell(folder.path(), "node", script))
        .server(shell(folder.path(), "other", &other))
        .server(Server::gremlin("g1"))
        .write(folder.path());
    let check = |more: &[&str]| {
        let mut arguments = vec!["--config", config.to_str().unwrap(), "check"];
        arguments.extend(more);
        cli::run(folder.path(), &arguments)
    };
    let named = check(&["--start", "g1", "node"]);
    assert_eq!(named.code, Some(1), "{named:?}");
    assert!(!touched.exists(), "nobody named it");
    assert!(!named.stdout.contains("other"), "{named:?}");
    let shown: Vec<&str> = named
        .stdout
        .lines()
        .filter_map(|line| line.trim().strip_prefix("stderr: "))
        .collect();
    assert_eq!(shown.len(), 20, "{named:?}");
    assert!(shown[0].contains("Cannot find module"), "{named:?}");
    assert_eq!(check(&["--start", "g1"]).code, Some(0));
    let unknown = check(&["--start", "nobody"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("node, other, g1"), "{unknown:?}");
}

/// RB03: what the gateway has sent is not quoted as the words of a server that writes it back; what a server says beside
/// that is.
#[tokio::test]
async fn a_server_that_echoes_its_input_is_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = Gateway::builder()
        .fault_profile()
        .server(Server::new("echo", "cat", &[]))
        .server(shell(
            folder.path(),
            "prefix",
            "while read -r line; do echo \"got $line\"; done",
        ))
        .server(shell(
            folder.path(),
            "logger",
            "read -r line; echo \"DEBUG received $line\"; echo 'FATAL: environment variable API_KEY is not set'; exit 1",
        ))
        .server(shell(
            folder.path(),
            "stderr",
            "tee /dev/stderr > /dev/null",
        ))
        .write(folder.path());
    let arguments = ["--config", config.to_str().unwrap(), "check", "--start"];
    let checked = cli::run(folder.path(), &arguments);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for (id, expected) in [
        ("echo", "echoes its input"),
        ("prefix", "what is no message: \"got {"),
        ("logger", "API_KEY is not set"),
    ] {
        let line = checked.stdout.lines().find(|line| line.starts_with(id));
        assert!(line.unwrap().contains(expected), "{id}: {checked:?}");
    }
    assert!(
        checked
            .stdout
            .contains("stderr: (what the gateway has sent it"),
        "{checked:?}"
    );
}
