//! The verbs that talk to a running gateway, run as a person runs them.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::gateway::TOKEN;
use crate::support::wait::{wait_for, wait_until};
use crate::support::{Gateway, Server, places};

/// Runs a verb with a config and, for what `--url` names, with a token in the environment.
fn run(config: &Path, arguments: &[&str]) -> Output {
    Command::new(places::gateway())
        .arg("--config")
        .arg(config)
        .args(arguments)
        .env("HMG_TOKEN", TOKEN)
        .output()
        .unwrap()
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address())
}

#[tokio::test]
async fn status_asks_the_gateway_at_a_url_with_the_token_in_the_environment() {
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

/// Runs `status` at the home of the gateway, where it keeps what it notes of itself.
fn status_at_home(gateway: &Gateway, arguments: &[&str]) -> crate::support::cli::Ended {
    let config = gateway.config_path();
    let arguments = [&["status", "--config", config.to_str().unwrap()], arguments].concat();
    crate::support::cli::run(gateway.folder(), &arguments)
}

/// RF04: a fault in the file is when one asks.
#[tokio::test]
async fn status_answers_whatever_became_of_the_file() {
    let gateway = Gateway::builder()
        .server(Server::control())
        .server(Server::gremlin("asleep"))
        .server(Server::gremlin("off").set("disabled", true))
        .start();
    let ready = || status_at_home(&gateway, &[]).code == Some(0);
    wait_until(
        "exit code 0 without a port in the config",
        Duration::from_secs(20),
        ready,
    )
    .await;
    let fine = status_at_home(&gateway, &[]).stdout;
    let word = |server_id: &str| {
        let mut lines = fine.lines().filter(|line| line.starts_with(server_id));
        lines.next().and_then(|line| line.split_whitespace().nth(1))
    };
    assert_eq!(
        (word("control"), word("asleep"), word("off")),
        (Some("ready"), Some("asleep"), Some("disabled")),
        "{fine}"
    );

    let good = std::fs::read_to_string(gateway.config_path()).unwrap();
    let reload = || gateway.signal(rustix::process::Signal::HUP);
    let shows = async |what: &str| {
        let shown = || status_at_home(&gateway, &[]).stdout.contains(what);
        wait_until(what, Duration::from_secs(20), shown).await;
    };
    // A comma too few: what is not JSON has a token all the same.
    std::fs::write(gateway.config_path(), good.replacen(',', "", 1)).unwrap();
    shows("the config file as it is now would be refused").await;
    reload();
    shows("was refused for 1 fault").await;
    assert!(
        status_at_home(&gateway, &[])
            .stdout
            .contains("expected comma")
    );

    std::fs::write(gateway.config_path(), &good).unwrap();
    gateway.rewrite_config(|config| config["bind_port"] = 9.into());
    reload();
    shows("restart needed: what has changed in bind_port").await;

    // Without any config, as somebody elsewhere would ask.
    std::fs::remove_file(gateway.config_path()).unwrap();
    let asked = Command::new(places::gateway())
        .args(["status", "--url", &url(&gateway)])
        .env("HMG_TOKEN", TOKEN)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(0), "{asked:?}");
    gateway.stop().await;
}
