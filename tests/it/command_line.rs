//! The verbs that talk to a running gateway, run as a person runs them.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server, places};

/// Runs a verb with a config; the environment has no token of its own.
fn run(config: &Path, arguments: &[&str]) -> Output {
    Command::new(places::gateway())
        .arg("--config")
        .arg(config)
        .args(arguments)
        .env_remove("HMG_TOKEN")
        .output()
        .unwrap()
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address())
}

#[tokio::test]
async fn status_asks_the_running_gateway_with_the_token_of_its_config() {
    let gateway = Gateway::builder()
        .server(Server::control())
        .server(Server::gremlin("asleep"))
        .start();
    let (url, config) = (url(&gateway), gateway.config_path());
    let ready = || run(&config, &["status", "--url", &url]).status.code() == Some(0);
    wait_until("exit code 0", Duration::from_secs(20), ready).await;

    let output = run(&config, &["status", "--url", &url, "--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |index: usize| report["servers"][index]["status"].as_str().unwrap();
    assert_eq!((of(0), of(1)), ("ready", "stopped"), "{report}");

    let without_url = run(&config, &["status"]);
    assert_eq!(without_url.status.code(), Some(3), "{without_url:?}");

    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("config.json");
    std::fs::copy(&config, &copy).unwrap();
    assert_eq!(gateway.stop().await.code(), Some(0));
    let unreachable = run(&copy, &["status", "--url", &url]);
    assert_eq!(unreachable.status.code(), Some(3), "{unreachable:?}");
    assert!(unreachable.stdout.is_empty());
}

#[tokio::test]
async fn status_tells_a_script_that_a_server_was_given_up() {
    let gateway = Gateway::builder()
        .set("restart_limit", serde_json::json!({"count": 1}))
        .server(Server::control())
        .server(Server::new("broken", "sh", &["-c", "echo the reason >&2; exit 3"]).autostart())
        .start();
    let (url, config) = (url(&gateway), gateway.config_path());
    let output = wait_for("exit code 6", Duration::from_secs(20), async || {
        let output = run(&config, &["status", "--url", &url]);
        (output.status.code() == Some(6)).then_some(output)
    })
    .await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("degraded: "), "{text}");
    assert!(text.contains("\n    stderr: the reason\n"), "{text}");
    gateway.stop().await;
}
