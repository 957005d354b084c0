//! `status`: whom it asks, with which token, and about which servers.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cli::{self, Ended};
use crate::support::gateway::TOKEN;
use crate::support::socket::RefusingPort;
use crate::support::wait::wait_until;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(20);
const OTHER: &str = "other-5d1f7a0c93be482664";

/// Asks at the home of the gateway, where it keeps what it notes of itself.
fn status(gateway: &Gateway, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let config = gateway.config_path();
    let arguments = [&["--config", config.to_str().unwrap(), "status"], arguments].concat();
    cli::run_with(gateway.folder(), &arguments, variables)
}

async fn ready(gateway: &Gateway, arguments: &[&str]) {
    let is_ready = || status(gateway, arguments, &[]).code == Some(0);
    wait_until("exit code 0", SOON, is_ready).await;
}

/// A file that nobody runs with, at a home of its own.
fn of_file(home: &Path, text: Option<&str>) -> Ended {
    let config = home.join("two.json");
    if let Some(text) = text {
        std::fs::write(&config, text).unwrap();
        std::fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    }
    let arguments = ["--config", config.to_str().unwrap(), "status"];
    cli::run(home, &arguments)
}

/// A file that would be refused names no address: who listens there may be another gateway, and would get its token.
#[test]
fn a_broken_file_that_nobody_runs_with_has_nobody_asked() {
    let home = tempfile::tempdir().unwrap();
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let port = stranger.local_addr().unwrap().port();
    let text = json!({"bind_port": port, "auth_token": TOKEN, "allowed_clients": ["127.0.0.1"],
        "servers": [], "unknown_key": 1});
    let ended = of_file(home.path(), Some(&text.to_string()));
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(78), ""),
        "{ended:?}"
    );
    for expected in [
        "unknown_key",
        "no running gateway was found for",
        "two.json",
    ] {
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
    let asked = stranger.accept().unwrap_err();
    assert_eq!(asked.kind(), ErrorKind::WouldBlock);
}

/// Nor does the default address stand in for one that cannot be read.
#[test]
fn without_a_file_in_order_the_default_address_is_not_asked() {
    let home = tempfile::tempdir().unwrap();
    let missing = of_file(home.path(), None);
    let no_json = format!("{{\"bind_port\": 7422 \"auth_token\": \"{TOKEN}\"}}");
    let broken = of_file(home.path(), Some(&no_json));
    for (ended, why) in [(missing, "there is no such file"), (broken, "two.json")] {
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(78), ""),
            "{ended:?}"
        );
        for expected in [why, "no running gateway was found for"] {
            assert!(ended.stderr.contains(expected), "{ended:?}");
        }
        assert!(!ended.stderr.contains(":7411"), "{ended:?}");
    }
}

#[tokio::test]
async fn the_token_of_the_file_goes_before_that_of_the_environment() {
    let gateway = Gateway::builder().server(Server::control()).start();
    ready(&gateway, &[]).await;
    let other = [("HMG_TOKEN", OTHER)];
    let asked = status(&gateway, &[], &other);
    assert_eq!(asked.code, Some(0), "{asked:?}");

    // The gateway still runs with the old one.
    gateway.rewrite_config(|config| config["auth_token"] = OTHER.into());
    let refused = status(&gateway, &[], &[("HMG_TOKEN", TOKEN)]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let config = gateway.config_path();
    let expected = format!("refuses the token of {}: auth_failed", config.display());
    assert!(refused.stderr.contains(&expected), "{refused:?}");

    // A gateway that has noted its address is asked with the variable's where the file has gone.
    std::fs::remove_file(&config).unwrap();
    let asked = status(&gateway, &[], &[("HMG_TOKEN", TOKEN)]);
    assert_eq!(asked.code, Some(0), "{asked:?}");
    let refused = status(&gateway, &[], &other);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let expected = "refuses the token in the variable HMG_TOKEN: auth_failed";
    assert!(refused.stderr.contains(expected), "{refused:?}");
    gateway.stop().await;
}

#[test]
fn the_token_of_the_file_is_never_sent_to_a_url() {
    let home = tempfile::tempdir().unwrap();
    let config = Gateway::builder().write(home.path());
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let url = format!("http://{}", stranger.local_addr().unwrap());
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "status",
        "--url",
        &url,
    ];
    let ended = cli::run(home.path(), &arguments);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("HMG_TOKEN"), "{ended:?}");
    let asked = stranger.accept().unwrap_err();
    assert_eq!(asked.kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn servers_that_are_named_are_judged_without_the_others() {
    let gateway = Gateway::builder()
        .set("restart_limit", json!({"count": 1}))
        .server(Server::control())
        .server(Server::new("broken", "sh", &["-c", "exit 3"]).autostart())
        .start();
    let given_up = || status(&gateway, &[], &[]).code == Some(6);
    wait_until("exit code 6", SOON, given_up).await;
    ready(&gateway, &["control"]).await;
    let fine = status(&gateway, &["control"], &[]);
    assert!(fine.stdout.starts_with("ok: "), "{fine:?}");
    let report = status(&gateway, &["control", "--output", "json"], &[]);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["status"], "ok", "{report}");
    for arguments in [&["broken"][..], &["control", "broken"]] {
        let failed = status(&gateway, arguments, &[]);
        assert_eq!(failed.code, Some(6), "{failed:?}");
        assert!(failed.stdout.starts_with("degraded: "), "{failed:?}");
    }
    gateway.stop().await;
}

/// The file is in order for a gateway that has its variables: a shell without them says so, and asks on.
#[tokio::test]
async fn a_shell_without_the_variables_of_the_gateway_does_not_call_the_file_refused() {
    let gateway = Gateway::builder()
        .set("auth_token", "${GATEWAY_TOKEN}")
        .set("tokens", json!([{"name": "other", "env": "OTHER_TOKEN"}]))
        .env("GATEWAY_TOKEN", TOKEN)
        .env("OTHER_TOKEN", OTHER)
        .server(Server::control())
        .start();
    let with_token = [("HMG_TOKEN", TOKEN)];
    let is_ready = || status(&gateway, &[], &with_token).code == Some(0);
    wait_until("exit code 0", SOON, is_ready).await;
    let asked = status(&gateway, &[], &with_token);
    assert!(!asked.stdout.contains("would be refused"), "{asked:?}");
    for expected in ["not set in this shell", "GATEWAY_TOKEN", "OTHER_TOKEN"] {
        assert!(asked.stderr.contains(expected), "{asked:?}");
    }
    let report = status(&gateway, &["--output", "json"], &with_token);
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["faults_on_disk"], json!([]), "{report}");
    assert_eq!(
        report["not_set_here"].as_array().unwrap().len(),
        2,
        "{report}"
    );

    let without = status(&gateway, &["--output", "json"], &[]);
    assert_eq!(without.code, Some(1), "{without:?}");
    assert!(without.stderr.contains("HMG_TOKEN"), "{without:?}");
    let report: Value = serde_json::from_str(&without.stdout).unwrap();
    assert_eq!(report["error"]["code"], "token_unknown", "{report}");
    gateway.stop().await;
}

/// A script gets an object whatever became of the gateway, and the same exit code.
#[test]
fn a_status_that_cannot_be_had_is_an_object_for_scripts() {
    let home = tempfile::tempdir().unwrap();
    let nobody = RefusingPort::bind();
    let port = nobody.address().port();
    let config = Gateway::builder().set("bind_port", port).write(home.path());
    let asked = |arguments: &[&str]| {
        let of_config = ["--config", config.to_str().unwrap(), "status"];
        cli::run(home.path(), &[&of_config, arguments].concat())
    };
    let text = asked(&[]);
    assert_eq!((text.code, text.stdout.as_str()), (Some(3), ""), "{text:?}");
    assert!(text.stderr.contains("connection refused"), "{text:?}");
    let json = asked(&["--output", "json"]);
    assert_eq!(json.code, Some(3), "{json:?}");
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(report["error"]["code"], "unreachable", "{report}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("connection refused"), "{report}");
}
